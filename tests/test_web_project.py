"""The model behind the page: marks, results, corrections, and what becomes outdated."""

from __future__ import annotations

import numpy as np
import pytest

from tests.web_toys import block, columns, drifting_tracker, make_project
from tracker.web.follow import follow, start_frame
from tracker.web.jobs import Stopped
from tracker.web.limits import LimitError, Limits
from tracker.web.project import ProjectError


def _quiet(done: int, count: int) -> None:
    pass


@pytest.fixture
def tracked(tmp_path):
    """Two objects from frame 0, tracked to the end; the project, the tracker and its log."""
    project = make_project(tmp_path)
    tracker, log = drifting_tracker()
    for left, top in ((2, 2), (20, 14)):
        project.mark(0, project.add_object(), block(left, top))
    follow(project, tracker, _quiet)
    return project, tracker, log


def _places(project, number):
    return [columns(project.labels(t), number) for t in range(project.clip.count)]


def test_tracking_fills_every_frame(tracked):
    project, _, log = tracked
    assert _places(project, 1) == [(2 + t, 7 + t) for t in range(8)]
    assert _places(project, 2) == [(20 + t, 25 + t) for t in range(8)]
    assert log == [("start", 0, 2), *(("step", t, 0) for t in range(1, 8))]
    assert project.complete and project.valid_to == 7
    assert project.result(0).confidence.tolist() == [1, 1]
    assert project.result(3).confidence.tolist() == [0.75, 0.75]


def test_a_correction_keeps_earlier_frames_and_renews_later_ones(tracked):
    project, tracker, log = tracked
    log.clear()
    project.mark(4, 1, block(30, 2))
    assert project.valid_to == 4 and not project.complete
    assert columns(project.labels(4), 1) == (30, 35) and columns(project.labels(5), 1) == (7, 12)
    assert project.result(5).labels.max() == 0, "outdated masks are no results"
    follow(project, tracker, _quiet)
    assert _places(project, 1) == [(2 + t, 7 + t) for t in range(4)] + [
        (30 + t, 35 + t) for t in range(4)
    ]
    assert _places(project, 2) == [(20 + t, 25 + t) for t in range(8)]
    assert log == [("start", 4, 2), ("step", 5, 0), ("step", 6, 0), ("step", 7, 0)]
    assert project.result(4).confidence.tolist() == [1, 0.75]


def test_a_later_correction_is_made_again_when_an_earlier_one_is_tracked(tracked):
    project, tracker, log = tracked
    project.mark(5, 2, block(0, 14))
    follow(project, tracker, _quiet)
    project.mark(2, 1, block(40, 2))
    log.clear()
    follow(project, tracker, _quiet)
    assert columns(project.labels(7), 2) == (2, 7) and columns(project.labels(4), 2) == (24, 29)
    assert columns(project.labels(3), 1) == (41, 46)
    assert [entry[:2] for entry in log if entry[0] == "start"] == [("start", 2), ("start", 5)]


def test_new_objects_are_added_to_what_is_being_tracked(tmp_path):
    project = make_project(tmp_path)
    tracker, log = drifting_tracker()
    first, second = project.add_object(), project.add_object()
    project.mark(3, second, block(20, 14))
    project.mark(1, first, block(2, 2))
    follow(project, tracker, _quiet)
    assert log[:3] == [("start", 1, 1), ("step", 2, 0), ("add", 3, 1)]
    assert _places(project, 1) == [None, *((1 + t, 6 + t) for t in range(1, 8))]
    assert _places(project, 2) == [None] * 3 + [(17 + t, 22 + t) for t in range(3, 8)]
    assert project.result(0).labels.max() == 0 and project.first == 1


