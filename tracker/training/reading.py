"""Pictures, masks and cut-outs as arrays, reduced and kept in memory.

What is left out: instances under 0.1 percent of the picture; in a partition, regions under 0.5 or
over 40 percent.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tracker.frames import FrameError, read_image
from tracker.labels import MaskError
from tracker.media.masks import read_labels as read_values
from tracker.training.errors import DataError
from tracker.training.items import Still

SHORT_SIDE = 400  # pixels: larger pictures are reduced when read; the cache holds them so
MIN_SHARE = 0.001  # of the picture: smaller instances count as background
REGION_SHARE = (0.005, 0.4)  # of the picture: regions of a partition that may serve as objects


def read_rgb(path: Path, short_side: int | None = None) -> np.ndarray:
    """The picture as [H, W, 3] uint8 RGB, its short side reduced to `short_side` if longer."""
    try:
        image = read_image(path)
    except FrameError as error:
        raise DataError(str(error)) from error
    size = _reduced(image.shape, short_side)
    return image if size is None else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def read_labels(path: Path, short_side: int | None = None) -> np.ndarray:
    """The mask as [H, W] uint8 ids (palette indices or grey values), reduced by nearest."""
    try:
        values = read_values(path)
    except MaskError as error:
        raise DataError(str(error)) from error
    if values.min(initial=0) < 0 or values.max(initial=0) > 255:
        raise DataError(f"mask {path} has values outside 0 to 255; number its objects from 1")
    labels = values.astype(np.uint8, copy=False)
    size = _reduced(labels.shape, short_side)
    return labels if size is None else cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)


def read_sprite(path: Path, short_side: int | None = None) -> np.ndarray:
    """The cut-out as [H, W, 4] uint8 RGBA; a picture without alpha is an error."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        raise DataError(f"{path} is not a picture with an alpha channel")
    image = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    size = _reduced(image.shape, short_side)
    return image if size is None else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _reduced(shape: tuple[int, ...], short_side: int | None) -> tuple[int, int] | None:
    height, width = shape[:2]
    if short_side is None or min(height, width) <= short_side:
        return None
    scale = short_side / min(height, width)
    return round(width * scale), round(height * scale)


class Cache:
    """Decoded pictures in memory, up to `budget` bytes; beyond that, files are read each time.

    Read everything before worker processes are forked and they share one copy.
    """

    def __init__(self, budget: int = 6 * 2**30, short_side: int = SHORT_SIDE) -> None:
        self.budget, self.short_side, self.used = budget, short_side, 0
        self._arrays: dict[Path, np.ndarray] = {}

    def rgb(self, path: Path) -> np.ndarray:
        return self._get(path, read_rgb)

    def labels(self, path: Path) -> np.ndarray:
        return self._get(path, read_labels)

    def sprite(self, path: Path) -> np.ndarray:
        return self._get(path, read_sprite)

    def _get(self, path: Path, read) -> np.ndarray:
        array = self._arrays.get(path)
        if array is None:
            array = read(path, self.short_side)
            array.flags.writeable = False
            if self.used + array.nbytes <= self.budget:
                self._arrays[path] = array
                self.used += array.nbytes
        return array


def load_still(still: Still, cache: Cache, rng: np.random.Generator) -> tuple:
    """([H, W, 3] uint8 RGB, [H, W] uint8 labels 0..N); the still's rule is applied.

    For a partition, one to three regions drawn with `rng` become the objects.
    """
    image = cache.rgb(still.image)
    if still.mask is None:
        return image, np.zeros(image.shape[:2], np.uint8)
    labels = cache.labels(still.mask)
    if labels.shape != image.shape[:2]:
        raise DataError(f"{still.mask}: size {labels.shape}, its picture {image.shape[:2]}")
    if still.rule == "union":
        return image, (labels > 0).astype(np.uint8)
    shares = np.bincount(labels.ravel(), minlength=256) / labels.size
    low, high = REGION_SHARE if still.rule == "partition" else (MIN_SHARE, 1.0)
    keep = [i for i in range(1, 256) if low <= shares[i] <= high]
    if still.rule == "partition" and keep:
        keep = rng.permutation(keep)[: rng.integers(1, 4)].tolist()
    return image, keep_ids(labels, keep)


def keep_ids(labels: np.ndarray, ids: list[int]) -> np.ndarray:
    """Labels with `ids` renumbered 1..N in the order given, and everything else 0."""
    table = np.zeros(256, np.uint8)
    table[ids] = np.arange(1, len(ids) + 1)
    return cv2.LUT(labels, table)
