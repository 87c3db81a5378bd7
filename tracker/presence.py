"""Which objects count as absent although some pixels went to them.

Where an object is gone, what is still taken for it is mostly a small piece of something else, and
of little confidence. An object is present when its confidence (mean probability over its pixels),
times its length relative to its usual one where it is smaller, reaches a limit. Lengths are roots
of areas. The usual area follows the areas in which the object was present, slowly, so that an
object may shrink on its way without being taken for absent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PACE = 0.1
"""Share of the present area in the usual one, per frame."""


class Presence:
    """The usual areas of one video's objects, in shares of the frame."""

    def __init__(self, least: float, usual: Sequence[float] = ()) -> None:
        """least: the limit, 0 to 1; usual: areas to go on from."""
        self._least = least
        self._usual = np.array(usual, np.float64)

    @property
    def usual(self) -> list[float]:
        """The usual area of every object so far, 0 for one that has had no pixel yet."""
        return self._usual.tolist()

    def begin(self, labels: np.ndarray, count: int) -> None:
        """Learn of new objects: those of a label map [H, W] that lie behind the known ones."""
        self._usual = np.concatenate([self._usual, _areas(labels, count)[len(self._usual) :]])

    def absent(self, labels: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        """[N] bool: objects of an answer (labels [H, W], confidence [N]) that are not there.

        The areas of the others enter the usual ones.
        """
        area = _areas(labels, len(confidence))
        length = np.sqrt(area / np.maximum(self._usual, np.finfo(float).tiny))
        absent = confidence * np.minimum(1, length) < self._least
        seen = ~absent & (area > 0)
        first = self._usual == 0
        moved = np.where(first, area, self._usual + PACE * (area - self._usual))
        self._usual = np.where(seen, moved, self._usual)
        return absent


def _areas(labels: np.ndarray, count: int) -> np.ndarray:
    """Areas [count] of the objects of a label map [H, W], in shares of the frame."""
    return np.bincount(labels.ravel(), minlength=count + 1)[1 : count + 1] / labels.size
