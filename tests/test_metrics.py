"""J and F on masks whose values are known, and properties."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tracker.bench.metrics import Scorer, boundary, boundary_f, jaccard


def square(y: int, x: int, side: int, shape=(100, 100)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[y : y + side, x : x + side] = True
    return mask


EMPTY = np.zeros((100, 100), bool)


def test_jaccard_values():
    assert jaccard(EMPTY, EMPTY) == 1.0
    assert jaccard(square(10, 10, 20), EMPTY) == 0.0
    assert jaccard(square(10, 10, 20), square(10, 20, 20)) == pytest.approx(200 / 600)


def test_boundary_of_a_square_is_above_and_left_of_each_change():
    edge = boundary(square(3, 4, 2, (8, 8)))
    expected = np.zeros((8, 8), bool)
    expected[2:5, 3:6] = True  # rows 2 and 4, columns 3 and 5, and all between but the inside
    expected[3, 4] = False
    assert np.array_equal(edge, expected)


def test_no_boundary_where_an_object_touches_the_border():
    mask = np.zeros((10, 10), bool)
    mask[:, 5:] = True
    edge = boundary(mask)
    assert np.array_equal(np.flatnonzero(edge.any(0)), [4])
    assert edge[:, 4].all()


def test_boundary_f_of_same_empty_and_missing():
    mask = square(30, 30, 25)
    assert boundary_f(mask, mask) == 1.0
    assert boundary_f(EMPTY, EMPTY) == 1.0
    assert boundary_f(mask, EMPTY) == 0.0
    assert boundary_f(EMPTY, mask) == 0.0


def test_tolerance_is_a_share_of_the_diagonal_rounded_up():
    # the diagonal of 100 x 100 is 141.4 pixels, 0.008 of it 1.13: two pixels are tolerated
    mask = square(30, 30, 25)
    assert boundary_f(square(32, 30, 25), mask) == 1.0
    assert boundary_f(square(33, 30, 25), mask) < 1.0
    assert boundary_f(square(60, 60, 25), mask) == 0.0


def test_boundary_f_of_one_wrong_side():
    # stripes from border to border have one boundary per side: ours has one side right
    truth, ours = np.zeros((2, 100, 100), bool)
    truth[:, 30:50] = True
    ours[:, 30:80] = True
    assert boundary_f(ours, truth) == pytest.approx(0.5)
    ours = np.zeros((100, 100), bool)
    ours[:, 30:] = True  # precision 1, recall one half
    assert boundary_f(ours, truth) == pytest.approx(2 / 3)


def slow_boundary_f(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Straight from the definition: distances between all boundary pixels."""
    a, b = np.argwhere(boundary(ours)), np.argwhere(boundary(theirs))
    if not len(a) or not len(b):
        return float(len(a) == len(b))
    radius = math.ceil(0.008 * math.hypot(*ours.shape))
    near = ((a[:, None] - b[None]) ** 2).sum(-1) <= radius**2
    precision, recall = near.any(1).mean(), near.any(0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@settings(max_examples=60)
@given(arrays(bool, (2, 17, 23), elements=st.sampled_from([False, False, True])))
def test_boundary_f_equals_the_definition_and_is_symmetric(pair):
    value = boundary_f(pair[0], pair[1])
    assert value == pytest.approx(slow_boundary_f(pair[0], pair[1]))
    assert value == pytest.approx(boundary_f(pair[1], pair[0]))


def test_scorer_counts_false_presence_only_where_the_object_is_absent():
    scorer, there = Scorer(), square(10, 10, 20).astype(np.uint8)
    nothing = np.zeros_like(there)
    scorer.add(there, there, [1])
    scorer.add(there, nothing, [1])
    scorer.add(nothing, nothing, [1])
    score = scorer.result()[1]
    assert (score.frames, score.absent) == (3, 2)
    assert score.false_presence == 0.5
    assert score.j == pytest.approx(2 / 3)
    assert score.jf == pytest.approx(2 / 3)


def test_scorer_names_both_sizes():
    with pytest.raises(ValueError, match=r"\(4, 4\).*\(5, 4\)"):
        Scorer().add(np.zeros((4, 4), np.uint8), np.zeros((5, 4), np.uint8), [1])
