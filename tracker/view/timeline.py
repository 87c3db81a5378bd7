"""A strip under a video: the overlap of every object over the whole sequence, and where we are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker.view.drawing import colour_of
from tracker.view.series import Kind, ObjectSeries
from tracker.view.text import BAR, WHITE

ROW = 8
"""Height of an object's row in pixels; the last two are dark."""
MOST_ROWS = 12
_LEFT = 16  # pixels on the left in the object's colour
_BAD, _MIDDLE, _GOOD = (215, 48, 39), (254, 224, 100), (40, 150, 80)
_ABSENT, _UNKNOWN = (90, 96, 110), (44, 47, 54)


class Timeline:
    """Strips of `width` pixels: red where an object is lost, green where all of it is found.

    Grey: known to be absent and not reported (red if reported); nearly black: nothing is known.
    The first MOST_ROWS objects are shown.
    """

    def __init__(self, series: Sequence[ObjectSeries], width: int) -> None:
        shown = series[:MOST_ROWS]
        self._frames = np.linspace(0, len(series[0].kinds), width - _LEFT, endpoint=False)
        columns = self._frames.astype(int)
        strip = np.full((ROW * len(shown), width, 3), BAR, np.uint8)
        for index, one in enumerate(shown):
            rows = slice(ROW * index, ROW * (index + 1) - 2)
            strip[rows, : _LEFT - 4] = colour_of(index)
            strip[rows, _LEFT:] = _colours(one)[columns]
        self._strip = strip if len(strip) % 2 == 0 else strip[:-1]

    def under(self, picture: np.ndarray, number: int) -> np.ndarray:
        """The picture, as wide as the strip, over it; a white line marks frame `number`."""
        strip = self._strip.copy()
        here = _LEFT + int(np.searchsorted(self._frames, number))
        strip[:, here : here + 3] = WHITE
        return np.concatenate([picture, strip])


def _colours(one: ObjectSeries) -> np.ndarray:
    """[T, 3] uint8: the colour of each frame."""
    overlaps = np.nan_to_num(one.overlaps)
    channels = zip(_BAD, _MIDDLE, _GOOD, strict=True)
    scale = [np.interp(overlaps, (0.0, 0.5, 0.95), values) for values in channels]
    colours = np.stack(scale, axis=1).round().astype(np.uint8)
    colours[np.isin(one.kinds, (Kind.UNKNOWN, Kind.GIVEN))] = _UNKNOWN
    colours[(one.kinds == Kind.ABSENT) & (one.areas == 0)] = _ABSENT
    return colours
