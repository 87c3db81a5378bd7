"""One frame as a picture: with the truth, with the result, and with an object's errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracker.view.drawing import EXTRA, MISSED, colour_of, draw_errors, draw_regions, fit, resize
from tracker.view.footage import Footage, FrameRegions
from tracker.view.series import Kind, Moment, ObjectSeries
from tracker.view.text import BAD, BAR, DIM, GOOD, PLAIN, Colour, Word, caption
from tracker.vot.regions import INITIALIZATION, Special

LOW = 0.5
"""An overlap below this is written in the colour of bad news."""
GAP = 4


class Painter:
    """Draws the frames of one sequence in panels of `width` pixels.

    with_truth: whether anything is known of the truth; if not, the frame itself stands beside the
    result.
    """

    def __init__(self, footage: Footage, series: tuple[ObjectSeries, ...], width: int) -> None:
        self._footage, self._series, self._width = footage, series, width
        self.with_truth = any((one.kinds != Kind.UNKNOWN).any() for one in series)

    def pair(self, number: int, image: np.ndarray) -> np.ndarray:
        """[h, 2 width + gap, 3] uint8 RGB: truth and result of a frame, a caption under each."""
        regions = self._footage.regions(number)
        return beside(
            self._truth_panel(number, regions, image), self._result_panel(number, regions, image)
        )

    def result(self, number: int, image: np.ndarray) -> np.ndarray:
        """[h, width, 3] uint8 RGB: the result alone, without a caption."""
        return self._result(number, self._footage.regions(number), image)

    def errors(self, moment: Moment, image: np.ndarray) -> np.ndarray:
        """[h, 3 width + 2 gaps, 3] uint8 RGB: truth, result, and an object's errors from near."""
        regions, index = self._footage.regions(moment.frame), moment.object_index
        own = regions.answers[index], regions.truths[index], regions.ignored
        size = fit(image, self._width).shape[:2]
        if image.shape[:2] != self._footage.shape:
            image = resize(image, self._footage.shape)
        wrong = draw_errors(image, *own, size)
        legend = [
            Word(f"errors of {self._footage.objects[index]}:"),
            Word("too much", PLAIN, EXTRA),
            Word("missed", PLAIN, MISSED),
        ]
        truth = self._truth_panel(moment.frame, regions, image)
        result = self._result_panel(moment.frame, regions, image)
        return beside(beside(truth, result), self._captioned(wrong, legend))

    def _truth_panel(self, number: int, regions: FrameRegions, image: np.ndarray) -> np.ndarray:
        title = "ground truth" if self.with_truth else self._footage.name
        place = Word(f"frame {number + 1}/{self._footage.length}", DIM)
        tags = self._footage.objects
        small = fit(image, self._width)
        drawn = draw_regions(small, regions.truths, self._footage.shape, tags)
        return self._captioned(drawn, [Word(title), place])

    def _result_panel(self, number: int, regions: FrameRegions, image: np.ndarray) -> np.ndarray:
        states = [
            Word(f"{one.name}: {text}", colour, colour_of(index))
            for index, one in enumerate(self._series)
            for text, colour in [state(one, number)]
            if text
        ]
        states.sort(key=lambda word: word.colour != BAD)  # first what must not be cut off
        drawn = self._result(number, regions, image)
        return self._captioned(drawn, [Word("result"), *states])

    def _result(self, number: int, regions: FrameRegions, image: np.ndarray) -> np.ndarray:
        shown, tags = [], []
        for answer, truth, one in zip(regions.answers, regions.truths, self._series, strict=True):
            # the toolkit keeps no region of the first frame: what was given is what there was
            shown.append(truth if answer == Special(INITIALIZATION) else answer)
            scored = one.kinds[number] == Kind.VISIBLE
            tags.append(f"{one.name}: {figure(one.overlaps[number])}" if scored else one.name)
        return draw_regions(fit(image, self._width), shown, self._footage.shape, tags)

    def _captioned(self, picture: np.ndarray, words: Sequence[Word]) -> np.ndarray:
        return np.concatenate([picture, caption(self._width, words)])


def state(one: ObjectSeries, number: int) -> tuple[str, Colour]:
    """What to say of an object in a frame, and in which colour; no text where nothing is known."""
    kind, value = one.kinds[number], one.overlaps[number]
    if kind == Kind.GIVEN:
        return "given", DIM
    if kind == Kind.ABSENT:
        wrong = one.areas[number] > 0
        return ("absent, but reported", BAD) if wrong else ("absent", GOOD)
    if kind == Kind.UNKNOWN:
        return ("reported", DIM) if one.areas[number] else ("", DIM)
    if np.isnan(value):
        return "failed", BAD
    if one.areas[number] == 0:
        return "not reported", BAD
    return figure(value), BAD if value < LOW else PLAIN


def figure(value: float) -> str:
    """An overlap with two digits; what is no perfect 1 is never written as one."""
    return f"{value if value >= 1 else min(value, 0.99):.2f}"


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures of one height with a dark gap between them."""
    gap = np.full((left.shape[0], GAP, 3), BAR, np.uint8)
    return np.concatenate([left, gap, right], axis=1)