def test_object_numbers_hold_when_the_tracker_counts_otherwise(tmp_path):
    project = make_project(tmp_path)
    tracker, _ = drifting_tracker()
    for left in (2, 20):
        project.mark(0, project.add_object(), block(left))
    project.remove_object(1)
    third = project.add_object()
    project.mark(2, third, block(38))
    follow(project, tracker, _quiet)
    assert third == 3 and project.objects == (2, 3)
    labels = project.labels(4)
    assert set(np.unique(labels)) == {0, 2, 3}
    assert columns(labels, 2) == (24, 29) and columns(labels, 3) == (40, 45)
    assert project.result(4).confidence.tolist() == [0, 0.75, 0.75]


def test_an_object_that_is_not_seen_enters_with_the_last_frame_that_showed_it(tracked):
    project, tracker, log = tracked
    project.mark(4, 1, np.zeros_like(block(0)))
    log.clear()
    follow(project, tracker, _quiet)
    assert columns(project.labels(4), 1) is None
    assert project.result(4).confidence.tolist() == [0, 0.75]
    assert log[:3] == [("start", 3, 1), ("add", 4, 1), ("step", 5, 0)]
    assert columns(project.labels(6), 1) == (8, 13), "it can come back"
    assert columns(project.labels(6), 2) == (26, 31)


def test_objects_enter_in_the_order_of_the_frames_that_showed_them(tracked):
    """The first one is seen where tracking begins again, the second one before."""
    project, tracker, log = tracked
    project.mark(4, 2, np.zeros_like(block(0)))
    log.clear()
    follow(project, tracker, _quiet)
    assert log[:3] == [("start", 3, 1), ("add", 4, 1), ("step", 5, 0)]
    assert _places(project, 1) == [(2 + t, 7 + t) for t in range(8)]
    assert [columns(project.labels(t), 2) for t in (3, 4, 6)] == [(23, 28), None, (26, 31)]


def test_a_correction_made_where_nothing_was_tracked_yet_waits_for_its_frame(tmp_path):
    project = make_project(tmp_path)
    tracker, log = drifting_tracker()
    number = project.add_object()
    project.mark(0, number, block(0))
    project.mark(5, number, block(30))
    follow(project, tracker, _quiet)
    assert columns(project.labels(4), number) == (4, 9)
    assert columns(project.labels(6), number) == (31, 36)
    assert [entry[:2] for entry in log if entry[0] == "start"] == [("start", 0), ("start", 5)]


def test_taking_back_a_new_mark_makes_the_old_results_stand_again(tracked):
    project, _, _ = tracked
    project.mark(4, 1, block(30, 2))
    project.unmark(4, 1)
    assert project.complete and columns(project.labels(4), 1) == (6, 11)


def test_taking_back_a_used_mark_drops_what_was_made_with_it(tracked):
    project, tracker, _ = tracked
    project.mark(4, 1, block(30, 2))
    follow(project, tracker, _quiet)
    project.unmark(4, 1)
    assert project.valid_to == 3 and columns(project.labels(4), 1) is None
    assert sorted(path.name for path in project.clip.folder.glob("labels-*")) == [
        f"labels-{t:08d}.png" for t in range(4)
    ]
    follow(project, tracker, _quiet)
    assert _places(project, 1) == [(2 + t, 7 + t) for t in range(8)]


def test_a_replaced_start_that_is_taken_back_leaves_no_results(tracked):
    project, _, _ = tracked
    project.mark(0, 1, block(30, 2))
    project.unmark(0, 1)
    assert project.valid_to is None and project.labels(3).max() == 0
    assert project.untracked_objects == (1,)


@pytest.mark.parametrize("others", [0, 1])
def test_with_its_start_goes_that_an_object_is_not_seen_later(tmp_path, others):
    """Else tracking would begin in a frame in which there is nothing to track."""
    project = make_project(tmp_path)
    number = project.add_object()
    project.mark(1, number, block(2))
    project.mark(2, number, np.zeros_like(block(0)))
    project.mark(4, number, block(30))
    project.mark(5, number, np.zeros_like(block(0)))
    project.unmark(1, number)
    assert project.marked_frames(number) == (4, 5), "what comes after another start stays"
    if others:
        project.mark(6, project.add_object(), block(20, 14))
    project.unmark(4, number)
    assert project.untracked_objects == (number,)
    assert project.first == (6 if others else None)
    if others:
        follow(project, drifting_tracker()[0], _quiet)
        assert project.complete and columns(project.labels(7), 2) == (21, 26)


