"""Labels, confidence and sizes against their definitions."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.vmos import bands
from tracker.vmos.decision import decide, merge_groups, nearest


def by_definition(logits: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Argmax, and the mean probability of every object over its pixels, in float64."""
    shares = torch.softmax(logits.double(), dim=0)
    labels = logits.argmax(dim=0)
    means = [
        shares[i][labels == i].mean().item() if (labels == i).any() else 0.0
        for i in range(1, len(logits))
    ]
    return labels.numpy(), np.array(means)


@settings(max_examples=25)
@given(
    objects=st.integers(1, 12),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    spread=st.floats(0.1, 30),
    at_once=st.integers(1, 2000),
    seed=st.integers(0, 1000),
)
def test_decided_are_the_largest_logit_and_its_mean_probability(
    objects, height, width, spread, at_once, seed
):
    """However many logits are decided at a time."""
    draw = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(objects + 1, height, width, generator=draw)
    with mock.patch.object(bands, "LOGITS_AT_ONCE", at_once):
        labels, confidence = decide([logits[None]], logits.shape[1:])
    expected, means = by_definition(logits)
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.uint8 and confidence.dtype == np.float32
    # Rounding of float32 sums of exponentials.
    np.testing.assert_allclose(confidence, means, rtol=1e-5, atol=1e-7)


def test_several_groups_are_merged_first():
    draw = torch.Generator().manual_seed(1)
    groups = [3 * torch.randn(1, n, 30, 41, generator=draw) for n in (11, 4, 2)]
    with mock.patch.object(bands, "LOGITS_AT_ONCE", 2000):
        labels, confidence = decide(groups, (30, 41))
    expected, means = by_definition(merge_groups(groups)[0])
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_allclose(confidence, means, rtol=1e-5, atol=1e-7)


def test_of_equal_logits_the_first_wins():
    labels, _ = decide([torch.zeros(1, 4, 2, 3)], (2, 3))
    assert (labels == 0).all()
    labels, _ = decide([torch.tensor([0.0, 1.0, 2.0, 2.0])[None, :, None, None]], (1, 1))
    assert labels.tolist() == [[2]]


@pytest.mark.parametrize("objects", [254, 255, 300])
def test_many_objects_are_told_apart(objects):
    logits = torch.zeros(objects + 1, 1, objects + 1)
    logits[torch.arange(objects + 1), 0, torch.arange(objects + 1)] = 9
    labels, confidence = decide([logits[None]], logits.shape[1:])
    assert labels.dtype == (np.uint8 if objects <= 255 else np.uint16)
    assert labels[0].tolist() == list(range(objects + 1))
    expected = np.exp(9) / (np.exp(9) + objects)
    np.testing.assert_allclose(confidence, np.full(objects, expected), rtol=1e-5)


@settings(max_examples=25)
@given(sides=st.tuples(*[st.integers(1, 300)] * 4), seed=st.integers(0, 1000))
def test_nearest_takes_the_pixels_that_torch_takes(sides, seed):
    height, width, tall, wide = sides
    labels = np.random.default_rng(seed).integers(0, 9, (height, width)).astype(np.uint8)
    expected = F.interpolate(torch.from_numpy(labels)[None, None].float(), (tall, wide))
    np.testing.assert_array_equal(nearest(labels, (tall, wide)), expected[0, 0].numpy())
