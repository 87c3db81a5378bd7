"""What is looked at: the frames of a sequence, what the tracker said in each, and the truth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tracker.vot.regions import MaskRegion, Region, Shape, Special


class ViewError(RuntimeError):
    """Results that cannot be shown; the text names them and what to do."""


@dataclass(frozen=True)
class FrameRegions:
    """One frame: a region per object, in the order of the objects, and the area to ignore.

    answers: the tracker's; Special where it gave none. truths: Special where nothing is known, a
    mask without pixels where the object is known to be absent.
    """

    answers: tuple[Region, ...]
    truths: tuple[Region, ...]
    ignored: Region


class Footage(ABC):
    """A sequence with its results.

    name: the sequence's. objects: the objects' names, in the order of their colours. length: in
    frames. fps: frames per second. shape: (H, W) of a frame. starts: the frame (from 0) in which
    each object was given to the tracker. note: what else is to be said of it when its frames have
    been read, "" for nothing.
    """

    name: str
    objects: tuple[str, ...]
    length: int
    fps: float
    shape: tuple[int, int]
    starts: tuple[int, ...]
    note: str = ""

    @abstractmethod
    def regions(self, number: int) -> FrameRegions:
        """The regions of a frame, from 0."""

    @abstractmethod
    def images(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """The frames of these numbers, which rise: each [H, W, 3] uint8 RGB."""


def raster(region: Region, shape: tuple[int, int]) -> np.ndarray:
    """[H, W] bool: the pixels of a region as the toolkit counts them; none of a special one.

    A rectangle covers whole pixels from its rounded corner; a point is its pixel.
    """
    if isinstance(region, MaskRegion):
        return region.mask(shape)
    mask = np.zeros(shape, np.uint8)
    if isinstance(region, Special):
        return mask.astype(bool)
    numbers = np.round(np.asarray(region.values)).astype(np.int32)
    if region.kind == "polygon":
        cv2.fillPoly(mask, [numbers.reshape(-1, 2)], 1)
    else:
        left, top, width, height = (*numbers, 1, 1)[:4]
        mask[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = 1
    return mask.astype(bool)


def is_empty(region: Region) -> bool:
    """Whether a region has no pixels."""
    if isinstance(region, Shape):
        return False
    return isinstance(region, Special) or region.area == 0
