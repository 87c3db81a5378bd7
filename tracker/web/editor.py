"""What the person at the page is doing: frame, object, tool, and the mark being made.

Places are pixels of the frame, from its top left corner. Keeps no widgets: the page shows it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tracker.prompts import BoxPrompt, Point, PointPrompt, PolygonPrompt, Prompt, PromptError
from tracker.web.project import Project, ProjectError

SMALLEST_BOX = 4
"""Pixels: a drag shorter than this, either way, is a slip of the hand."""

CLOSE_SHARE = 0.02
"""A click this near to an outline's first corner closes it; of the frame's longer side."""


class Tool(enum.Enum):
    """How an object is marked; the values are the page's words."""

    BOX = "Box"
    POINTS = "Points"
    OUTLINE = "Outline"


HINTS = {
    Tool.BOX: "Drag a box around the object.",
    Tool.POINTS: "Click on the object. Shift-click on what does not belong to it.",
    Tool.OUTLINE: "Click the corners of the outline; click the first one again, or press Enter, "
    "to close it.",
}


@dataclass
class Editor:
    """mask_of(image, prompt) makes the mask [H, W] bool of a prompt.

    number: the object that marks are for, None before the first. drag: the corners of the box
    being drawn. outline: corners so far.
    """

    project: Project
    mask_of: Callable[[np.ndarray, Prompt], np.ndarray]
    frame: int = 0
    number: int | None = None
    tool: Tool = Tool.BOX
    drag: tuple[Point, Point] | None = None
    outline: list[Point] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.project.objects:
            self.number = self.project.objects[0]

    @property
    def hint(self) -> str:
        """What to do next, in words."""
        if self.project.busy:
            return "Tracking. You can look at other frames meanwhile."
        if self.number is None or self.number not in self.project.untracked_objects:
            return HINTS[self.tool]
        return f"Object {self.number}: {HINTS[self.tool]}"

    def go(self, frame: int) -> None:
        """Show another frame, the nearest there is; a mark being made is dropped."""
        frame = min(max(int(frame), 0), self.project.clip.count - 1)
        if frame != self.frame:
            self.frame = frame
            self.cancel()

    def choose(self, number: int) -> None:
        """Make marks for this object. An object that is none changes nothing."""
        if number in self.project.objects:
            self.number = number
            self.cancel()

    def use(self, tool: Tool) -> None:
        """Mark with another tool."""
        self.tool = tool
        self.cancel()

    def add_object(self) -> int:
        """A new object, to be marked next; one that has no mark yet is taken instead."""
        empty = self.project.untracked_objects
        number = empty[0] if empty else self.project.add_object()
        self.choose(number)
        return number

    def remove_object(self, number: int) -> None:
        """Forget an object; the last of the others is chosen."""
        self.project.remove_object(number)
        if number == self.number:
            self.number = self.project.objects[-1] if self.project.objects else None
        self.cancel()

    def cancel(self) -> None:
        """Drop the mark being made."""
        self.drag = None
        self.outline = []

    def press(self, x: float, y: float, background: bool = False) -> None:
        """The pointer went down at (x, y); `background` says "this is not the object"."""
        self._check_free()
        place = self._inside(x, y)
        if self.tool is Tool.BOX:
            self.drag = place, place
        elif self.tool is Tool.POINTS:
            self._add_point(place, background)
        else:
            self._add_corner(place)

    def move(self, x: float, y: float) -> bool:
        """The pointer moved while down; whether there is something new to show."""
        if self.drag is None:
            return False
        self.drag = self.drag[0], self._inside(x, y)
        return True

    def release(self, x: float, y: float) -> bool:
        """The pointer went up; whether that made a mark. Raises as `mark` does."""
        if self.drag is None:
            return False
        (left, top), (right, bottom) = self.drag[0], self._inside(x, y)
        self.drag = None
        width, height = abs(right - left), abs(bottom - top)
        if min(width, height) < SMALLEST_BOX:
            raise ProjectError("Drag from one corner of the object to the opposite one.")
        self.mark(BoxPrompt(min(left, right), min(top, bottom), width, height))
        return True

    def close_outline(self) -> None:
        """Make a mark of the outline so far. Raises ProjectError below three corners."""
        if len(self.outline) < 3:
            raise ProjectError("An outline has three corners or more.")
        corners, self.outline = tuple(self.outline), []
        self.mark(PolygonPrompt(corners))

    def mark(self, prompt: Prompt) -> None:
        """Mark the chosen object in this frame; without one, a new object.

        Raises ProjectError, PromptError, LimitError.
        """
        self._check_free()
        mask = self.mask_of(self.project.clip.image(self.frame), prompt)
        if not mask.any():
            raise PromptError("Nothing was found there. Try another place, or another tool.")
        number = self.add_object() if self.number is None else self.number
        self.project.mark(self.frame, number, mask, prompt)

    def mark_absent(self) -> None:
        """Say that the chosen object is not seen in this frame. Raises ProjectError."""
        if self.number is None:
            raise ProjectError("There is no object yet.")
        clip = self.project.clip
        self.project.mark(self.frame, self.number, np.zeros((clip.height, clip.width), bool))

    def undo(self) -> bool:
        """Take back the mark being made, else the chosen object's mark in this frame.

        Whether there was one. Raises ProjectError while tracking is on.
        """
        if self.drag is not None or self.outline:
            self.cancel()
            return True
        if self.number not in self.project.marks_at(self.frame):
            return False
        self.project.unmark(self.frame, self.number)
        return True

    @property
    def points(self) -> PointPrompt | None:
        """The points of the chosen object's mark in this frame, None when it has none."""
        mark = self.project.marks_at(self.frame).get(self.number)
        return mark.prompt if mark and isinstance(mark.prompt, PointPrompt) else None

    def _add_point(self, place: Point, background: bool) -> None:
        points, wrong = (self.points.points, self.points.background) if self.points else ((), ())
        if background and not points:
            raise ProjectError("Click on the object first, then on what does not belong to it.")
        if background:
            self.mark(PointPrompt(points, (*wrong, place)))
        else:
            self.mark(PointPrompt((*points, place), wrong))

    def _add_corner(self, place: Point) -> None:
        clip = self.project.clip
        near = CLOSE_SHARE * max(clip.width, clip.height)
        first = self.outline[0] if self.outline else place
        closing = abs(place[0] - first[0]) <= near and abs(place[1] - first[1]) <= near
        if len(self.outline) >= 3 and closing:
            self.close_outline()
        else:
            self.outline.append(place)

    def _inside(self, x: float, y: float) -> Point:
        """The place, or the nearest one inside the frame."""
        clip = self.project.clip
        return (
            round(min(max(float(x), 0.0), clip.width - 0.5), 1),
            round(min(max(float(y), 0.0), clip.height - 0.5), 1),
        )

    def _check_free(self) -> None:
        if self.project.busy:
            raise ProjectError("Tracking is on. Wait until it ends, or stop it.")
