"""Prompts: what marks nothing is refused, and the masks without a segmenter."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.labels import iou
from tracker.prompts import (
    BoxPrompt,
    PointPrompt,
    PolygonPrompt,
    Prompt,
    PromptError,
    check_prompt,
    ellipse,
    fallback_mask,
)
from tracker.resident import refusal

SHAPE = (60, 80)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A red square with rounded noise on green, and its mask."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 40, (*SHAPE, 3)).astype(np.uint8)
    mask = np.zeros(SHAPE, bool)
    mask[15:41, 20:51] = True
    image[..., 1] += 120
    image[mask] = rng.integers(0, 40, (mask.sum(), 3)) + np.array([180, 10, 10])
    return image, mask


def test_the_ellipse_fills_its_box_and_leaves_the_corners() -> None:
    mask = ellipse(BoxPrompt(10, 4, 40, 20), (48, 64))
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 23, 10, 49)
    assert not mask[4, 10]
    assert mask.sum() == pytest.approx(np.pi / 4 * 40 * 20, rel=0.02)


def test_a_tiny_box_gives_the_pixel_it_lies_in() -> None:
    tiny = BoxPrompt(3.1, 2.1, 0.2, 0.2)
    assert np.argwhere(ellipse(tiny, (5, 6))).tolist() == [[2, 3]]
    assert np.argwhere(fallback_mask(np.zeros((5, 6, 3), np.uint8), tiny)).tolist() == [[2, 3]]


@pytest.mark.parametrize(
    "prompt",
    [
        BoxPrompt(18, 13, 35, 30),
        PointPrompt(((35, 28),)),
        PointPrompt(((25, 20), (45, 35)), background=((5, 5), (75, 55))),
    ],
)
def test_a_box_or_a_point_finds_the_object_in_it(prompt: Prompt) -> None:
    image, mask = scene()
    found = fallback_mask(image, prompt)
    assert iou(found, mask) > 0.9
    np.testing.assert_array_equal(found, fallback_mask(image, prompt))


def test_where_the_picture_tells_nothing_the_first_guess_stays() -> None:
    plain = np.full((*SHAPE, 3), 90, np.uint8)
    box = BoxPrompt(10, 10, 40, 20)
    found = fallback_mask(plain, box)
    assert iou(found, ellipse(box, SHAPE)) > 0.5
    point = fallback_mask(plain, PointPrompt(((40.5, 30.5),)))
    assert point[30, 40] and not point[0, 0]


def test_a_polygon_is_filled() -> None:
    square = PolygonPrompt(((10, 5), (30, 5), (30, 15), (10, 15)))
    mask = fallback_mask(np.zeros((*SHAPE, 3), np.uint8), square)
    want = np.zeros(SHAPE, bool)
    want[5:15, 10:30] = True
    assert iou(mask, want) > 0.85
    assert square.box == BoxPrompt(10, 5, 20, 10) and square.box.corners == (10, 5, 29, 14)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (BoxPrompt(5, 5, 0, 10), "above 0 pixels"),
        (BoxPrompt(5, 5, 10, -1), "above 0 pixels"),
        (BoxPrompt(80, 5, 10, 10), "outside the frame, 80 x 60"),
        (BoxPrompt(-10, 5, 10, 10), "outside the frame"),
        (BoxPrompt(math.nan, 5, 10, 10), "finite"),
        (PolygonPrompt(((1, 1), (2, 2))), "three corners"),
        (PolygonPrompt(((90, 1), (95, 2), (92, 9))), "outside the frame"),
        (PointPrompt(()), "at least one point"),
        (PointPrompt(((80, 3),)), r"\(80, 3\) lies outside the frame"),
        (PointPrompt(((8, 3),), background=((8, 61),)), r"\(8, 61\)"),
        (PointPrompt(((math.inf, 3),)), "finite"),
        (PolygonPrompt(((-1e9, -1e9), (1e9, -1e9), (1e9, 1e9))), "far outside any frame"),
        (BoxPrompt(0, 0, 1e7, 5), "far outside any frame: at most 1000000 pixels"),
        ((4, 6, 9, 9), r"\(4, 6, 9, 9\) is no prompt; give a BoxPrompt, PolygonPrompt or"),
    ],
)
def test_a_prompt_that_marks_nothing_is_refused(prompt: Prompt, said: str) -> None:
    with pytest.raises(PromptError, match=said):
        check_prompt(prompt, SHAPE)
    with pytest.raises(PromptError, match=said):
        fallback_mask(np.zeros((*SHAPE, 3), np.uint8), prompt)


def test_a_prompt_of_many_corners_does_not_hide_the_reason() -> None:
    """A client of TraX is told 1000 characters."""
    circle = [(500 + 9 * math.cos(n), 500 + 9 * math.sin(n)) for n in range(100)]
    with pytest.raises(PromptError) as caught:
        check_prompt(PolygonPrompt(circle), SHAPE)
    told = refusal.one_line(str(caught.value))
    assert told.startswith("PolygonPrompt(vertices=((509.0, 500.0), (504.")
    assert told.endswith("... lies outside the frame, 80 x 60 pixels") and len(told) < 250


numbers = st.floats(-200, 200, allow_nan=False)


@given(
    st.one_of(
        st.builds(BoxPrompt, numbers, numbers, numbers, numbers),
        st.lists(st.tuples(numbers, numbers), max_size=5).map(lambda v: PolygonPrompt(tuple(v))),
        st.lists(st.tuples(numbers, numbers), max_size=3).map(lambda v: PointPrompt(tuple(v))),
    )
)
def test_whatever_is_accepted_gives_a_mask_with_pixels(prompt: Prompt) -> None:
    image = scene()[0][::3, ::3]
    try:
        check_prompt(prompt, image.shape[:2])
    except PromptError:
        return
    mask = fallback_mask(image, prompt)
    assert mask.shape == image.shape[:2] and mask.dtype == bool and mask.any()


def test_coordinates_may_be_those_of_numpy() -> None:
    points = PointPrompt(np.array([[4, 6]]), background=[np.float32([1, 2])])
    assert points == PointPrompt(((4.0, 6.0),), ((1.0, 2.0),))
    assert PolygonPrompt([[0, 0], [9, 0], [9, 9]]).vertices == ((0, 0), (9, 0), (9, 9))
    assert BoxPrompt(*np.array([1, 2, 3, 4])) == BoxPrompt(1, 2, 3, 4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: BoxPrompt("a", 1, 2, 3), "BoxPrompt: 'a' is no number of pixels"),
        (lambda: PointPrompt((40, 60)), r"PointPrompt: \(40, 60\) are no points"),
        (lambda: PolygonPrompt(((1, 2, 3),) * 3), r"PolygonPrompt: \(1, 2, 3\) is no point"),
    ],
)
def test_what_are_no_coordinates_is_refused(make: Callable[[], Prompt], said: str) -> None:
    with pytest.raises(PromptError, match=said):
        make()
