"""Losses against values worked out by hand."""

import math

import pytest
import torch

from tracker.training.losses import (
    bootstrapped_cross_entropy,
    hard_share,
    mask_unused,
    matching_loss,
    segmentation_loss,
    soft_jaccard,
)


def test_hard_share_falls_linearly_and_stays():
    assert hard_share(0, 100) == 1.0
    assert hard_share(50, 100) == pytest.approx(1 - 0.5 * 0.85)
    assert hard_share(100, 100) == hard_share(1000, 100) == pytest.approx(0.15)


def test_matching_costs_the_logarithm_of_what_is_brought_of_the_truth():
    truth = torch.tensor([[[1.0, 0, 0], [0, 0.5, 0.5]]])
    shares = torch.tensor([[[0.49, 0.51, 0], [0.9, 0.09, 0.01]]], requires_grad=True)
    value = matching_loss(shares, truth)
    expected = -(math.log(0.5) + 0.5 * math.log(0.1) + 0.5 * math.log(0.02)) / 2
    assert value.item() == pytest.approx(expected, rel=1e-5)
    value.backward()
    assert (shares.grad * truth <= 0).all(), "more of what is there is better"
    assert shares.grad[0, 0, 1] == shares.grad[0, 1, 0] == 0
    assert matching_loss(-torch.ones(1, 1, 1), torch.ones(1, 1, 1)).item() == pytest.approx(
        -math.log(0.01), rel=1e-5
    )


def test_equal_logits_cost_the_logarithm_of_the_used_identities():
    logits = torch.zeros(2, 11, 4, 4)
    counts = torch.tensor([1, 3])
    labels = torch.zeros(2, 4, 4, dtype=torch.int64)
    masked = mask_unused(logits, counts)
    value = bootstrapped_cross_entropy(masked, labels, 1.0)
    assert value.item() == pytest.approx((math.log(2) + math.log(4)) / 2, rel=1e-5)


def test_only_the_hardest_pixels_count():
    logits = torch.zeros(1, 2, 2, 5)
    logits[0, 0] = 20.0
    labels = torch.zeros(1, 2, 5, dtype=torch.int64)
    labels[0, 0, 0] = 1  # one wrong pixel in ten, cost 20
    assert bootstrapped_cross_entropy(logits, labels, 1.0).item() == pytest.approx(2.0, rel=1e-4)
    assert bootstrapped_cross_entropy(logits, labels, 0.2).item() == pytest.approx(10.0, rel=1e-4)
    assert bootstrapped_cross_entropy(logits, labels, 0.1).item() == pytest.approx(20.0, rel=1e-4)


def test_jaccard_of_perfect_and_half_right_predictions():
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[0, :2] = 1
    perfect = torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).float() * 50
    counts = torch.tensor([1])
    assert soft_jaccard(mask_unused(perfect, counts), labels, counts).item() < 1e-5
    none = torch.zeros(1, 3, 4, 4)
    none[:, 0] = 50  # all background: J 8/16 and 0/8, each with one pixel of smoothing
    expected = 1 - (9 / 17 + 1 / 9) / 2
    value = soft_jaccard(mask_unused(none, counts), labels, counts).item()
    assert value == pytest.approx(expected, rel=1e-4)


def test_an_absent_object_costs_only_what_is_predicted_of_it():
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    counts = torch.tensor([2])
    empty = torch.zeros(1, 11, 8, 8)
    empty[:, 0] = 50
    assert segmentation_loss(empty, labels, counts).total.item() < 1e-5
    seen = empty.clone()
    seen[:, 2, :2] = 100
    loss = segmentation_loss(seen, labels, counts)
    assert loss.jaccard.item() == pytest.approx((1 - 49 / 65 + 1 - 1 / 17) / 3, rel=1e-3)


def test_unused_identities_change_nothing_and_get_no_gradient():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 11, 6, 6, generator=generator)
    labels = torch.randint(0, 3, (2, 6, 6), generator=generator)
    counts = torch.tensor([2, 2])
    first = segmentation_loss(logits, labels, counts, 0.5).total
    logits[:, 3:] += 7
    logits.requires_grad_()
    second = segmentation_loss(logits, labels, counts, 0.5).total
    assert second.item() == pytest.approx(first.item(), rel=1e-6)
    second.backward()
    assert logits.grad[:, 3:].abs().max() == 0
    assert logits.grad[:, :3].abs().max() > 0


def test_each_sample_has_its_own_count():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 11, 6, 6, generator=generator)
    labels = torch.stack([torch.ones(6, 6), torch.full((6, 6), 4)]).long()
    both = segmentation_loss(logits, labels, torch.tensor([1, 4]), 0.3)
    alone = [
        segmentation_loss(logits[b : b + 1], labels[b : b + 1], torch.tensor([n]), 0.3)
        for b, n in enumerate((1, 4))
    ]
    assert both.total.item() == pytest.approx(sum(a.total.item() for a in alone) / 2, rel=1e-5)


def test_half_precision_logits_are_computed_in_float32():
    logits = torch.randn(1, 11, 6, 6, generator=torch.Generator().manual_seed(2)).bfloat16()
    labels = torch.zeros(1, 6, 6, dtype=torch.int64)
    loss = segmentation_loss(logits, labels, torch.tensor([10]))
    assert loss.total.dtype == torch.float32
