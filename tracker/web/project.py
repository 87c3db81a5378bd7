"""A project: a video, what the user marked in which frame, and what was found so far.

Objects are numbered 1, 2, ... for ever. A mark gives one object's mask in one frame: its start, or
a correction. Results reach from the first marked frame to `computed`; those after a new mark are
outdated until the frames are tracked again from there (`tracker.web.follow`). Earlier ones stay.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.labels import areas, masks_to_labels
from tracker.media.masks import read_labels, write_labels
from tracker.prompts import Prompt
from tracker.stages import FrameResult
from tracker.web.clip import Clip
from tracker.web.limits import LimitError, Limits

MOST_NUMBERS = int(np.iinfo(np.uint8).max)
"""Numbers that a label map of 8 bits can hold; that of a removed object is not given again."""


class ProjectError(ValueError):
    """Something that cannot be done with the project now; the text is for the user."""


@dataclass(frozen=True)
class Mark:
    """What the user says about an object in a frame: mask [H, W] bool, empty for "not here".

    prompt: what the mask came from. applied: whether results after it are made with it.
    """

    mask: np.ndarray
    prompt: Prompt | None = None
    applied: bool = False


@dataclass(frozen=True)
class Found:
    """Of a tracked frame, for objects 1..N: areas in pixels and the rest, [N] each."""

    areas: np.ndarray
    confidence: np.ndarray
    refined: np.ndarray


class Project:
    """The model behind the page. `folder` takes the label maps; all methods may be called from
    any thread. Changes raise ProjectError while `busy`."""

    def __init__(self, clip: Clip, folder: Path, limits: Limits) -> None:
        self.clip = clip
        self.objects: tuple[int, ...] = ()
        self.busy = False
        self.revision = 0
        self.computed: int | None = None
        self._next = 1
        self._limits = limits
        self._folder = folder
        self._marks: dict[int, dict[int, Mark]] = {}
        self._found: dict[int, Found] = {}
        self._used: dict[int, frozenset[int]] = {}  # objects marked in a frame when it was tracked
        self._lock = threading.RLock()

    # what the user does

    def add_object(self) -> int:
        """A new object without marks; returns its number. Raises LimitError."""
        with self._lock:
            self._check_free()
            if len(self.objects) >= self._limits.objects:
                raise LimitError(f"There are {len(self.objects)} objects; no more can be added.")
            if self.last_number >= MOST_NUMBERS:
                raise LimitError(
                    f"All {MOST_NUMBERS} numbers for objects of this video were given, with those "
                    "removed since. Open the video again to start afresh."
                )
            self.objects = (*self.objects, self._next)
            self._next += 1
            return self.objects[-1]

    def remove_object(self, number: int) -> None:
        """Forget an object, its marks and its results."""
        with self._lock:
            self._check_free()
            self.objects = tuple(n for n in self.objects if n != number)
            for marks in self._marks.values():
                marks.pop(number, None)
            self._tidy()
            self.revision += 1

    def mark(self, frame: int, number: int, mask: np.ndarray, prompt: Prompt | None = None) -> None:
        """Say where object `number` is in a frame: mask [H, W] bool, empty for "not here".

        Replaces an earlier mark. Raises ProjectError, for instance where another object marked in
        this frame would be wholly covered.
        """
        with self._lock:
            self._check_free()
            if number not in self.objects:
                raise ProjectError(f"There is no object {number}.")
            if mask.shape != (self.clip.height, self.clip.width):
                raise ProjectError(f"The mask is {mask.shape}, the frame is not.")
            if not mask.any() and not self.is_known(number, frame - 1):
                raise ProjectError(f"Object {number} has not begun before this frame.")
            marks = {**self._marks.get(frame, {}), number: Mark(mask.copy(), prompt)}
            _check_visible(marks)
            self._marks[frame] = marks
            self.revision += 1

    def unmark(self, frame: int, number: int) -> None:
        """Take a mark back. Results that were made with it are dropped from its frame on.

        With an object's start go the marks "not here" after it, up to its next mark with pixels.
        """
        with self._lock:
            self._check_free()
            self._marks.get(frame, {}).pop(number, None)
            self._tidy()
            if number in self._used.get(frame, ()):
                self._drop_from(frame)
            self.revision += 1

    # what the page shows

    @property
    def first(self) -> int | None:
        """The first marked frame, where tracking begins; None without marks."""
        return min(self._marks, default=None)

    @property
    def valid_to(self) -> int | None:
        """The last frame whose result stands; None when there is none."""
        with self._lock:
            if self.computed is None or self.first not in self._found:
                return None
            return min([self.computed, *self._new_frames()])

    @property
    def complete(self) -> bool:
        """Whether every frame from the first marked one has a result that stands."""
        return self.valid_to == self.clip.count - 1 and not self._new_frames()

    @property
    def untracked_objects(self) -> tuple[int, ...]:
        """Objects that were not marked in any frame."""
        return tuple(n for n in self.objects if not self.marked_frames(n))

    def marks_at(self, frame: int) -> dict[int, Mark]:
        """The marks of a frame by object number."""
        with self._lock:
            return dict(self._marks.get(frame, {}))

    def marked_frames(self, number: int | None = None) -> tuple[int, ...]:
        """The frames in which an object, or any object, is marked, in order."""
        with self._lock:
            found = [f for f, m in self._marks.items() if number is None or number in m]
            return tuple(sorted(found))

    def is_known(self, number: int, frame: int) -> bool:
        """Whether an object has a mark with pixels in this frame or before it."""
        with self._lock:
            return any(
                number in marks and marks[number].mask.any()
                for at, marks in self._marks.items()
                if at <= frame
            )

    def labels(self, frame: int) -> np.ndarray:
        """The label map [H, W] uint8 of a frame: what was found, and over it what is marked."""
        with self._lock:
            marked = np.array([*self._marks.get(frame, ())], np.uint8)
            labels, drawn = self._stored(frame), self.labels_of_marks(frame)
            return np.where(drawn > 0, drawn, np.where(np.isin(labels, marked), 0, labels))

    def result(self, frame: int) -> FrameResult:
        """What stands for a frame; after `valid_to` and before `first` nothing does."""
        with self._lock:
            valid_to = self.valid_to
            if valid_to is None or frame > valid_to or frame < self.first:
                return _nothing(self.clip, self.last_number)
            return self.standing(frame)

    # what tracking does

    @property
    def last_number(self) -> int:
        """The highest number given to an object so far, 0 without."""
        return self._next - 1

    def standing(self, frame: int) -> FrameResult:
        """What is kept for a frame with its marks over it, a place for every number so far.

        An object marked there with pixels has the confidence 1.
        """
        with self._lock:
            labels, count = self.labels(frame), self.last_number
            confidence, refined = np.zeros(count, np.float32), np.zeros(count, bool)
            found = self._found.get(frame)
            if found is not None:
                confidence[: len(found.confidence)] = found.confidence
                refined[: len(found.refined)] = found.refined
            for number in self._marks.get(frame, {}):
                confidence[number - 1], refined[number - 1] = 1, False
            seen = areas(labels, count) > 0
            return FrameResult(labels, np.where(seen, confidence, 0), refined & seen)

    def labels_of_marks(self, frame: int) -> np.ndarray:
        """The label map [H, W] uint8 of the marks of a frame alone, by object number."""
        with self._lock:
            marks = self._marks.get(frame, {})
            numbers = np.array([0, *marks], dtype=np.uint8)
            if not marks:
                return np.zeros((self.clip.height, self.clip.width), np.uint8)
            return numbers[masks_to_labels(np.stack([mark.mask for mark in marks.values()]))]

    def last_seen(self, number: int, frame: int) -> int | None:
        """The last frame up to `frame` with a result that shows the object, None without."""
        with self._lock:
            for at in sorted((f for f in self._found if f <= frame), reverse=True):
                sizes = self._found[at].areas
                if number <= len(sizes) and sizes[number - 1]:
                    return at
            return None

    def store(self, frame: int, result: FrameResult) -> None:
        """Keep what was found in a frame, labels by object number; results after it go.

        The marks of the frame count as applied. Allowed while `busy`: it is what tracking does.
        """
        with self._lock:
            self._drop_from(frame)
            write_labels(self._path(frame), result.labels)
            sizes = areas(result.labels, result.count)
            self._found[frame] = Found(sizes, result.confidence, result.refined)
            marks = self._marks.get(frame, {})
            for number, mark in marks.items():
                marks[number] = Mark(mark.mask, mark.prompt, applied=True)
            self._used[frame] = frozenset(marks)
            self.computed = frame
            self.revision += 1

    def _stored(self, frame: int) -> np.ndarray:
        if frame not in self._found:
            return np.zeros((self.clip.height, self.clip.width), np.uint8)
        labels = read_labels(self._path(frame))
        return np.where(np.isin(labels, np.array(self.objects, np.uint8)), labels, 0)

    def _new_frames(self) -> list[int]:
        """Frames up to `computed` with marks that results were not made with."""
        last = -1 if self.computed is None else self.computed
        return [
            frame
            for frame, marks in self._marks.items()
            if frame <= last and not all(mark.applied for mark in marks.values())
        ]

    def _drop_from(self, frame: int) -> None:
        for at in [f for f in self._found if f >= frame]:
            del self._found[at]
            self._used.pop(at, None)
            self._path(at).unlink(missing_ok=True)
        self.computed = max(self._found, default=None)

    def _tidy(self) -> None:
        """Marks that say nothing go: "not here" where the object has not begun before."""
        for frame, marks in self._marks.items():
            for number in [n for n, mark in marks.items() if not mark.mask.any()]:
                if not self.is_known(number, frame - 1):
                    del marks[number]
        self._marks = {frame: marks for frame, marks in self._marks.items() if marks}
        if self.first is None:
            self._drop_from(0)

    def _check_free(self) -> None:
        if self.busy:
            raise ProjectError("Tracking is on. Wait until it ends, or stop it.")

    def _path(self, frame: int) -> Path:
        return self._folder / f"labels-{frame:08d}.png"


def _nothing(clip: Clip, count: int) -> FrameResult:
    labels = np.zeros((clip.height, clip.width), np.uint8)
    return FrameResult(labels, np.zeros(count, np.float32), np.zeros(count, bool))


def _check_visible(marks: dict[int, Mark]) -> None:
    given = {number: mark.mask for number, mark in marks.items() if mark.mask.any()}
    if not given:
        return
    seen = areas(masks_to_labels(np.stack([*given.values()])), len(given))
    for number, area in zip(given, seen, strict=True):
        if not area:
            raise ProjectError(f"Object {number} would be wholly covered by the others.")
