"""Which frames are refined under a deadline: a clock that is set by hand, times that are given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.config import ConfigError, RealtimeConfig, preset
from tracker.realtime import RefineSchedule


@dataclass
class Clock:
    """Seconds; whole milliseconds are added by hand."""

    milliseconds: int = 0

    def __call__(self) -> float:
        return self.milliseconds / 1000


def refined_frames(config: RealtimeConfig, segmenting: list[int], refining: list[int]) -> list[int]:
    """Frames (from 1) that a loop over frames with these times, in ms, refines."""
    clock, found = Clock(12345), []
    schedule = RefineSchedule(config, clock)
    for number, (segment, refine) in enumerate(zip(segmenting, refining, strict=True), start=1):
        schedule.begin()
        clock.milliseconds += segment
        if schedule.allows():
            with schedule.refining():
                clock.milliseconds += refine
            found.append(number)
    return found


def test_without_settings_every_frame_is_refined() -> None:
    assert refined_frames(RealtimeConfig(), [10**6] * 4, [10**6] * 4) == [1, 2, 3, 4]


def test_every_nth_frame_at_most_beginning_with_the_first() -> None:
    assert refined_frames(RealtimeConfig(refine_every=3), [5] * 8, [5] * 8) == [1, 4, 7]


def test_a_refiner_that_fits_runs_and_one_that_does_not_is_left_out() -> None:
    """20 + 29 ms are in time at 50 ms; with 31 ms none is but the first."""
    config = RealtimeConfig(deadline_ms=50)
    assert refined_frames(config, [20] * 5, [29] * 5) == [1, 2, 3, 4, 5]
    assert refined_frames(config, [20] * 2, [31] * 2) == [1]


def test_frames_whose_segmentation_was_slow_are_left_out() -> None:
    config = RealtimeConfig(deadline_ms=50)
    assert refined_frames(config, [20, 20, 22, 90, 20], [29] * 5) == [1, 2, 5]


def test_a_refiner_that_was_slow_once_is_tried_again() -> None:
    """60 ms with 30 left: .99 to the 69th is below a half, and frame 71 sees 69 of them."""
    times = [60] + [10] * 89
    found = refined_frames(RealtimeConfig(deadline_ms=50), [20] * 90, times)
    assert math.ceil(math.log(0.5) / math.log(0.99)) == 69
    assert found == [1, *range(71, 91)]


def test_a_refiner_that_is_always_a_third_too_slow_is_late_in_one_frame_of_thirty() -> None:
    found = refined_frames(RealtimeConfig(deadline_ms=50), [20] * 300, [40] * 300)
    assert found == list(range(1, 301, 30))


def test_a_refiner_that_is_ever_too_slow_runs_at_least_every_nth_frame() -> None:
    config = RealtimeConfig(deadline_ms=50, refine_at_least=4)
    assert refined_frames(config, [20] * 10, [400] * 10) == [1, 5, 9]
    both = RealtimeConfig(deadline_ms=50, refine_every=2, refine_at_least=4)
    assert refined_frames(both, [20] * 10, [400] * 10) == [1, 5, 9]
    assert refined_frames(both, [20] * 6, [29] * 6) == [1, 3, 5]


def test_the_newest_time_counts_a_quarter_or_wholly_when_it_is_the_longest() -> None:
    """29 and 9 ms are taken for 24 ms, which fits beside 25 and not beside 27; 9 and 29 for 29."""
    config = RealtimeConfig(deadline_ms=50)
    assert refined_frames(config, [20, 20, 25], [29, 9, 1]) == [1, 2, 3]
    assert refined_frames(config, [20, 20, 27], [29, 9, 1]) == [1, 2]
    assert refined_frames(config, [20, 20, 20], [9, 29, 1]) == [1, 2, 3]
    assert refined_frames(config, [20, 20, 22], [9, 29, 1]) == [1, 2]


def test_an_encoding_is_begun_early_where_the_estimates_leave_time() -> None:
    clock = Clock()
    schedule = RefineSchedule(RealtimeConfig(deadline_ms=50), clock)
    expected = []
    for segment in (20, 60, 60, 20):
        expected.append(schedule.begin())
        clock.milliseconds += segment
        if schedule.allows():
            with schedule.refining():
                clock.milliseconds += 30
    # segmenting is taken for 20, then 30, then 37.5 ms
    assert expected == [True, True, False, False]


def test_a_new_video_begins_with_a_refined_frame_and_keeps_the_times() -> None:
    clock = Clock()
    schedule = RefineSchedule(RealtimeConfig(deadline_ms=50, refine_every=2), clock)

    def frame(segment: int, refine: int) -> bool:
        schedule.begin()
        clock.milliseconds += segment
        if not schedule.allows():
            return False
        with schedule.refining():
            clock.milliseconds += refine
        return True

    assert frame(20, 40) and not frame(0, 40)
    schedule.restart()
    assert not frame(20, 40), "40 ms are known not to fit"
    schedule.restart()
    assert frame(0, 40)


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=60),
    st.integers(1, 5),
    st.integers(0, 5),
)
def test_gaps_between_refined_frames_keep_to_the_settings(times, every, more) -> None:
    config = RealtimeConfig(deadline_ms=50, refine_every=every, refine_at_least=every + more)
    found = refined_frames(config, *map(list, zip(*times, strict=True)))
    gaps = [b - a for a, b in zip(found, [*found[1:], len(times) + 1], strict=True)]
    assert found[0] == 1
    assert all(every <= gap for gap in gaps[:-1])
    assert all(gap <= every + more for gap in gaps)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("deadline_ms", 0),
        ("deadline_ms", float("nan")),
        ("deadline_ms", float("inf")),
        ("deadline_ms", "50"),
        ("deadline_ms", True),
        ("refine_every", 0),
        ("refine_every", None),
        ("refine_at_least", 1.5),
    ],
)
def test_settings_that_make_no_sense_are_errors_that_name_them(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"realtime__{key} is {value!r}"):
        preset("hqtrack", **{f"realtime__{key}": value})


def test_at_least_less_often_than_at_most_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"refine_at_least is 2, less than .*refine_every \(3\)"):
        RealtimeConfig(refine_every=3, refine_at_least=2)
