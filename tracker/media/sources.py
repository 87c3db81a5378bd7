"""Where frames come from: the records all sources share, folders of pictures, and cameras."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from tracker.frames import FrameError, read_image

FRAME_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
_KINDS = {".jpeg": ".jpg", ".tiff": ".tif"}

FOLDER_FPS = Fraction(25)
"""Frames per second of a folder or a camera that tells none."""

CAMERA_TICK = Fraction(1, 1000)
"""Seconds: how finely the times of a camera's frames are kept."""


@dataclass(frozen=True)
class Frame:
    """One frame: image [H, W, 3] uint8 RGB, upright, number from 0, time in seconds from frame 0.

    Times grow strictly; those of a video are exact multiples of its time base.
    """

    number: int
    image: np.ndarray
    time: Fraction


@dataclass(frozen=True)
class Frames(AbstractContextManager):
    """Frames read one by one: iterate once, close (or leave the `with` block) when done.

    count: how many there should be, None when the source does not tell; videos may be a few off.
    fps: frames per second on average. time_base: seconds that times are multiples of.
    live: a camera, which cannot be read again.
    """

    frames: Iterator[Frame]
    count: int | None
    fps: Fraction
    time_base: Fraction
    close: Callable[[], None]
    live: bool = False

    def __iter__(self) -> Iterator[Frame]:
        return self.frames

    def __exit__(self, *_: object) -> None:
        self.close()


def is_picture(path: Path) -> bool:
    """Whether a file counts as a frame: by its suffix, and hidden ones (`._1.jpg`) do not."""
    return path.suffix.lower() in FRAME_SUFFIXES and not path.name.startswith(".")


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder by the numbers in their names: frame2 before frame10."""
    return sorted(filter(is_picture, folder.iterdir()), key=_natural)


def list_frames(folder: Path) -> list[Path]:
    """The pictures of a folder, as `list_pictures` orders them.

    Raises FrameError when there are none, and when they are of several kinds: frames are of one.
    """
    paths = list_pictures(folder)
    if not paths:
        raise FrameError(f"no frames ({', '.join(sorted(FRAME_SUFFIXES))}) in {folder}")
    kinds = Counter(_KINDS.get(suffix, suffix) for suffix in (p.suffix.lower() for p in paths))
    if len(kinds) > 1:
        told = ", ".join(f"{count} of {kind}" for kind, count in kinds.most_common())
        raise FrameError(
            f"{folder} holds pictures of several kinds ({told}): which are the frames? "
            "Put them into a folder of their own"
        )
    return paths


def open_folder(folder: Path) -> Frames:
    """The pictures of a folder in the order of `list_frames`, 25 per second.

    Raises FrameError as `list_frames` does; while reading, for one that is damaged.
    """
    paths = list_frames(folder)
    frames = (Frame(n, read_image(path), n / FOLDER_FPS) for n, path in enumerate(paths))
    return Frames(frames, len(paths), FOLDER_FPS, 1 / FOLDER_FPS, frames.close)


def is_camera(source: str) -> bool:
    """Whether a source names a camera: a number, or /dev/video with a number.

    More than four digits are no number of a camera but, for instance, the date of a folder.
    """
    return re.fullmatch(r"[0-9]{1,4}|/dev/video[0-9]{1,4}", source) is not None


def open_camera(source: str) -> Frames:
    """Frames of a camera as they come, with the times at which they came, until it ends.

    Raises FrameError when there is no such camera, or it gives no picture.
    """
    capture = cv2.VideoCapture(int(source) if source.isdecimal() else source)
    read, first = capture.read() if capture.isOpened() else (False, None)
    if not read:
        capture.release()
        raise FrameError(
            f"no camera {source} that gives pictures; cameras are numbered from 0 or named "
            "/dev/video0, and another program may be using it"
        )
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    told = capture.get(cv2.CAP_PROP_FPS)
    fps = Fraction(told).limit_denominator(1001) if 0 < told < 1000 else FOLDER_FPS
    frames = _captured(capture, first)
    return Frames(frames, None, fps, CAMERA_TICK, capture.release, live=True)


def _captured(capture: cv2.VideoCapture, image: np.ndarray) -> Iterator[Frame]:
    began, number, last, read = time.monotonic(), 0, Fraction(-1), True
    while read:
        ticks = int((time.monotonic() - began) / CAMERA_TICK)
        last = max(ticks * CAMERA_TICK, last + CAMERA_TICK) if number else Fraction(0)
        yield Frame(number, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), last)
        read, image = capture.read()
        number += 1


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name