def test_a_mark_before_the_first_one_makes_everything_outdated(tmp_path):
    project = make_project(tmp_path)
    tracker, _ = drifting_tracker()
    number = project.add_object()
    project.mark(3, number, block(10))
    follow(project, tracker, _quiet)
    project.mark(1, number, block(0))
    assert project.valid_to is None and start_frame(project) == 1
    follow(project, tracker, _quiet)
    assert columns(project.labels(2), number) == (1, 6)
    assert columns(project.labels(4), number) == (11, 16)


def test_what_was_tracked_before_a_stop_is_kept_and_gone_on_from(tracked, tmp_path):
    project, tracker, log = tracked

    def stop_after_three(done: int, count: int) -> None:
        if done == 3:
            raise Stopped

    project.mark(2, 1, block(30, 2))
    with pytest.raises(Stopped):
        follow(project, tracker, stop_after_three)
    assert project.valid_to == 4 and tracker.count == 0
    log.clear()
    follow(project, tracker, _quiet)
    assert log[0] == ("start", 4, 2) and columns(project.labels(7), 1) == (35, 40)


def test_a_removed_object_is_gone_from_all_frames(tracked):
    project, _, _ = tracked
    project.remove_object(1)
    assert _places(project, 1) == [None] * 8
    assert _places(project, 2) == [(20 + t, 25 + t) for t in range(8)]
    project.remove_object(2)
    assert project.first is None and project.computed is None


def test_what_cannot_be_done_is_said(tmp_path):
    project = make_project(tmp_path, limits=Limits(objects=2))
    with pytest.raises(ProjectError, match="Mark an object first"):
        start_frame(project)
    one, two = project.add_object(), project.add_object()
    with pytest.raises(LimitError, match="2 objects"):
        project.add_object()
    with pytest.raises(ProjectError, match="no object 7"):
        project.mark(0, 7, block(0))
    with pytest.raises(ProjectError, match="has not begun"):
        project.mark(0, one, np.zeros_like(block(0)))
    project.mark(0, one, block(4))
    with pytest.raises(ProjectError, match="wholly covered"):
        project.mark(0, two, block(4))
    assert list(project.marks_at(0)) == [one], "the refused mark left nothing"
    tracker, _ = drifting_tracker()
    follow(project, tracker, _quiet)
    with pytest.raises(ProjectError, match="Every frame is tracked"):
        start_frame(project)
    project.busy = True
    for change in (
        project.add_object,
        lambda: project.remove_object(one),
        lambda: project.mark(0, one, block(0)),
        lambda: project.unmark(0, one),
    ):
        with pytest.raises(ProjectError, match="Tracking is on"):
            change()


def test_of_overlapping_marks_the_smaller_is_on_top_and_a_mark_wins_over_results(tracked):
    project, _, _ = tracked
    project.mark(3, 1, block(20, 12, side=9))
    labels = project.labels(3)
    assert (labels[block(20, 12, side=9)] == 1).all()
    third = project.add_object()
    project.mark(3, third, block(22, 14, side=3))
    labels = project.labels(3)
    assert (labels[block(22, 14, side=3)] == third).all() and (labels == 1).sum() == 81 - 9


def test_a_number_that_no_label_map_holds_is_refused(tmp_path):
    project = make_project(tmp_path)
    for number in range(1, 255):
        assert project.add_object() == number
        project.remove_object(number)
    assert project.add_object() == 255
    with pytest.raises(LimitError, match="All 255 numbers"):
        project.add_object()
    assert project.objects == (255,)
    project.mark(0, 255, block(2))
    follow(project, drifting_tracker()[0], _quiet)
    assert columns(project.labels(7), 255) == (9, 14)
