"""Objects and errors drawn into a frame, at the size the picture is shown in."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from tracker.media.masks import palette
from tracker.view.footage import is_empty, raster
from tracker.view.tags import place_tags
from tracker.view.text import Colour, draw_tags
from tracker.vot.regions import Region

EXTRA: Colour = (255, 90, 30)
"""Pixels reported that are not the object's (false positives)."""
MISSED: Colour = (40, 130, 255)
"""Pixels of the object that were not reported (false negatives)."""

_TINT = 0.4
_ERROR_TINT = 0.75
_COLOURS = palette()


def colour_of(index: int) -> Colour:
    """The colour of object `index`, from 0: that of the project's indexed masks."""
    return tuple(int(value) for value in _COLOURS[index % 255 + 1])


def fit(image: np.ndarray, width: int) -> np.ndarray:
    """The image scaled to a width, the height in proportion and even."""
    height = max(2, 2 * round(image.shape[0] * width / image.shape[1] / 2))
    return resize(image, (height, width))


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The image at the size (h, w)."""
    kind = cv2.INTER_AREA if size[0] < image.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(image, size[::-1], interpolation=kind)


def fit_mask(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """[h, w] bool: a mask [H, W] at another size; a pixel belongs to it if half of it does."""
    kind = cv2.INTER_AREA if shape[0] < mask.shape[0] else cv2.INTER_LINEAR
    scaled = cv2.resize(mask.astype(np.float32), shape[::-1], interpolation=kind)
    return scaled >= 0.5


def draw_regions(
    image: np.ndarray, regions: Sequence[Region], shape: tuple[int, int], tags: Sequence[str]
) -> np.ndarray:
    """The image [h, w, 3] with every region tinted, outlined and tagged in its object's colour.

    shape: (H, W), the frame that the regions are in; the image is that frame at any scale.
    """
    drawn, shown = image.copy(), []
    for index, (region, tag) in enumerate(zip(regions, tags, strict=True)):
        mask = np.zeros(0) if is_empty(region) else fit_mask(raster(region, shape), image.shape[:2])
        if mask.any():
            _tint(drawn, mask, colour_of(index), _TINT)
            _outline(drawn, mask, colour_of(index))
            shown.append((mask, tag, colour_of(index)))
    return draw_tags(drawn, place_tags(shown, image.shape[:2]))


def draw_errors(
    image: np.ndarray, answer: Region, truth: Region, ignored: Region, size: tuple[int, int]
) -> np.ndarray:
    """The part of the frame [H, W, 3] around an object with its errors, at the size (h, w).

    In dim grey; pixels too many in `EXTRA`, missed ones in `MISSED`, what is to be ignored in
    neither. The truth is outlined in white.
    """
    shape = image.shape[:2]
    ours, theirs = raster(answer, shape), raster(truth, shape)
    window = around(ours | theirs)
    counted = ~raster(ignored, shape)
    grey = cv2.cvtColor(resize(image[window], size), cv2.COLOR_RGB2GRAY)
    drawn = np.repeat((0.6 * grey + 20).astype(np.uint8)[..., None], 3, axis=2)
    for mask, colour in ((ours & ~theirs, EXTRA), (theirs & ~ours, MISSED)):
        _tint(drawn, fit_mask((mask & counted)[window], size), colour, _ERROR_TINT)
    drawn[_edge(fit_mask(theirs[window], size), 1)] = 255
    return drawn


def around(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of a window of the frame's proportions, twice the size of the box of a mask.

    It lies in the frame, and is at least a quarter of it wide; for an empty mask it is all of it.
    """
    height, width = mask.shape
    if not mask.any():
        return slice(0, height), slice(0, width)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    spans = ((rows[0], rows[-1] + 1, height), (columns[0], columns[-1] + 1, width))
    share = min(max(0.25, *(2 * (last - first) / full for first, last, full in spans)), 1.0)
    window = []
    for first, last, full in spans:
        length = max(1, round(share * full))
        start = min(max(round((first + last - length) / 2), 0), full - length)
        window.append(slice(start, start + length))
    return window[0], window[1]


def _tint(image: np.ndarray, mask: np.ndarray, colour: Colour, share: float) -> None:
    """In place."""
    mixed = image[mask] * (1 - share) + np.array(colour) * share
    image[mask] = np.round(mixed).astype(np.uint8)


def _outline(image: np.ndarray, mask: np.ndarray, colour: Colour) -> None:
    """In place: two pixels of the colour inside the mask's edge, one of white outside it."""
    image[_edge(mask, 2)] = colour
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    image[grown & ~mask] = 255


def _edge(mask: np.ndarray, width: int) -> np.ndarray:
    """[h, w] bool: the pixels of a mask within `width` of its edge."""
    side = 2 * width + 1
    inner = cv2.erode(mask.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)
    return mask & ~inner
