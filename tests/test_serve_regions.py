"""Masks on their way to the toolkit and back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tracker import regions

LABELS = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)
)


@given(LABELS)
def test_regions_placed_into_the_frame_are_the_masks(labels: np.ndarray) -> None:
    for number, region in enumerate(regions.regions_of(labels, 3), start=1):
        mask = labels == number
        placed = regions.place(region.mask, region.x, region.y, labels.shape)
        assert region.mask.flags.c_contiguous
        assert region.mask.dtype == np.uint8
        assert placed[mask].all()
        rows, columns = np.nonzero(mask)
        if not mask.any():
            assert region.mask.shape == (1, 1)
            assert not region.mask.any()
        elif np.ptp(rows) > 0 and np.ptp(columns) > 0:
            assert np.array_equal(placed, mask)
            assert region.mask.shape == (np.ptp(rows) + 1, np.ptp(columns) + 1)


@given(LABELS)
def test_no_present_object_is_one_pixel_wide_or_high(labels: np.ndarray) -> None:
    for number, region in enumerate(regions.regions_of(labels, 3), start=1):
        if (labels == number).any():
            assert region.mask.shape[0] >= min(2, labels.shape[0])
            assert region.mask.shape[1] >= min(2, labels.shape[1])
            sides = (region.mask[0], region.mask[-1], region.mask[:, 0], region.mask[:, -1])
            assert all(side.any() for side in sides)


@pytest.mark.parametrize("column", [0, 5, 9])
def test_the_toolkit_sees_an_object_one_pixel_wide(column: int) -> None:
    shapes = pytest.importorskip("vot.region.shapes")
    labels = np.zeros((8, 10), np.uint8)
    labels[2:6, column] = 1
    [region] = regions.regions_of(labels, 1)
    seen = shapes.Mask(region.mask, (region.x, region.y), optimize=True)
    assert not seen.is_empty()
    assert seen.mask.sum() == 8


@given(LABELS)
def test_the_upright_box_holds_the_object_tightly(labels: np.ndarray) -> None:
    [region] = regions.regions_of((labels == 1).astype(np.uint8), 1)
    if region.mask.any():
        x, y, width, height = regions.upright_box(region)
        placed = regions.place(region.mask, region.x, region.y, labels.shape)
        rows, columns = np.nonzero(placed)
        assert (x, y) == (columns.min(), rows.min())
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)


def test_the_rotated_box_of_a_tilted_bar_is_the_bar() -> None:
    corners = np.array([(20, 10), (50, 40), (42, 48), (12, 18)])
    labels = cv2.fillConvexPoly(np.zeros((60, 70), np.uint8), corners, 1)
    [region] = regions.regions_of(labels, 1)
    found = np.array(sorted(regions.rotated_box(region)))
    np.testing.assert_allclose(found, sorted(map(tuple, corners)), atol=0.01)


@given(arrays.arrays(np.uint8, (4, 5), elements=st.integers(0, 1)))
def test_run_count(mask: np.ndarray) -> None:
    runs, value = 1, 0
    for pixel in mask.ravel():
        runs += pixel != value
        value = pixel
    assert regions.run_count(mask) == runs


@settings(max_examples=20)
@given(st.integers(0, 99), st.sampled_from([0.03, 0.2, 0.5, 0.9]), st.integers(3, 300))
def test_a_simplified_mask_is_not_empty_and_keeps_the_limit(
    seed: int, density: float, most_runs: int
) -> None:
    mask = (np.random.default_rng(seed).random((40, 60)) < density).astype(np.uint8)
    simple = regions.simplify(mask, most_runs)
    assert simple.shape == mask.shape
    assert simple.dtype == np.uint8
    assert simple.any()
    assert regions.run_count(simple) <= most_runs


def test_a_clean_mask_is_not_touched() -> None:
    mask = np.ones((300, 300), np.uint8)
    mask[100:200, 50:90] = 0
    assert regions.simplify(mask) is mask


def test_a_noisy_frame_is_smoothed_below_the_limit_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    labels = (np.random.default_rng(0).random((480, 854)) < 0.5).astype(np.uint8)
    [region] = regions.regions_of(labels, 1)
    assert 0 < regions.run_count(region.mask) <= regions.MOST_RUNS
    assert "object 1" in caplog.text


@pytest.mark.parametrize("offset", [(-2, -1), (0, 0), (3, 2), (50, 0), (-9, -9)])
def test_place_cuts_off_what_lies_outside(offset: tuple[int, int]) -> None:
    x, y = offset
    crop = np.array([[1, 0, 255], [1, 1, 0]], np.uint8)
    expected = np.zeros((4, 5), bool)
    for row in range(2):
        for column in range(3):
            if 0 <= y + row < 4 and 0 <= x + column < 5:
                expected[y + row, x + column] = crop[row, column] != 0
    assert np.array_equal(regions.place(crop, x, y, (4, 5)), expected)
