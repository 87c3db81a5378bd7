"""Masks as they travel over TraX and land in the toolkit's results: numpy arrays only.

A region is a crop [h, w] uint8 of zeros and ones, C-contiguous (libtrax copies raw memory), with
the offset (x, y) of its first pixel in the frame.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import cv2
import numpy as np

from tracker.labels import boxes

logger = logging.getLogger(__name__)

# The toolkit stores the number of runs of a mask in 16 bits; its writer dies above that.
MOST_RUNS = 65_000

MOST_PIXELS = 1 << 26
"""Pixels of one mask's box that comes from outside: twice an 8K frame."""

_MEDIAN_SIZES = (3, 5, 9, 17, 33)


@dataclass(frozen=True)
class Region:
    """mask: [h, w] uint8, 0 or 1, C-contiguous; (x, y): where its first pixel lies."""

    mask: np.ndarray
    x: int
    y: int


def place(mask: np.ndarray, x: int, y: int, shape: tuple[int, int]) -> np.ndarray:
    """The mask [H, W] bool of the frame `shape` = (H, W), given its crop and the crop's offset.

    What lies outside the frame is cut off; the offset may be negative.
    """
    full = np.zeros(shape, dtype=bool)
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + mask.shape[0], shape[0]), min(x + mask.shape[1], shape[1])
    if top < bottom and left < right:
        full[top:bottom, left:right] = mask[top - y : bottom - y, left - x : right - x] != 0
    return full


def regions_of(labels: np.ndarray, count: int) -> list[Region]:
    """One region for each of the objects 1..count of a label map [H, W], in that order.

    An absent object is a single zero. The toolkit takes a mask one pixel wide or high for empty:
    such a mask is made two wide or high. A mask with too many runs is smoothed; the log says so.
    """
    found, present = boxes(labels, count)
    absent = Region(np.zeros((1, 1), np.uint8), 0, 0)
    return [
        _region(labels, number, found[number - 1]) if present[number - 1] else absent
        for number in range(1, count + 1)
    ]


def upright_box(region: Region) -> tuple[float, float, float, float]:
    """(x, y, width, height) in pixels of the box around a region that is not empty."""
    rows, columns = np.flatnonzero(region.mask.any(axis=1)), np.flatnonzero(region.mask.any(axis=0))
    left, top = region.x + int(columns[0]), region.y + int(rows[0])
    return left, top, int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def rotated_box(region: Region) -> list[tuple[float, float]]:
    """The four corners (x, y) of the smallest rectangle, in any direction, that holds a region.

    Corners are middles of pixels: the toolkit fills a polygon with its corners. The region must
    not be empty.
    """
    points = cv2.findNonZero(region.mask) + np.array([region.x, region.y], np.int32)
    return [(float(x), float(y)) for x, y in cv2.boxPoints(cv2.minAreaRect(points))]


def run_count(mask: np.ndarray) -> int:
    """Runs of equal values in a mask [h, w], row by row, the first run being zeros."""
    flat = np.asarray(mask).reshape(-1) != 0
    return int(np.count_nonzero(flat[1:] != flat[:-1])) + 1 + int(flat[0])


def simplify(mask: np.ndarray, most_runs: int = MOST_RUNS) -> np.ndarray:
    """A mask [h, w] uint8 like this one, not empty, with at most `most_runs` runs.

    The first that will do of: the mask; its median over growing squares; its largest connected
    part; all ones.
    """
    candidates = (cv2.medianBlur(mask, size) for size in _MEDIAN_SIZES)
    if run_count(mask) <= most_runs:
        return mask
    for candidate in candidates:
        if candidate.any() and run_count(candidate) <= most_runs:
            return candidate
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask)
    largest = (parts == 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    return largest if run_count(largest) <= most_runs else np.ones_like(mask)


def _region(labels: np.ndarray, number: int, box: np.ndarray) -> Region:
    left, top, right, bottom = (int(side) for side in box)
    left, right = _two(left, right, labels.shape[1])
    top, bottom = _two(top, bottom, labels.shape[0])
    mask = (labels[top : bottom + 1, left : right + 1] == number).astype(np.uint8)
    if mask.shape[1] == 2 and not mask.any(axis=0).all():
        mask[:] = mask.max(axis=1, keepdims=True)
    if mask.shape[0] == 2 and not mask.any(axis=1).all():
        mask[:] = mask.max(axis=0, keepdims=True)
    if mask.size > MOST_RUNS and (runs := run_count(mask)) > MOST_RUNS:
        mask = simplify(mask)
        logger.warning(
            "the mask of object %d has %d runs, the toolkit stores %d: smoothed to %d",
            number, runs, MOST_RUNS, run_count(mask),
        )  # fmt: skip
    return Region(np.ascontiguousarray(mask), left, top)


def _two(first: int, last: int, size: int) -> tuple[int, int]:
    """The range of pixels made at least two long, inside 0..size - 1 where that is possible."""
    if first < last or size < 2:
        return first, last
    return (first, last + 1) if last + 1 < size else (first - 1, last)
