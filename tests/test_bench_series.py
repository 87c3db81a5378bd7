"""The benchmark's numbers: series over the frames, and the stages of a frame."""

from __future__ import annotations

import pytest

from tracker.bench import series
from tracker.bench.stages import StageMeter


def test_median_and_95th_percentile() -> None:
    found = series.summary([0.1] * 18 + [0.2, 0.4])
    assert (found.count, found.median) == (20, 0.1)
    assert found.p95 == pytest.approx(0.2 + 0.05 * 0.2)  # position 18.05 of 0..19
    assert found.per_second == pytest.approx(20 / 2.4)
    with pytest.raises(ValueError, match="no durations"):
        series.summary([])


def test_flatness_compares_frames_400_to_600_with_the_last_200() -> None:
    seconds = [9.0] * 400 + [0.10] * 200 + [5.0] * 1200 + [0.11] * 200
    rss = [100] * 400 + [101] * 1600
    cuda = [50] * 200 + [60] * 1800
    found = series.flatness(seconds, rss, cuda)
    assert (found.settle, found.window, found.early, found.late) == (400, 200, 0.10, 0.11)
    assert found.time_ratio == pytest.approx(1.1)
    assert found.rss_growth == pytest.approx(0.01) and found.cuda_growth == 0


def test_flatness_of_a_short_run_uses_the_same_shares() -> None:
    found = series.flatness([1.0] * 10 + [2.0] * 5 + [3.0] * 30 + [4.0] * 5, [None] * 50, [7] * 50)
    assert (found.settle, found.window, found.early, found.late) == (10, 5, 2.0, 4.0)
    assert found.rss_growth is None and found.cuda_growth == 0
    with pytest.raises(ValueError, match="9 frames are too few"):
        series.flatness([1.0] * 9, [1] * 9, [1] * 9)


def test_a_machine_that_slows_down_is_told_from_a_tracker_that_does() -> None:
    slowing = [0.1] * 30 + [0.2] * 20
    machine = series.flatness(slowing, [1] * 50, [None] * 50, [0.01] * 30 + [0.02] * 20)
    assert machine.time_ratio == 2 and machine.paced_ratio == pytest.approx(1)
    tracker = series.flatness(slowing, [1] * 50, [None] * 50, [0.01] * 50)
    assert tracker.time_ratio == 2 and tracker.paced_ratio == pytest.approx(2)
    assert series.flatness(slowing, [1] * 50, [None] * 50).paced_ratio is None


def test_memory_that_falls_has_not_grown() -> None:
    assert series.growth([5, 9, 3, 4], 2) == 0
    assert series.growth([5, 9, 3, 18], 2) == 1
    assert series.growth([5, 9], 2) is None


def test_the_cost_of_an_added_object() -> None:
    assert series.added_object_cost(2.0, 2.9, 10) == pytest.approx(0.05)
    with pytest.raises(ValueError, match="1 objects"):
        series.added_object_cost(1.0, 1.0, 1)


class Work:
    """Three stages inside one another; every one advances the clock by one, `whole` by two."""

    def __init__(self) -> None:
        self.time = 0.0

    def whole(self) -> None:
        self.time += 1
        self.half()
        self.half()
        self.time += 1

    def half(self) -> None:
        self.time += 1
        self.leaf()

    def leaf(self) -> None:
        self.time += 1


def test_a_stage_owns_its_time_without_inner_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work()
    meter = StageMeter(lambda: work.time)
    hooks = [(name, f"{__name__}:Work.{name}") for name in ("whole", "half", "leaf")]
    with meter.on(hooks):
        work.whole()
    assert meter.take() == {"leaf": 2, "half": 2, "whole": 2}
    work.whole()
    assert meter.take() == {}


def test_a_stage_that_is_not_there_is_an_error() -> None:
    with (
        pytest.raises(AttributeError, match="gone"),
        StageMeter(float).on([("x", f"{__name__}:Work.gone")]),
    ):
        pass
