"""A short sequence in memory, with results and truths that are known, for the tests of the view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tracker.view.footage import Footage, FrameRegions
from tracker.vot.regions import INITIALIZATION, UNKNOWN, Region, Special, encode_mask

SHAPE = (60, 80)
LENGTH = 8
NOTHING = Special(UNKNOWN)


def rectangle(top: int, left: int, height: int, width: int) -> np.ndarray:
    """[60, 80] bool."""
    mask = np.zeros(SHAPE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


EMPTY = encode_mask(np.zeros(SHAPE, bool))
SQUARE = encode_mask(rectangle(10, 10, 20, 20))
HALF = encode_mask(rectangle(10, 20, 20, 20))  # overlaps SQUARE by 200 of 600 pixels
RIGHT = encode_mask(rectangle(30, 50, 20, 20))


class Toy(Footage):
    """Object `a`: found, then by half, lost, not reported. `b` starts in frame 2 and leaves."""

    name, objects, length, fps = "toy", ("a", "b"), LENGTH, 10.0
    shape, starts = SHAPE, (0, 2)

    answers = (
        (Special(INITIALIZATION), SQUARE, HALF, RIGHT, EMPTY, SQUARE, SQUARE, SQUARE),
        (NOTHING, NOTHING, RIGHT, RIGHT, EMPTY, RIGHT, RIGHT, SQUARE),
    )
    truths = (
        (SQUARE, SQUARE, SQUARE, SQUARE, SQUARE, SQUARE, NOTHING, SQUARE),
        (NOTHING, NOTHING, RIGHT, RIGHT, EMPTY, EMPTY, RIGHT, RIGHT),
    )
    ignored: Region = NOTHING
    brightness = 120

    def regions(self, number: int) -> FrameRegions:
        answers = tuple(row[number] for row in self.answers)
        return FrameRegions(answers, tuple(row[number] for row in self.truths), self.ignored)

    def images(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        return (np.full((*SHAPE, 3), self.brightness, np.uint8) for _ in numbers)


class WithoutTruth(Toy):
    """The same, but nothing is known beyond the first frame."""

    objects, starts = ("a",), (0,)
    answers = Toy.answers[:1]
    truths = ((SQUARE, *[NOTHING] * (LENGTH - 1)),)
