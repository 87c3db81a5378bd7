"""Videos and folders of frames in, indexed masks, tables and overlays out."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from tracker.frames import FrameError, read_image
from tracker.labels import MaskError, boxes

if TYPE_CHECKING:
    from tracker.pipeline import FrameResult

FRAME_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
FOLDER_FPS = 25.0
"""Frames per second of an overlay made from a folder, which has no speed of its own."""

COLUMNS = ("frame", "object", "x0", "y0", "x1", "y1", "area", "confidence", "refined")


@dataclass(frozen=True)
class Frames:
    """Frames of a video or folder, read one by one: each [H, W, 3] uint8 RGB.

    count: how many there should be, None when the file does not tell.
    """

    images: Iterator[np.ndarray]
    count: int | None
    fps: float


def open_frames(source: Path) -> Frames:
    """The frames of a video file, or of a folder's pictures in the order of their numbers.

    Raises FrameError when there is no such thing or nothing in it.
    """
    if source.is_dir():
        paths = sorted(
            (path for path in source.iterdir() if path.suffix.lower() in FRAME_SUFFIXES),
            key=_natural,
        )
        if not paths:
            raise FrameError(f"no frames ({', '.join(sorted(FRAME_SUFFIXES))}) in {source}")
        return Frames(map(read_image, paths), len(paths), FOLDER_FPS)
    if not source.is_file():
        raise FrameError(f"no video file or folder of frames {source}; check the path")
    capture = cv2.VideoCapture(str(source))
    read, first = capture.read()
    if not read:
        raise FrameError(f"{source} is no video OpenCV reads; convert it, for instance with ffmpeg")
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    fps = capture.get(cv2.CAP_PROP_FPS)
    return Frames(
        _captured(capture, first), count if count > 0 else None, fps if fps > 0 else FOLDER_FPS
    )


def read_objects(path: Path) -> np.ndarray:
    """The objects of a mask file: [N, H, W] bool, one per value except 0, in order of value.

    The values of an indexed picture are its indices, of a grey one its grey levels; a mask of
    0 and 255 is one object. Raises MaskError naming the path.
    """
    try:
        with Image.open(path) as picture:
            mode, values = picture.mode, np.array(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise MaskError(f"cannot read mask {path} ({error}); check the path") from error
    if values.ndim != 2:
        raise MaskError(f"mask {path} is {mode}; save it indexed or grey, one value per object")
    found = np.unique(values[values != 0])
    if len(found) == 0:
        raise MaskError(f"mask {path} is empty: every pixel is 0; mark at least one object")
    return values[None] == found[:, None, None]


def palette() -> np.ndarray:
    """[256, 3] uint8 RGB: the colours of PASCAL VOC and DAVIS masks, neighbours well apart."""
    index = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((index >> (3 * bit + channel) & 1) << (7 - bit)).astype(
                np.uint8
            )
    return colours


def write_labels(path: Path, labels: np.ndarray) -> None:
    """Write a label map [H, W] as PNG: indexed with the palette, 16-bit grey when uint16."""
    picture = Image.fromarray(labels)
    if labels.dtype == np.uint8:
        picture.putpalette(palette().tobytes())
    picture.save(path)


def draw(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The frame with every object tinted and outlined in its colour: [H, W, 3] uint8 RGB."""
    colours = palette()[np.where(labels > 0, (labels.astype(np.int64) - 1) % 255 + 1, 0)]
    tinted = cv2.addWeighted(image, 0.5, colours, 0.5, 0)
    tinted = np.where(labels[..., None] > 0, tinted, image)
    edge = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    return np.where((edge & (labels > 0))[..., None], colours, tinted)


class TableWriter(AbstractContextManager):
    """A CSV file: one line per frame and object in view; boxes are XYXY, inclusive pixels."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(COLUMNS)

    def add(self, number: int, result: FrameResult) -> None:
        found, present = boxes(result.labels, result.count)
        areas = np.bincount(result.labels.ravel(), minlength=result.count + 1)[1:]
        for index in np.flatnonzero(present):
            confidence, refined = f"{result.confidence[index]:.4f}", int(result.refined[index])
            row = (number, index + 1, *found[index], areas[index], confidence, refined)
            self._writer.writerow(row)

    def __exit__(self, *_: object) -> None:
        self._file.close()


class OverlayWriter(AbstractContextManager):
    """An mp4 of the size of its first frame; frames of other sizes are scaled to it."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._video: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def add(self, image: np.ndarray) -> None:
        if self._video is None:
            self._size = image.shape[1::-1]
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._video = cv2.VideoWriter(str(self._path), code, self._fps, self._size)
            if not self._video.isOpened():
                raise OSError(f"cannot write {self._path}; leave out --overlay")
        if image.shape[1::-1] != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        self._video.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def __exit__(self, *_: object) -> None:
        if self._video is not None:
            self._video.release()


def _captured(capture: cv2.VideoCapture, first: np.ndarray) -> Iterator[np.ndarray]:
    read, image = True, first
    try:
        while read:
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            read, image = capture.read()
    finally:
        capture.release()


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts frame2 before frame10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
