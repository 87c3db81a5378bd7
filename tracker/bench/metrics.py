"""J and F of the DAVIS benchmark (Perazzi et al., CVPR 2016), and how often absence is missed.

J: intersection over union; 1 when both masks are empty. F: harmonic mean of precision and recall
of boundary pixels, matched within a tolerance of 0.008 of the picture's diagonal, rounded up.
The first and last frame of a sequence are left out, as DAVIS does for given first masks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

TOLERANCE = 0.008  # of the diagonal


def jaccard(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two [H, W] bool masks; 1 if both are empty."""
    union = np.count_nonzero(predicted | truth)
    return np.count_nonzero(predicted & truth) / union if union else 1.0


def boundary(mask: np.ndarray) -> np.ndarray:
    """[H, W] bool: pixels that differ from the one to the right, below, or diagonally below.

    In the last row and column only the neighbour that exists counts (DAVIS: seg2bmap at the
    same size), so an object that touches the picture's border has no boundary there.
    """
    edge = np.zeros_like(mask, dtype=bool)
    right, below = mask[:, :-1] != mask[:, 1:], mask[:-1] != mask[1:]
    edge[:, :-1] |= right
    edge[:-1] |= below
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return edge


def boundary_f(predicted: np.ndarray, truth: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """F of the boundaries of two [H, W] bool masks, 0 to 1; `tolerance` in diagonals.

    No boundary in either mask scores 1, in only one of them 0.
    """
    radius = math.ceil(tolerance * math.hypot(*truth.shape))
    ours, theirs = boundary(predicted), boundary(truth)
    total_ours, total_theirs = np.count_nonzero(ours), np.count_nonzero(theirs)
    if not total_ours or not total_theirs:
        return float(total_ours == total_theirs)
    window = _around(ours | theirs, radius)
    ours, theirs = ours[window].view(np.uint8), theirs[window].view(np.uint8)
    disk = _disk(radius)
    precision = np.count_nonzero(ours & cv2.dilate(theirs, disk)) / total_ours
    recall = np.count_nonzero(theirs & cv2.dilate(ours, disk)) / total_theirs
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@lru_cache(maxsize=8)
def _disk(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return (x * x + y * y <= radius * radius).astype(np.uint8)


def _around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )


@dataclass(frozen=True)
class ObjectScore:
    """Means over the scored frames of one object.

    absent: frames in which the truth lacks it; false_presence: share of those in which some
    pixel was given to it (None without such frames).
    """

    j: float
    f: float
    frames: int
    absent: int
    false_presence: float | None

    @property
    def jf(self) -> float:
        """Mean of J and F."""
        return (self.j + self.f) / 2


class Scorer:
    """Collects frames of one sequence; an object counts from the frame after it was given."""

    def __init__(self) -> None:
        self._rows: dict[int, list[tuple[float, float, bool, bool]]] = {}

    def add(self, predicted: np.ndarray, truth: np.ndarray, objects: list[int]) -> None:
        """Score one frame: two label maps [H, W] and the ids that are being tracked in it.

        Raises ValueError if the sizes differ.
        """
        if predicted.shape != truth.shape:
            raise ValueError(
                f"the answer has size {predicted.shape}, the truth {truth.shape}; "
                "a tracker answers in the size of the frame it was given"
            )
        for number in objects:
            ours, theirs = predicted == number, truth == number
            row = (
                jaccard(ours, theirs),
                boundary_f(ours, theirs),
                bool(ours.any()),
                bool(theirs.any()),
            )
            self._rows.setdefault(number, []).append(row)

    def result(self) -> dict[int, ObjectScore]:
        """Scores by object id; objects that were never scored are missing."""
        return {number: _summary(rows) for number, rows in sorted(self._rows.items())}


def _summary(rows: list[tuple[float, float, bool, bool]]) -> ObjectScore:
    false = [ours for _, _, ours, theirs in rows if not theirs]
    return ObjectScore(
        j=float(np.mean([row[0] for row in rows])),
        f=float(np.mean([row[1] for row in rows])),
        frames=len(rows),
        absent=len(false),
        false_presence=float(np.mean(false)) if false else None,
    )
