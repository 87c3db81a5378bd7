"""Tracking of a project: from where its results end or are outdated, to the last frame.

In a frame with a correction, and where tracking is taken up again, the tracker begins anew with
the masks that stand there, all objects with the corrected ones replaced: that frame is its new
reference. An object that is not seen there enters with the last frame that showed it, so that it
can come back. Where only new objects appear they are added, and nothing is forgotten.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tracker.stages import FrameResult
from tracker.web.project import Project, ProjectError

if TYPE_CHECKING:
    from tracker.pipeline import HQTracker


def start_frame(project: Project) -> int:
    """Where tracking has to begin. Raises ProjectError where there is nothing to do."""
    if project.first is None:
        raise ProjectError("Mark an object first: drag a box around it, or click on it.")
    if project.complete:
        raise ProjectError("Every frame is tracked. Correct an object to track again.")
    valid_to = project.valid_to
    return project.first if valid_to is None else valid_to


def follow(project: Project, tracker: HQTracker, told: Callable[[int, int], None]) -> None:
    """Track what is missing, frame by frame, into the project.

    told(done, count) is called after every frame and may raise to stop: what was found stays.
    Raises ProjectError where there is nothing to do.
    """
    first = start_frame(project)
    count = project.clip.count - first
    try:
        run = _Run(project, tracker)
        run.begin(first)
        told(1, count)
        for frame in range(first + 1, project.clip.count):
            run.advance(frame)
            told(frame - first + 1, count)
    finally:
        tracker.reset()


class _Run:
    """The tracker's objects 1, 2, ... are the project's `numbers`, in this order."""

    def __init__(self, project: Project, tracker: HQTracker) -> None:
        self._project = project
        self._tracker = tracker
        self._numbers: list[int] = []

    def begin(self, frame: int) -> None:
        """The tracker anew, with what stands in this frame."""
        labels = self._project.labels(frame)
        self._project.store(frame, self._project.standing(frame))
        self._tracker.reset()
        self._numbers = []
        for at, numbers in self._references(frame, labels):
            self._give(at, numbers, labels if at == frame else self._project.labels(at))

    def advance(self, frame: int) -> None:
        """The next frame, with the marks it has."""
        marks = self._project.marks_at(frame)
        known = set(self._numbers)
        if marks and known.isdisjoint(marks) and all(mark.mask.any() for mark in marks.values()):
            result = self._give(frame, [*marks], self._project.labels_of_marks(frame))
        else:
            result = self._tracker.track(self._project.clip.image(frame))
        self._project.store(frame, self._by_number(result))
        if not known.isdisjoint(marks):
            self.begin(frame)

    def _references(self, frame: int, labels: np.ndarray) -> list[tuple[int, list[int]]]:
        """Frames in order, with the objects that enter the tracker there."""
        seen = set(np.unique(labels).tolist())
        entering: dict[int, list[int]] = defaultdict(list)
        for number in self._project.objects:
            at = frame if number in seen else self._project.last_seen(number, frame - 1)
            if at is not None:
                entering[at].append(number)
        return sorted(entering.items())

    def _give(self, frame: int, numbers: list[int], labels: np.ndarray) -> FrameResult:
        masks = [labels == number for number in numbers]
        add = self._tracker.add_objects if self._numbers else self._tracker.initialize
        result = add(self._project.clip.image(frame), masks)
        self._numbers += numbers
        return result

    def _by_number(self, result: FrameResult) -> FrameResult:
        """A result of the tracker with the project's numbers."""
        numbers = np.array(self._numbers)
        count = self._project.last_number
        lookup = np.zeros(len(numbers) + 1, np.uint8)
        lookup[1:] = numbers
        confidence, refined = np.zeros(count, np.float32), np.zeros(count, bool)
        confidence[numbers - 1], refined[numbers - 1] = result.confidence, result.refined
        return FrameResult(lookup[result.labels], confidence, refined)
