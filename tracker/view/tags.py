"""Where the tags of objects go: near them, and off other objects and tags as far as possible."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from tracker.view.text import Colour, Tag, tag_size

_MARGIN = 3  # pixels between an object and its tag
_ON_TAG = 3  # covering a pixel of a tag is as bad as covering so many pixels of objects
_LATER = 0.05  # of the tag's pixels: so much less must a place cover to be taken before another


def place_tags(
    shown: Sequence[tuple[np.ndarray, str, Colour]], shape: tuple[int, int]
) -> list[Tag]:
    """The tags of objects (mask [h, w] bool, text, colour) in a picture of `shape` = (h, w).

    Beside the largest part of the object, above it if nothing speaks against that.
    """
    covered = np.zeros(shape, np.int32)
    for mask, _, _ in shown:
        covered += mask
    tags = []
    for mask, text, colour in shown:
        width, height = tag_size(text)
        places = _candidates(mask, width, height)
        windows = [np.s_[top : top + height, left : left + width] for left, top in places]
        later = _LATER * width * height * np.arange(len(places))
        best = int(np.argmin([covered[window].sum() for window in windows] + later))
        covered[windows[best]] += _ON_TAG
        tags.append(Tag(*places[best], text, colour))
    return tags


def _candidates(mask: np.ndarray, width: int, height: int) -> list[tuple[int, int]]:
    """Left and top of a tag above, below, right and left of a mask, and at its corners, inside."""
    x, y, across, down = _largest_part(mask)
    middle, centre = x + (across - width) // 2, y + (down - height) // 2
    left, right = x - width - _MARGIN, x + across + _MARGIN
    above, below = y - height - _MARGIN, y + down + _MARGIN
    places = [(middle, above), (middle, below), (right, centre), (left, centre)]
    places += [(right, above), (left, above), (right, below), (left, below)]
    most = max(mask.shape[1] - width, 0), max(mask.shape[0] - height, 0)
    return [(min(max(x, 0), most[0]), min(max(y, 0), most[1])) for x, y in places]


def _largest_part(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, width and height of the largest connected part of a mask that is not empty."""
    _, _, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    largest = statistics[1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))]
    sides = (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT)
    return tuple(int(largest[side]) for side in sides)
