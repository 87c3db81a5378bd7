"""Contact sheets: frames of a sequence at even distances, on one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker.view.panels import GAP
from tracker.view.text import BAR


def even_frames(length: int, most: int) -> list[int]:
    """Up to `most` frame numbers (from 0) at even distances, the first and the last among them."""
    if most < 2:
        return [0]
    return sorted({round(number) for number in np.linspace(0, length - 1, min(length, most))})


def sheet(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """The pictures [h, w, 3], all of one size, row by row in a grid with dark gaps."""
    height, width = pictures[0].shape[:2]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    size = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3)
    canvas = np.full(size, BAR, np.uint8)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        canvas[top : top + height, left : left + width] = picture
    return canvas
