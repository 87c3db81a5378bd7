"""What is decided where the logits are enlarged in bands, against enlarging the whole frame."""

from __future__ import annotations

from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.vmos import bands
from tracker.vmos.decision import decide, merge_groups

SIDE = st.integers(1, 40)


def enlarged(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(logits, size, mode="bilinear", align_corners=True)


def decided_whole(
    groups: list[torch.Tensor], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Merged logits [1 + N, H, W] in float64, and where the largest leads by 1e-4, [H, W] bool."""
    merged = merge_groups([enlarged(group.double(), size) for group in groups])[0]
    best, second = merged.topk(2, dim=0).values
    return merged.numpy(), (best - second > 1e-4).numpy()


@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    before=st.tuples(SIDE, SIDE),
    after=st.tuples(SIDE, SIDE),
    background=st.floats(-3, 12),
    at_once=st.integers(1, 3000),
    seed=st.integers(0, 1000),
)
def test_bands_decide_as_the_whole_frame_does(counts, before, after, background, at_once, seed):
    """Wherever the lead is no matter of rounding: all object, some, or all background."""
    draw = torch.Generator().manual_seed(seed)
    groups = [3 * torch.randn(1, 1 + n, *before, generator=draw) for n in counts]
    for group in groups:
        group[:, 0] += background
    merged, clear = decided_whole(groups, after)
    with mock.patch.object(bands, "LOGITS_AT_ONCE", at_once):
        labels, confidence = decide(groups, after)
    np.testing.assert_array_equal(labels[clear], merged.argmax(axis=0)[clear])
    shares = np.exp(merged - merged.max(axis=0))
    shares /= shares.sum(axis=0)
    for label, sure in enumerate(confidence, start=1):
        expected = shares[label][labels == label].mean() if (labels == label).any() else 0
        np.testing.assert_allclose(sure, expected, rtol=1e-4, atol=1e-6)


def test_objects_that_win_between_two_places_of_others_are_found():
    """Nowhere the largest of the given logits, yet the largest halfway between them."""
    logits = torch.tensor([[[-9.0, -9.0]], [[10.0, 0.0]], [[0.0, 10.0]], [[8.0, 8.0]]])[None]
    labels, _ = decide([logits], (1, 5))
    assert labels.tolist() == [[1, 3, 3, 3, 2]]


def test_an_object_may_win_by_the_product_of_backgrounds_alone():
    """In each of four groups the background leads; all together they lose."""
    groups = [torch.tensor([0.4, 0.0])[None, :, None, None].expand(1, 2, 3, 3)] * 4
    labels, _ = decide(groups, (7, 7))
    assert (labels == 1).all()


def test_only_what_may_be_an_object_is_enlarged():
    """An object in one place of 20x30: of 200x300 pixels, those within a place of it."""
    logits = torch.zeros(1, 3, 20, 30)
    logits[:, 0] = 5
    logits[0, 2, 10, 12] = 9
    found = list(bands.bands([logits], (200, 300)))
    columns = {(band.columns.start, band.columns.stop) for band in found}
    assert columns == {(114, 135)}  # 11 / 29 to 13 / 29 of the way
    assert {group.shape[3] for band in found for group in band.groups} == {21}
    assert list(bands.bands([logits[:, :2]], (200, 300))) == []


def test_a_logit_that_is_not_a_number_counts_as_doubtful():
    logits = torch.full((1, 2, 3, 3), torch.nan)
    (band,) = bands.bands([logits], (6, 6))
    assert band.groups[0].shape == (1, 2, 6, 6)
