"""What the person at the page does: tools, marks, undo; and how the marks are drawn."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from tests.web_toys import HEIGHT, WIDTH, block, drifting_tracker, make_project
from tracker.prompts import BoxPrompt, PointPrompt, PolygonPrompt, PromptError
from tracker.web.editor import Editor, Tool
from tracker.web.follow import follow
from tracker.web.project import ProjectError
from tracker.web.sketch import colour, sketch
from tracker.web.timeline import OUTDATED, TRACKED, UNTRACKED, timeline


@pytest.fixture
def asked():
    """The prompts for which masks were asked."""
    return []


@pytest.fixture
def editor(tmp_path, asked):
    def mask_of(image, prompt):
        assert image.shape == (HEIGHT, WIDTH, 3)
        asked.append(prompt)
        return block(4 * len(asked))

    return Editor(make_project(tmp_path), mask_of)


def _shapes(text):
    return [element.tag for element in ElementTree.fromstring(f"<svg>{text}</svg>")]


def test_a_drag_makes_a_box_whichever_way_it_goes(editor, asked):
    editor.press(30, 20)
    assert editor.move(20, 10) and _shapes(sketch(editor)) == ["rect", "rect"]
    assert editor.release(10, 5)
    assert asked == [BoxPrompt(10, 5, 20, 15)]
    assert editor.number == 1 and editor.project.marked_frames(1) == (0,)
    assert "<text" in sketch(editor) and colour(1) in sketch(editor)


def test_a_drag_ends_at_the_edge_of_the_frame(editor, asked):
    editor.press(-50, -1)
    editor.release(1000, 12)
    assert asked == [BoxPrompt(0, 0, WIDTH - 0.5, 12)]


def test_a_slip_of_the_hand_is_no_box(editor, asked):
    editor.press(10, 10)
    with pytest.raises(ProjectError, match="Drag from one corner"):
        editor.release(12, 11)
    assert asked == [] and editor.project.objects == () and not editor.release(30, 20)
    assert not editor.move(1, 1)
    editor.press(10, 10)
    with pytest.raises(ProjectError, match="Drag from one corner"):
        editor.release(40, 11)


def test_points_are_collected_on_and_off_the_object(editor, asked):
    editor.use(Tool.POINTS)
    with pytest.raises(ProjectError, match="Click on the object first"):
        editor.press(1, 1, background=True)
    editor.press(10, 10)
    editor.press(12, 10)
    editor.press(40, 20, background=True)
    assert asked[-1] == PointPrompt(((10, 10), (12, 10)), ((40, 20),))
    assert editor.project.objects == (1,)
    assert _shapes(sketch(editor)).count("circle") == 2 and "path" in _shapes(sketch(editor))
    editor.press(42, 3, background=True)
    assert asked[-1].background == ((40, 20), (42, 3))
    follow(editor.project, drifting_tracker()[0], lambda *_: None)
    editor.press(14, 10)
    points = ((10, 10), (12, 10), (14, 10))
    assert asked[-1] == PointPrompt(points, ((40, 20), (42, 3))), "as before the frame was tracked"
    editor.go(3)
    editor.press(20, 20)
    assert asked[-1] == PointPrompt(((20, 20),)), "another frame, other points"


def test_an_outline_is_closed_at_its_first_corner_or_by_hand(editor, asked):
    editor.use(Tool.OUTLINE)
    for corner in ((5, 5), (20, 5), (20, 15)):
        editor.press(*corner)
    assert _shapes(sketch(editor)) == ["polyline", "polyline", *["circle"] * 3]
    editor.outline, corners = editor.outline[:2], editor.outline
    editor.press(5.5, 5.5)
    assert asked == [] and len(editor.outline) == 3, "two corners and a third near the first"
    editor.outline = [*corners]
    editor.press(5.5, 15)
    assert asked == [] and len(editor.outline) == 4, "straight below the first is not near it"
    editor.outline = corners
    editor.press(5.5, 5.5)
    assert asked == [PolygonPrompt(((5, 5), (20, 5), (20, 15)))] and editor.outline == []
    editor.press(1, 1)
    with pytest.raises(ProjectError, match="three corners"):
        editor.close_outline()


def test_undo_takes_the_unfinished_first_then_the_mark(editor):
    editor.press(10, 10)
    editor.release(20, 20)
    editor.use(Tool.OUTLINE)
    editor.press(5, 5)
    assert editor.undo() and editor.outline == []
    assert editor.project.marked_frames() == (0,)
    assert editor.undo() and editor.project.marked_frames() == ()
    assert not editor.undo()


def test_objects_are_chosen_added_and_removed(editor):
    editor.press(10, 10)
    editor.release(20, 20)
    second = editor.add_object()
    assert second == 2 and editor.add_object() == 2, "one without a mark is used first"
    editor.choose(1)
    editor.choose(9)
    assert editor.number == 1
    editor.use(Tool.OUTLINE)
    editor.press(5, 5)
    editor.remove_object(1)
    assert editor.number == 2 and editor.project.objects == (2,) and editor.outline == []
    editor.remove_object(2)
    assert editor.number is None


def test_frames_end_where_the_video_ends_and_drop_what_is_unfinished(editor):
    editor.press(10, 10)
    editor.go(99)
    assert editor.frame == 7 and editor.drag is None
    editor.go(-3)
    assert editor.frame == 0


def test_nothing_found_is_told_and_makes_no_object(tmp_path):
    editor = Editor(make_project(tmp_path), lambda image, prompt: np.zeros((HEIGHT, WIDTH), bool))
    with pytest.raises(PromptError, match="Nothing was found"):
        editor.mark(BoxPrompt(1, 1, 9, 9))
    assert editor.project.objects == ()


def test_nothing_is_marked_while_tracking_is_on(editor):
    editor.project.busy = True
    for tool in Tool:
        editor.use(tool)
        with pytest.raises(ProjectError, match="Tracking is on"):
            editor.press(10, 10)
    assert "Tracking" in editor.hint


def test_not_in_this_frame(editor):
    with pytest.raises(ProjectError, match="no object yet"):
        editor.mark_absent()
    editor.press(10, 10)
    editor.release(20, 20)
    editor.go(2)
    editor.mark_absent()
    assert not editor.project.marks_at(2)[1].mask.any() and sketch(editor) == ""


def test_the_line_of_frames_tells_tracked_outdated_and_marked(editor):
    project = editor.project

    def spans():
        svg = ElementTree.fromstring(timeline(project, editor.frame))
        return [(float(e.get("x")), float(e.get("width")), e.get("fill")) for e in svg][:3]

    assert spans()[0] == (-0.5, 8, UNTRACKED)
    editor.press(10, 10)
    editor.release(20, 20)
    follow(project, drifting_tracker()[0], lambda *_: None)
    assert spans()[2] == (-0.5, 8, TRACKED)
    editor.go(4)
    editor.mark(BoxPrompt(1, 1, 9, 9))
    assert spans()[1:] == [(-0.5, 8, OUTDATED), (-0.5, 5, TRACKED)]
