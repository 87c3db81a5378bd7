"""J and F of a tracker on one video with masks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from tracker.bench.metrics import Scorer
from tracker.bench.scores import SequenceScore
from tracker.frames import FrameError
from tracker.labels import MaskError
from tracker.training.errors import DataError
from tracker.training.items import Video
from tracker.training.reading import read_labels, read_rgb


class HasLabels(Protocol):
    """An answer: labels [H, W], 0 background, objects 1..N in order of arrival."""

    @property
    def labels(self) -> np.ndarray: ...


class Tracker(Protocol):
    """The calls of HQTracker: one of them for each frame (masks [N, H, W] bool)."""

    def initialize(self, image: np.ndarray, masks: np.ndarray) -> HasLabels: ...
    def track(self, image: np.ndarray) -> HasLabels: ...
    def add_objects(self, image: np.ndarray, masks: np.ndarray) -> HasLabels: ...


def evaluate_video(tracker: Tracker, video: Video, max_frames: int | None = None) -> SequenceScore:
    """Track one video from its masks; every frame with a mask but the first and last is scored.

    Objects start in the first frame whose mask shows them: the first ones by `initialize`, later
    ones by `add_objects`. Frames before the first mask are skipped.
    Raises DataError, which names video and file, for a frame or mask that cannot be used, and if
    there is no mask, or no object in any.
    """
    frames, masks = video.frames[:max_frames], video.masks[:max_frames]
    scorer, ids, seconds, count, size = Scorer(), [], 0.0, 0, None
    for t, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        with naming(f"{video.name}, frame {frame.name}"):
            truth = None if mask is None else read_labels(mask)
            new = [] if truth is None else [i for i in present(truth) if i not in ids]
            if not ids and not new:
                continue
            image = read_rgb(frame)
            size = size or image.shape[:2]
            _check_sizes(size, {frame: image, mask: truth})
            started = time.perf_counter()
            answer = _step(tracker, image, truth, new, first=not ids)
            seconds += time.perf_counter() - started
        count += 1
        if truth is not None and ids and t < len(frames) - 1:
            scorer.add(_with_ids(answer.labels, [*ids, *new]), truth, list(ids))
        ids += new
    if not ids:
        raise _no_object(video.name, masks)
    return SequenceScore(video.name, scorer.result(), count, seconds)


@contextlib.contextmanager
def naming(where: str) -> Iterator[None]:
    """Errors about frames and masks become DataErrors that begin with `where`."""
    try:
        yield
    except (DataError, FrameError, MaskError) as error:
        raise DataError(f"{where}: {error}") from error


def _check_sizes(size: tuple[int, ...], arrays: Mapping[Path | None, np.ndarray | None]) -> None:
    """DataError, with the file's name, for one of another size [H, W]; None is passed over."""
    height, width = size
    for path, array in arrays.items():
        if array is not None and array.shape[:2] != size:
            raise DataError(
                f"{path} is {array.shape[1]}x{array.shape[0]}, the video {width}x{height}; "
                "save all frames and masks of a video in one size"
            )


def _no_object(name: str, masks: Sequence[Path | None]) -> DataError:
    given = [mask for mask in masks if mask is not None]
    where = f" in {given[0].parent}" if given else ""
    return DataError(
        f"{name}: no object in any of the {len(given)} masks of its {len(masks)} frames{where}; "
        "mark one, or choose other sequences"
    )


def _step(tracker: Tracker, image, truth, new: list[int], first: bool) -> HasLabels:
    if not new:
        return tracker.track(image)
    masks = np.stack([truth == i for i in new])
    return tracker.initialize(image, masks) if first else tracker.add_objects(image, masks)


def present(labels: np.ndarray) -> list[int]:
    """The ids of a mask, in their order."""
    return (np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[1:]) + 1).tolist()


def _with_ids(labels: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """From order of arrival to the ids of the masks."""
    table = np.zeros(max(len(ids) + 1, int(labels.max()) + 1), np.uint8)
    table[1 : len(ids) + 1] = ids
    return table[labels]
