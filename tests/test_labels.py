"""Masks, label maps, boxes, gate and merge: pure functions, mostly checked as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracker import labels as L

SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@st.composite
def label_maps(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    count = draw(st.integers(1, 6))
    ids = st.integers(0, count)
    return draw(hnp.arrays(np.uint8, draw(SIDES), elements=ids)), count


@st.composite
def mask_stacks(draw: st.DrawFn) -> np.ndarray:
    return draw(hnp.arrays(bool, (draw(st.integers(1, 5)), *draw(SIDES))))


@st.composite
def merges(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels, count = draw(label_maps())
    refined = draw(hnp.arrays(bool, (count, *labels.shape)))
    return labels, refined, draw(hnp.arrays(bool, count))


def disc(shape: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.indices(shape)
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


@given(label_maps())
def test_labels_to_masks_and_back_gives_the_same_labels(case: tuple[np.ndarray, int]) -> None:
    labels, count = case
    masks = L.labels_to_masks(labels, count)
    assert masks.shape == (count, *labels.shape)
    np.testing.assert_array_equal(L.masks_to_labels(masks), labels)


@given(mask_stacks())
def test_every_pixel_gets_an_object_that_claims_it_and_none_smaller(masks: np.ndarray) -> None:
    labels = L.masks_to_labels(masks)
    areas = masks.sum(axis=(1, 2))
    for y, x in np.ndindex(labels.shape):
        claims = np.flatnonzero(masks[:, y, x])
        winner = min(claims, key=lambda i: (areas[i], i)) + 1 if len(claims) else 0
        assert labels[y, x] == winner


@given(label_maps())
def test_boxes_match_a_plain_search(case: tuple[np.ndarray, int]) -> None:
    labels, count = case
    found, present = L.boxes(labels, count)
    for index in range(count):
        rows, columns = np.nonzero(labels == index + 1)
        assert present[index] == (len(rows) > 0)
        want = (columns.min(), rows.min(), columns.max(), rows.max()) if len(rows) else (0,) * 4
        assert tuple(found[index]) == tuple(want)


@given(merges())
def test_merge_gives_only_input_ids_and_input_claims(case: tuple) -> None:
    labels, refined, accepted = case
    merged = L.merge(labels, refined, accepted)
    final = np.where(accepted[:, None, None], refined, L.labels_to_masks(labels, len(accepted)))
    for index, mask in enumerate(final):
        assert not (merged == index + 1)[~mask].any()
    np.testing.assert_array_equal(merged > 0, final.any(axis=0))
    assert merged.max() <= len(accepted)


@given(merges())
def test_merge_of_nothing_accepted_changes_nothing(case: tuple) -> None:
    labels, refined, accepted = case
    merged = L.merge(labels, refined, np.zeros_like(accepted))
    np.testing.assert_array_equal(merged, labels)
    assert merged is not labels


@given(mask_stacks())
def test_iou_bounds_and_symmetry(masks: np.ndarray) -> None:
    values = L.iou(masks, masks[::-1])
    np.testing.assert_array_equal(values, L.iou(masks[::-1], masks))
    assert ((values >= 0) & (values <= 1)).all()
    np.testing.assert_array_equal(L.iou(masks, masks), masks.any(axis=(1, 2)).astype(float))


def test_fault_overlapping_masks_one_and_two_are_not_object_three() -> None:
    large, small = disc((20, 20), 9, 9, 7), disc((20, 20), 9, 9, 3)
    labels = L.masks_to_labels(np.stack([large, small]))
    assert set(np.unique(labels)) == {0, 1, 2}
    np.testing.assert_array_equal(labels == 2, small)
    np.testing.assert_array_equal(labels == 1, large & ~small)


def test_fault_objects_two_and_three_overlapping_do_not_come_out_as_one() -> None:
    """Object 1 is absent; the ids of the merge are ids, not places among the labels present."""
    two, three = disc((30, 30), 12, 12, 8), disc((30, 30), 14, 16, 6)
    labels = np.where(three, 3, np.where(two, 2, 0)).astype(np.uint8)
    merged = L.merge(labels, np.stack([np.zeros_like(two), two, three]), np.array([0, 1, 1], bool))
    np.testing.assert_array_equal(merged == 3, three)
    np.testing.assert_array_equal(merged == 2, two & ~three)
    assert not (merged == 1).any()


def test_equal_sizes_put_the_first_given_on_top() -> None:
    mask = np.ones((2, 2), bool)
    np.testing.assert_array_equal(L.masks_to_labels(np.stack([mask, mask])), np.ones((2, 2)))


def test_an_accepted_mask_replaces_all_of_the_old_one() -> None:
    labels = np.array([[1, 1, 0, 0]], np.uint8)
    merged = L.merge(labels, np.array([[[False, True, True, False]]]), np.array([True]))
    np.testing.assert_array_equal(merged, [[0, 1, 1, 0]])


def test_gaps_in_the_ids_do_not_invent_objects() -> None:
    labels = np.array([[0, 2, 2, 5]], np.uint8)
    masks = L.labels_to_masks(labels, 6)
    assert masks.sum(axis=(1, 2)).tolist() == [0, 2, 0, 0, 1, 0]
    found, present = L.boxes(labels, 6)
    assert present.tolist() == [False, True, False, False, True, False]
    assert found[1].tolist() == [1, 0, 2, 0]


def test_a_one_pixel_object_has_a_box_of_one_pixel() -> None:
    labels = np.zeros((5, 7), np.uint8)
    labels[4, 6] = 1
    assert L.boxes(labels, 1)[0].tolist() == [[6, 4, 6, 4]]


@pytest.mark.parametrize(
    ("shape", "dtype", "count"),
    [
        ((7, 11), np.uint8, 3),
        ((7, 11), np.uint8, 255),
        ((7, 11), np.uint16, 300),
        ((4099, 4099), np.uint8, 1),  # more pixels than float32 counts exactly
    ],
)
def test_areas_are_pixels_of_every_object_given_or_not(shape, dtype, count) -> None:
    labels = np.random.default_rng(0).integers(0, count + 1, shape).astype(dtype)
    labels[1:, :] = count
    expected = [(labels == number).sum() for number in range(1, count + 1)]
    assert L.areas(labels, count).tolist() == expected
    assert L.areas(labels[:, ::2], count).sum() == (labels[:, ::2] > 0).sum()


def test_no_masks_give_an_empty_label_map() -> None:
    assert L.masks_to_labels(np.zeros((0, 2, 3), bool)).tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("count", [255, 256, 300])
def test_more_than_255_objects_widen_the_label_map(count: int) -> None:
    masks = np.zeros((count, 20, 20), bool)
    masks.reshape(count, -1)[np.arange(count), np.arange(count)] = True
    labels = L.masks_to_labels(masks)
    assert labels.dtype == (np.uint8 if count == 255 else np.uint16)
    assert labels.max() == count
    np.testing.assert_array_equal(L.labels_to_masks(labels, count), masks)
    assert L.boxes(labels, count)[1].all()
    assert L.merge(labels, masks, np.ones(count, bool)).dtype == labels.dtype
    few = L.merge(np.zeros((20, 20), np.uint8), masks, np.ones(count, bool))
    np.testing.assert_array_equal(few, labels)


def test_the_gate_keeps_at_the_threshold_and_never_takes_an_empty_mask() -> None:
    whole, half = np.ones((1, 2, 2), bool), np.array([[[True, True], [False, False]]])
    assert L.gate(whole, half, 0.5).tolist() == [True]
    assert L.gate(whole, half, 0.51).tolist() == [False]
    assert L.gate(whole, np.zeros_like(whole), 0.0).tolist() == [False]


def test_check_masks_takes_any_nonzero_values() -> None:
    checked = L.check_masks([np.array([[0, 255]], np.uint8), np.array([[0.5, 0.0]])], (1, 2))
    np.testing.assert_array_equal(checked, [[[False, True]], [[True, False]]])
    assert checked.dtype == bool


def test_check_masks_names_the_fault() -> None:
    good = np.ones((4, 6), np.uint8)
    with pytest.raises(L.MaskError, match="no objects"):
        L.check_masks([], (4, 6))
    with pytest.raises(L.MaskError, match=r"object 2 .*\(6, 4\).*\(4, 6\)"):
        L.check_masks([good, good.T], (4, 6))
    with pytest.raises(L.MaskError, match=r"object 2 .*empty"):
        L.check_masks([good, np.zeros_like(good)], (4, 6))
    with pytest.raises(L.MaskError, match="65535"):
        L.label_dtype(65536)


def test_ids_outside_the_count_are_errors() -> None:
    for wrong in (np.array([[3]], np.uint8), np.array([[-1]])):
        with pytest.raises(L.MaskError, match=r"not 0\.\.2"):
            L.labels_to_masks(wrong, 2)
    with pytest.raises(L.MaskError, match="float"):
        L.boxes(np.zeros((2, 2)), 1)
    with pytest.raises(L.MaskError, match="1 refined masks for 2"):
        L.merge(np.zeros((2, 2), np.uint8), np.zeros((1, 2, 2), bool), np.zeros(2, bool))


def test_without_some_ids_their_pixels_are_background() -> None:
    labels = np.array([[0, 1, 2], [3, 3, 1]], np.uint8)
    left = L.without(labels, [1, 3, 9])
    np.testing.assert_array_equal(left, [[0, 0, 2], [0, 0, 0]])
    assert left.dtype == np.uint8 and L.without(labels, []) is labels


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([[0.02, 0.95]]), "object 1 has values from 0.02 to 0.95 beside 0.*share > 0.5"),
        (np.array([[-5.0, 3.0]]), "values from -5 to 3"),
        (np.array([[np.nan, 1.0]]), "values from nan to nan"),
        (np.array([["0", "1"]]), "values of type <U1; give it as bool or uint8"),
    ],
)
def test_what_is_no_mask_is_refused(values: np.ndarray, said: str) -> None:
    with pytest.raises(L.MaskError, match=said):
        L.check_masks([values], (1, 2))


def test_a_label_map_in_place_of_a_mask_is_told(caplog: pytest.LogCaptureFixture) -> None:
    checked = L.check_masks([np.array([[0, 1, 2]], np.uint8)], (1, 3))
    assert checked[0].tolist() == [[False, True, True]]
    assert "object 1 has values from 1 to 2" in caplog.text and "labels == number" in caplog.text


def test_numbers_of_objects_may_be_those_of_numpy() -> None:
    numbers = L.object_numbers(np.array([3, 1]))
    assert numbers == {1, 3} and {type(number) for number in numbers} == {int}
    for wrong in (["1"], 1, [1.5]):
        with pytest.raises(L.MaskError, match="list of whole numbers"):
            L.object_numbers(wrong)
