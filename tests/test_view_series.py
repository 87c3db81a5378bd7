"""Overlap over time: known values, the toolkit's own figures, and which moments are the worst."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.view_toys import LENGTH, RIGHT, SHAPE, Toy, WithoutTruth, rectangle
from tests.vot_data import workspace as workspace
from tracker.view.build import _shown_moments
from tracker.view.footage import is_empty, raster
from tracker.view.series import (
    Kind,
    Moment,
    ObjectSeries,
    mean_of,
    measure,
    overlap,
    sort_key,
    worst,
)
from tracker.view.vot_footage import VotFootage, workspace_footage
from tracker.vot.regions import MaskRegion, Shape, Special
from tracker.vot.workspace import Workspace

NAN = float("nan")


def test_overlap_of_known_masks() -> None:
    square, half = rectangle(10, 10, 20, 20), rectangle(10, 20, 20, 20)
    nothing = np.zeros(SHAPE, bool)
    assert overlap(square, square) == 1
    assert overlap(square, half) == pytest.approx(200 / 600)
    assert overlap(square, nothing) == overlap(nothing, square) == 0
    assert overlap(nothing, nothing) == 1


def test_pixels_to_ignore_count_neither_for_nor_against() -> None:
    square, half = rectangle(10, 10, 20, 20), rectangle(10, 20, 20, 20)
    assert overlap(square, half, ignored=rectangle(10, 30, 20, 10)) == pytest.approx(200 / 400)
    assert overlap(square, half, ignored=np.ones(SHAPE, bool)) == 0


@pytest.mark.parametrize(
    ("text", "fps"),
    [("30", 30), ("0.0004", 0.0004), ("inf", 24), ("nan", 24), ("1e-9", 24), ("-5", 24), ("x", 24)],
)
def test_a_frame_rate_that_no_video_has_is_the_usual_one(
    workspace: Workspace, text: str, fps: float
) -> None:
    (info, *_) = workspace.dataset()
    path = info.folder / "sequence"
    path.write_text(path.read_text().replace("fps=24", f"fps={text}"))
    assert VotFootage(info, []).fps == fps


boxes = st.tuples(*(st.integers(0, high) for high in (59, 79, 12, 12)))


@settings(max_examples=150, derandomize=True)
@given(first=boxes, second=boxes, other=boxes, use_ignored=st.booleans())
def test_overlap_equals_the_toolkits(first, second, other, use_ignored) -> None:
    from vot.region.raster import calculate_overlap
    from vot.region.shapes import Mask

    ours, theirs, ignored = (rectangle(*box) for box in (first, second, other))
    left_out = ignored if use_ignored and ignored.any() else None
    regions = [Mask(mask.astype(np.uint8)) for mask in (ours, theirs)]
    skip = None if left_out is None else Mask(left_out.astype(np.uint8))
    expected = calculate_overlap(*regions, SHAPE[::-1], skip)
    assert overlap(ours, theirs, left_out) == pytest.approx(expected)


@settings(max_examples=60, derandomize=True)
@given(x=st.floats(-20, 90), y=st.floats(-20, 70), width=st.floats(2, 60), height=st.floats(2, 50))
def test_rectangles_cover_the_toolkits_pixels(x, y, width, height) -> None:
    from vot.region.raster import rasterize_rectangle

    numbers = np.round(np.float32([[x], [y], [width], [height]]))
    expected = rasterize_rectangle(numbers, (0, 0, SHAPE[1] - 1, SHAPE[0] - 1))
    found = raster(Shape("rectangle", (x, y, width, height)), SHAPE)
    assert np.array_equal(found, expected.astype(bool))


def test_polygons_and_points() -> None:
    square = Shape("polygon", (10, 10, 29, 10, 29, 29, 10, 29))
    assert np.array_equal(raster(square, SHAPE), rectangle(10, 10, 20, 20))
    assert np.array_equal(raster(Shape("point", (7.0, 3.0)), SHAPE), rectangle(3, 7, 1, 1))
    assert not raster(Special(1), SHAPE).any() and is_empty(Special(1)) and not is_empty(square)


def test_series_of_known_masks() -> None:
    a, b = measure(Toy())
    expected = [0, 1, 200 / 600, 0, 0, 1, NAN, 1]  # the mark of the first frame is a miss
    assert np.allclose(a.overlaps, expected, equal_nan=True)
    assert np.allclose(b.overlaps, [NAN, NAN, 1, 1, 1, 0, 1, 0], equal_nan=True)
    given_then_visible = [Kind.GIVEN, *[Kind.VISIBLE] * 5, Kind.UNKNOWN, Kind.VISIBLE]
    assert a.kinds.tolist() == given_then_visible
    assert b.kinds.tolist()[2:6] == [Kind.GIVEN, Kind.VISIBLE, Kind.ABSENT, Kind.ABSENT]
    assert a.areas.tolist() == [0, 400, 400, 400, 0, 400, 400, 400]
    assert (a.lost, a.absent, a.reported_absent) == (2, 0, 0)
    assert (b.lost, b.absent, b.reported_absent) == (1, 2, 1)
    assert a.mean == pytest.approx((1 + 1 / 3 + 1 + 1) / 7)
    assert mean_of([a, b]) == pytest.approx((a.mean + 4 / 6) / 2)


def test_a_failure_counts_for_nothing() -> None:
    class Failed(Toy):
        answers = ((*Toy.answers[0][:3], Special(2), *Toy.answers[0][4:]), Toy.answers[1])

    a, _ = measure(Failed())
    assert np.isnan(a.overlaps[3]) and a.lost == 1


def test_areas_to_ignore_reach_the_series() -> None:
    class Ignoring(Toy):
        ignored = RIGHT

    assert measure(Ignoring())[0].overlaps[3] == 0
    assert np.isnan(measure(Ignoring())[0].overlaps[6])
    assert measure(Ignoring())[1].overlaps[3] == 0  # all of it is to be ignored


def test_areas_to_ignore_are_those_of_the_data_set(workspace: Workspace) -> None:
    folder = workspace.sequences / "single"
    before = {one.name: one for one in workspace_footage(workspace, "Still")}["single"]
    assert is_empty(before.regions(1).ignored)
    (folder / "groundtruth__ignore.txt").write_text("0\nm2,3,2,2,0,4\n")
    footage = {one.name: one for one in workspace_footage(workspace, "Still")}["single"]
    assert [footage.regions(number).ignored for number in range(3)] == [
        *(Special(0), MaskRegion(2, 3, 2, 2, (0, 4)), Special(0)),
    ]


def test_truth_of_the_first_frame_only_gives_no_mean() -> None:
    series = measure(WithoutTruth())
    assert series[0].mean is None and mean_of(series) is None
    assert worst(series, 5) == []


def test_means_are_the_toolkits_quality(workspace: Workspace) -> None:
    content = json.loads((workspace.folder / "analysis/Still-scores.json").read_text())
    quality = {row["sequence"]: row["Q"] for row in content["scores"]}
    found = {one.name: mean_of(measure(one)) for one in workspace_footage(workspace, "Still")}
    assert found == pytest.approx({name: quality[name] for name in ("pair", "single")}, abs=1e-6)


def test_the_worst_come_first_and_apart() -> None:
    series = measure(Toy())
    every = worst(series, 10)
    assert every == [
        Moment(3, 0, 0.0),
        Moment(4, 0, 0.0),
        Moment(5, 1, 0.0),  # known to be absent, but reported
        Moment(7, 1, 0.0),
        Moment(2, 0, pytest.approx(1 / 3)),
    ]
    assert [m.frame for m in worst(series, 10, apart=2)] == [3, 5, 7]
    assert [m.frame for m in worst(series, 2)] == [3, 4]
    assert all(m.frame != 0 for m in every)  # where the object was given is no mistake


def test_the_worst_frames_that_are_shown_are_apart_and_but_for_one_not_fine() -> None:
    overlaps = np.full(48, 0.95)
    kinds = np.array([Kind.GIVEN, *[Kind.VISIBLE] * 47])
    fine = ObjectSeries("a", kinds, overlaps.copy(), np.full(48, 9))
    assert [m.frame for m in _shown_moments((fine,), 48)] == [1]
    overlaps[[10, 13, 20, 30]] = 0.2, 0.3, 0.5, 0.89
    bad = ObjectSeries("b", kinds, overlaps, np.full(48, 9))
    shown = _shown_moments((fine, bad), 48)
    assert [(m.frame, m.object_index) for m in shown] == [(10, 1), (20, 1), (30, 1)]


def test_means_sort_from_the_lowest_and_none_last() -> None:
    means = {"b": 0.5, "a": None, "c": 0.5, "d": 0.0}
    ordered = sorted(means, key=lambda name: sort_key(means[name], name))
    assert ordered == ["d", "b", "c", "a"]
    assert len(measure(Toy())[0].kinds) == LENGTH
