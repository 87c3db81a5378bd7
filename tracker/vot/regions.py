"""Regions as the VOT toolkit writes them: special codes, masks as runs, other shapes.

A mask is stored as the box around it and the lengths of alternating runs of zeros and ones over
that box, row by row, beginning with zeros. Nothing here imports the toolkit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tracker.prompts import LARGEST
from tracker.regions import MOST_PIXELS, place
from tracker.vot.errors import VotError

UNKNOWN = 0
INITIALIZATION = 1
ABSENT_LINE = "m0,0,0,0,0"
UNKNOWN_LINE = "0"


@dataclass(frozen=True)
class Special:
    """No region: `code` is 0 unknown, 1 the frame of initialisation, 2 failure."""

    code: int


@dataclass(frozen=True)
class Shape:
    """A rectangle (x, y, width, height), polygon or point, as the numbers in the file."""

    kind: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class MaskRegion:
    """A mask: its box in pixels of the image, and its runs over the box (zeros first)."""

    x: int
    y: int
    width: int
    height: int
    runs: tuple[int, ...]

    @property
    def area(self) -> int:
        """Number of pixels of the object."""
        return sum(self.runs[1::2])

    def box_mask(self) -> np.ndarray:
        """[height, width] bool, the mask within its box."""
        values = np.arange(len(self.runs)) % 2 == 1
        flat = np.repeat(values, self.runs)
        return np.pad(flat, (0, self.width * self.height - len(flat))).reshape(
            self.height, self.width
        )

    def mask(self, shape: tuple[int, int]) -> np.ndarray:
        """[H, W] bool, the mask in an image of `shape`; what lies outside is cut off."""
        return place(self.box_mask(), self.x, self.y, shape)


Region = Special | Shape | MaskRegion


def checked_mask(x: int, y: int, width: int, height: int, runs: tuple[int, ...]) -> MaskRegion:
    """A MaskRegion whose runs fit its box; raises VotError otherwise."""
    if width < 0 or height < 0 or any(run < 0 for run in runs):
        raise VotError(f"negative size or run in a mask of {width} x {height}")
    if width * height > MOST_PIXELS:
        raise VotError(f"a mask of {width} x {height} pixels; there are at most {MOST_PIXELS}")
    if sum(runs) > width * height:
        raise VotError(
            f"the runs of a mask cover {sum(runs)} pixels, its box of {width} x {height} "
            f"has {width * height}"
        )
    return MaskRegion(x, y, width, height, runs)


def checked_shape(kind: str, values: tuple[float, ...]) -> Shape | Special:
    """The Shape of these numbers, unknown where one is no number, as the toolkit takes it.

    Raises VotError for coordinates that no frame reaches.
    """
    if any(math.isnan(value) for value in values):
        return Special(UNKNOWN)
    if any(abs(value) > LARGEST for value in values):
        told = ",".join(f"{value:g}" for value in values)
        raise VotError(
            f"a {kind} far outside any frame: {told[:40]}; coordinates are finite numbers up to "
            f"{LARGEST} pixels"
        )
    return Shape(kind, values)


def encode_mask(mask: np.ndarray) -> MaskRegion:
    """The region of a mask [H, W] (bool or integer, zero is background), cropped to its box."""
    rows = np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0:
        return MaskRegion(0, 0, 0, 0, (0,))
    columns = np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    flat = (mask[top:bottom, left:right] != 0).ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], edges, [len(flat)]])
    runs = np.diff(bounds).tolist()
    if flat[0]:
        runs.insert(0, 0)
    return MaskRegion(int(left), int(top), int(right - left), int(bottom - top), tuple(runs))


def format_mask(region: MaskRegion) -> str:
    """The line of a mask in a text file, `m<x>,<y>,<w>,<h>,<runs>`."""
    numbers = (region.x, region.y, region.width, region.height, *region.runs)
    return "m" + ",".join(map(str, numbers))


def parse_region(line: str) -> Region:
    """The region of one line of a text file; raises VotError where it is none."""
    text = line.strip()
    try:
        if text.startswith("m"):
            numbers = [int(token) for token in text[1:].split(",")]
            x, y, width, height = numbers[:4]
            return checked_mask(x, y, width, height, tuple(numbers[4:]))
        values = tuple(float(token) for token in text.split(","))
    except ValueError as error:
        raise VotError(f"not a region: {text[:40]!r}") from error
    if len(values) == 1 and math.isfinite(values[0]):
        return Special(int(values[0]))
    if len(values) == 1 and math.isnan(values[0]):
        return Special(UNKNOWN)
    if len(values) == 2:
        return checked_shape("point", values)
    if len(values) == 4:
        return checked_shape("rectangle", values)
    if len(values) >= 6 and len(values) % 2 == 0:
        return checked_shape("polygon", values)
    raise VotError(f"not a region: {text[:40]!r}")
