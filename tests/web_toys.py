"""A tracker for the tests of the page whose answers can be foretold, and a small clip."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from tracker.config import preset
from tracker.pipeline import HQTracker
from tracker.web.clip import Clip, jpeg
from tracker.web.limits import Limits
from tracker.web.project import Project

HEIGHT, WIDTH = 24, 48


@dataclass(frozen=True)
class Answer:
    labels: np.ndarray
    confidence: np.ndarray


@dataclass
class Drifting:
    """Every object moves a pixel to the right per frame and comes in again at the left.

    log: what was asked of the session, ("start" | "step" | "add", brightness of the frame, objects
    given); frames of `clip` have their number times five as brightness.
    """

    log: list[tuple[str, int, int]] = field(default_factory=list)

    def start(self, image: np.ndarray, labels: np.ndarray, count: int) -> Answer:
        self._note("start", image, count)
        self.count, self.labels = count, labels
        return self._answer()

    def step(self, image: np.ndarray) -> Answer:
        self._note("step", image, 0)
        self.labels = np.roll(self.labels, 1, axis=1)
        return self._answer()

    def step_and_add(self, image: np.ndarray, labels: np.ndarray, count: int) -> Answer:
        self._note("add", image, count)
        moved = np.roll(self.labels, 1, axis=1)
        self.labels = np.where(labels > 0, labels + self.count, moved).astype(np.uint8)
        self.count += count
        return self._answer()

    def _note(self, what: str, image: np.ndarray, count: int) -> None:
        self.log.append((what, round(float(image.mean()) / 5), count))

    def _answer(self) -> Answer:
        return Answer(self.labels.copy(), np.full(self.count, 0.75, np.float32))


def drifting_tracker() -> tuple[HQTracker, list[tuple[str, int, int]]]:
    """A tracker of `Drifting` sessions, and the log they share."""
    log: list[tuple[str, int, int]] = []
    return HQTracker(lambda: Drifting(log), None, preset("hqtrack-lite"), "none, they drift"), log


def make_clip(folder: Path, count: int = 8) -> Clip:
    """Grey frames, each of its own brightness."""
    for frame in range(count):
        image = np.full((HEIGHT, WIDTH, 3), 5 * frame, np.uint8)
        (folder / f"frame-{frame:08d}.jpg").write_bytes(jpeg(image))
    times = tuple(Fraction(frame, 10) for frame in range(count))
    return Clip(folder, WIDTH, HEIGHT, Fraction(10), Fraction(1, 10), times)


def make_project(folder: Path, count: int = 8, limits: Limits | None = None) -> Project:
    """A project without objects over `make_clip`."""
    return Project(make_clip(folder, count), folder, limits or Limits())


def block(left: int, top: int = 4, side: int = 6) -> np.ndarray:
    """A square mask."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def columns(labels: np.ndarray, number: int) -> tuple[int, int] | None:
    """First and last column of an object, None where it is not."""
    found = np.flatnonzero((labels == number).any(axis=0))
    return (int(found[0]), int(found[-1])) if len(found) else None
