"""Which objects count as absent although some pixels went to them.

Where an object is gone, what is still taken for it is mostly a small piece of something else, and
of little confidence. So an object is compared with itself: its confidence (mean probability over
its pixels) and its length (root of its area), each as a share of what is usual for it and 1 at
most, are multiplied; below a limit the object is absent, unless the segmenter is certain of it.
What is usual follows the frames in which the object was present, slowly: a thin object, of which
the segmenter is never sure, is not taken for absent, and an object may shrink on its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tracker.labels import areas

CERTAIN = 0.9
"""From this confidence on an object is there, however small it has become so fast."""

PACE = 0.05
"""Share of a frame in which an object is present in what is usual for it."""


class Usual(NamedTuple):
    """What is usual for every object: area in shares of the frame, and confidence.

    0 where an object had no pixel yet, or has not been segmented yet.
    """

    area: Sequence[float] = ()
    confidence: Sequence[float] = ()


NOTHING_YET = Usual()


class Presence:
    """What is usual for one video's objects, and which of them are there."""

    def __init__(self, threshold: float, usual: Usual = NOTHING_YET) -> None:
        """threshold: the limit, 0 (what has a pixel is there) to 1; usual: where to go on from."""
        self._threshold = threshold
        self._area = np.array(usual.area, np.float64)
        self._confidence = np.array(usual.confidence, np.float64)

    @property
    def usual(self) -> Usual:
        """What is usual so far."""
        return Usual(self._area.tolist(), self._confidence.tolist())

    def begin(self, labels: np.ndarray, count: int) -> None:
        """Learn of new objects: those of a label map [H, W] that lie behind the known ones."""
        new = _shares(labels, count)[len(self._area) :]
        self._area = np.concatenate([self._area, new])
        self._confidence = np.concatenate([self._confidence, np.zeros_like(new)])

    def absent(self, labels: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        """[N] bool: objects of an answer (labels [H, W], confidence [N]) that are not there.

        What the others are like enters what is usual.
        """
        area = _shares(labels, len(confidence))
        length = np.sqrt(_of_usual(area, self._area))
        found = length * _of_usual(confidence, self._confidence)
        absent = (found < self._threshold) & (confidence < CERTAIN)
        present = ~absent & (area > 0)
        self._area = _followed(self._area, area, present)
        self._confidence = _followed(self._confidence, confidence, present)
        return absent


def _of_usual(now: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Shares of what is usual, 1 at most; 1 where nothing is usual yet."""
    return np.divide(now, usual, out=np.ones(len(usual)), where=usual > now)


def _followed(usual: np.ndarray, now: np.ndarray, present: np.ndarray) -> np.ndarray:
    moved = np.where(usual == 0, now, usual + PACE * (now - usual))
    return np.where(present, moved, usual)


def _shares(labels: np.ndarray, count: int) -> np.ndarray:
    """Areas [count] of the objects of a label map [H, W], in shares of the frame."""
    return areas(labels, count) / labels.size
