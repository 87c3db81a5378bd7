"""Results of `python -m tracker run`, with ground truth if there is any, as footage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tracker.media.masks import read_labels
from tracker.media.results import written_masks
from tracker.media.sources import list_frames
from tracker.media.video import open_frames
from tracker.view.drawing import resize
from tracker.view.footage import Footage, FrameRegions, ViewError
from tracker.vot.convert import groundtruth
from tracker.vot.dataset import first_known
from tracker.vot.regions import UNKNOWN, Region, Special, encode_mask, parse_region


class RunFootage(Footage):
    """A folder with masks/*.png, one per frame, whose values are the numbers of the objects.

    Frames that change their size, and their masks, are brought to the size of the first one. Frames
    after the last mask are not shown; `note` tells that there are some.
    """

    def __init__(self, results: Path, source: Path, truth: Path | None = None) -> None:
        """source: the video or folder of frames that was tracked. truth: indexed masks.

        Ground truth masks belong to the frames by their numbers; their objects, in the order in
        which they appear and then by value, are the objects 1, 2, ... of the results. Raises
        ViewError, FrameError, MaskError or VotError, naming what cannot be used.
        """
        self._masks = result_masks(results)
        self._source, self._with_truth = source, truth is not None
        with open_frames(source) as frames:
            self.fps, self._count = float(frames.fps), frames.count or 0
            first = next(iter(frames)).image
        self.name, self.length = results.resolve().name, len(self._masks)
        self.shape = first.shape[:2]
        self._last: tuple[int, FrameRegions] | None = None
        found = self._first_frames()
        truths = [] if truth is None else self._read_truth(truth)
        count = max([*found, len(truths)], default=0)
        if not count:
            raise ViewError(f"the masks in {results / 'masks'} are all empty: nothing to look at")
        nothing = [Special(UNKNOWN)] * self.length
        self._truths = truths + [nothing] * (count - len(truths))
        self.objects = tuple(str(number) for number in range(1, count + 1))
        self.starts = tuple(
            _first(regions) if index < len(truths) else found.get(index + 1, 0)
            for index, regions in enumerate(self._truths)
        )

    def regions(self, number: int) -> FrameRegions:
        """The regions of a frame, from 0."""
        if self._last is None or self._last[0] != number:
            labels = self._labels(number)
            answers = [encode_mask(labels == int(name)) for name in self.objects]
            truths = [regions[number] for regions in self._truths]
            record = FrameRegions(tuple(answers), tuple(truths), Special(UNKNOWN))
            self._last = number, record
        return self._last[1]

    def images(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """The frames of these numbers, which rise; ViewError where the source ends before."""
        left = iter(numbers)
        wanted = next(left, None)
        with open_frames(self._source) as frames:
            for frame in frames:
                if wanted is None:
                    self._tell_of_more(frame.number)
                    return
                if frame.number == wanted:
                    yield self._fitted(frame.image, wanted)
                    wanted = next(left, None)
        if wanted is not None:
            raise ViewError(
                f"{self._source} ends before frame {wanted + 1} of {self.length}; "
                "name with --frames what was tracked"
            )

    def _tell_of_more(self, number: int) -> None:
        if number == self.length:
            self.note = (
                f"{self._source.resolve().name} goes on after the {self.length} frames that "
                f"{self.name} has masks of, and only those are shown; if something else was "
                "tracked, name it with --frames"
            )

    def _labels(self, number: int) -> np.ndarray:
        labels, path = read_labels(self._masks[number]), self._masks[number]
        ours, frames = (f"{width} x {height}" for height, width in (labels.shape, self.shape))
        if ours == frames:
            return labels
        if number == 0:
            raise ViewError(
                f"{path} is {ours}, the frames of {self._source} are {frames}; "
                "name with --frames what was tracked"
            )
        if self._with_truth:
            raise ViewError(
                f"{path} is {ours}, the masks before it are {frames}: frames of changing size "
                "cannot be compared with a ground truth; leave --truth out"
            )
        return cv2.resize(labels, self.shape[::-1], interpolation=cv2.INTER_NEAREST)

    def _fitted(self, image: np.ndarray, number: int) -> np.ndarray:
        """The frame at the size of the first one; ViewError where its mask has another size."""
        path = self._masks[number]
        with Image.open(path) as mask:
            (width, height), (tall, wide) = mask.size, image.shape[:2]
        if (tall, wide) != (height, width):
            raise ViewError(
                f"{path} is {width} x {height}, frame {number + 1} of {self._source} is "
                f"{wide} x {tall}; name with --frames what was tracked"
            )
        return image if image.shape[:2] == self.shape else resize(image, self.shape)

    def _first_frames(self) -> dict[int, int]:
        """Object number -> the first frame it is in."""
        found: dict[int, int] = {}
        for number in range(self.length):
            for value in np.unique(self._labels(number)):
                if value:
                    found.setdefault(int(value), number)
        return found

    def _read_truth(self, folder: Path) -> list[list[Region]]:
        if not folder.is_dir():
            raise ViewError(f"there is no folder of ground truth masks {folder}; check --truth")
        if self._source.is_dir():
            names = list_frames(self._source)
        else:
            count = max(self._count, self.length)
            names = [Path(f"{number:08d}.png") for number in range(count)]
        lines = groundtruth(names, folder, self.shape[::-1]).values()
        ordered = sorted((text[: self.length] for text in lines), key=first_known)
        return [
            [parse_region(line) for line in text]
            for text in ordered
            if first_known(text) < self.length
        ]


def result_masks(results: Path) -> list[Path]:
    """The masks of a results folder in the order of the frames; ViewError when there is none."""
    found = written_masks(results)
    if not found:
        raise ViewError(
            f"{results} holds no results: neither config.yaml (a workspace) nor masks/*.png "
            "(of `python -m tracker run`); name one of them"
        )
    return found


def _first(regions: Sequence[Region]) -> int:
    known = (i for i, region in enumerate(regions) if not isinstance(region, Special))
    return next(known, len(regions))
