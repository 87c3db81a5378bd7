"""Overlap with the truth over time, as the VOT toolkit counts it, and where it is worst."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tracker.view.footage import Footage, is_empty, raster
from tracker.vot.regions import Region, Special

_FAILURE = 2


class Kind(enum.IntEnum):
    """What is known of an object in a frame."""

    UNKNOWN = 0  # no ground truth: the frame counts for nothing
    GIVEN = 1  # the object was given to the tracker here
    VISIBLE = 2
    ABSENT = 3  # known not to be in the picture


@dataclass(frozen=True)
class ObjectSeries:
    """One object over T frames.

    kinds: [T] of `Kind`. overlaps: [T] float64 in 0..1, NaN where nothing is counted. areas: [T]
    int64, pixels the tracker reported.
    """

    name: str
    kinds: np.ndarray
    overlaps: np.ndarray
    areas: np.ndarray

    @property
    def mean(self) -> float | None:
        """Mean overlap as the toolkit's quality takes it; None when the truth is the start only.

        The first frame of a sequence counts 0 there; a known absence 1 if nothing is reported.
        """
        if not np.isin(self.kinds, (Kind.VISIBLE, Kind.ABSENT)).any():
            return None
        return float(np.nanmean(self.overlaps))

    @property
    def lost(self) -> int:
        """Frames in which the object is visible and the tracker does not touch it."""
        return int(np.count_nonzero((self.kinds == Kind.VISIBLE) & (self.overlaps == 0)))

    @property
    def absent(self) -> int:
        """Frames in which the object is known to be absent."""
        return int(np.count_nonzero(self.kinds == Kind.ABSENT))

    @property
    def reported_absent(self) -> int:
        """Frames of those in which the tracker reported nothing."""
        return int(np.count_nonzero((self.kinds == Kind.ABSENT) & (self.areas == 0)))


@dataclass(frozen=True)
class Moment:
    """An object in a frame, both from 0, and its overlap with the truth there."""

    frame: int
    object_index: int
    overlap: float


def overlap(answer: np.ndarray, truth: np.ndarray, ignored: np.ndarray | None = None) -> float:
    """Overlap of two masks [H, W] bool as vot-toolkit 0.9.0 counts it, pixels to ignore left out.

    1 where both lie on a single row or column of pixels, so also where both are empty: the toolkit
    takes the box around them for empty. 0 when all that they cover is to be ignored.
    """
    boxes = [_box(answer), _box(truth)]
    left, top = (min(box[side] for box in boxes) for side in (0, 1))
    right, bottom = (max(box[side] for box in boxes) for side in (2, 3))
    if left >= right or top >= bottom:
        return 1.0
    window = np.s_[top : bottom + 1, left : right + 1]
    ours, theirs = answer[window], truth[window]
    either, both = ours | theirs, ours & theirs
    if ignored is not None:
        either, both = either & ~ignored[window], both & ~ignored[window]
    union = np.count_nonzero(either)
    return float(np.count_nonzero(both) / union) if union else 0.0


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """XYXY, inclusive pixels; zeros for an empty mask, as in the toolkit."""
    columns = np.flatnonzero(mask.any(axis=0))
    if not len(columns):
        return 0, 0, 0, 0
    rows = np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def measure(footage: Footage) -> tuple[ObjectSeries, ...]:
    """The series of every object of a sequence."""
    size = (len(footage.objects), footage.length)
    kinds, areas = np.zeros(size, np.int8), np.zeros(size, np.int64)
    overlaps = np.full(size, np.nan)
    for number in range(footage.length):
        regions = footage.regions(number)
        ignored = None
        if not is_empty(regions.ignored):
            ignored = raster(regions.ignored, footage.shape)
        for index, (answer, truth) in enumerate(zip(regions.answers, regions.truths, strict=True)):
            mask = raster(answer, footage.shape)
            areas[index, number] = np.count_nonzero(mask)
            kinds[index, number] = _kind(truth, number == footage.starts[index])
            if kinds[index, number] != Kind.UNKNOWN and answer != Special(_FAILURE):
                overlaps[index, number] = overlap(mask, raster(truth, footage.shape), ignored)
    rows = zip(footage.objects, kinds, overlaps, areas, strict=True)
    return tuple(ObjectSeries(*row) for row in rows)


def _kind(truth: Region, given: bool) -> Kind:
    if isinstance(truth, Special):
        return Kind.UNKNOWN
    if given:
        return Kind.GIVEN
    return Kind.ABSENT if is_empty(truth) else Kind.VISIBLE


def mean_of(series: Iterable[ObjectSeries]) -> float | None:
    """The mean over objects, each counting alike: the toolkit's Q of a sequence."""
    known = [one.mean for one in series if one.mean is not None]
    return float(np.mean(known)) if known else None


def worst(series: Sequence[ObjectSeries], most: int, apart: int = 1) -> list[Moment]:
    """Up to `most` moments in which an object overlaps least with the truth, the worst first.

    They are at least `apart` frames from each other, whichever the object. Frames in which an
    object was given to the tracker, and perfect ones, are none.
    """
    moments = [
        Moment(int(frame), index, float(one.overlaps[frame]))
        for index, one in enumerate(series)
        for frame in np.flatnonzero((one.kinds >= Kind.VISIBLE) & (one.overlaps < 1))
    ]
    chosen: list[Moment] = []
    for moment in sorted(moments, key=lambda m: (m.overlap, m.frame, m.object_index)):
        if len(chosen) == most:
            break
        if all(abs(moment.frame - other.frame) >= apart for other in chosen):
            chosen.append(moment)
    return chosen


def sort_key(mean: float | None, name: str) -> tuple[bool, float, str]:
    """Sorts the lowest mean first, and what has none last."""
    return mean is None, mean or 0.0, name
