"""A video as the page keeps it: every frame a picture on disk, to be shown in any order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from tracker.frames import read_image
from tracker.media.video import open_frames
from tracker.web.limits import Limits

JPEG_QUALITY = 95
"""Of the kept frames, 0 to 100: what is lost is far below what the tracker sees."""


@dataclass(frozen=True)
class Clip:
    """The frames of a video, 0, 1, ..., as pictures in `folder`.

    width, height: pixels. times: seconds of every frame from the first. fps: frames per second on
    average; time_base: seconds that times are multiples of.
    """

    folder: Path
    width: int
    height: int
    fps: Fraction
    time_base: Fraction
    times: tuple[Fraction, ...]

    @property
    def count(self) -> int:
        """How many frames there are."""
        return len(self.times)

    def path(self, frame: int) -> Path:
        """The picture of a frame. Raises IndexError where there is no such frame."""
        if not 0 <= frame < self.count:
            raise IndexError(f"no frame {frame}; there are {self.count}, numbered from 0")
        return _path(self.folder, frame)

    def image(self, frame: int) -> np.ndarray:
        """A frame [H, W, 3] uint8 RGB."""
        return read_image(self.path(frame))


def read_clip(
    source: Path, folder: Path, limits: Limits, told: Callable[[int, int | None], None]
) -> Clip:
    """Copy the frames of a video file or a folder of pictures into `folder`.

    told(done, count) is called after every frame (count None: not known) and may raise to stop.
    Frames of other sizes than the first are scaled to it. Raises FrameError for what cannot be
    read, LimitError for what is too large.
    """
    times: list[Fraction] = []
    size: tuple[int, int] | None = None
    with open_frames(source) as frames:
        limits.check_frames(frames.count or 0)
        for frame in frames:
            limits.check_frames(frame.number + 1)
            image = frame.image
            if size is None:
                limits.check_size(*image.shape[:2])
                size = image.shape[1], image.shape[0]
            elif (image.shape[1], image.shape[0]) != size:
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            _write(_path(folder, frame.number), image)
            times.append(frame.time)
            told(len(times), frames.count)
        return Clip(folder, *size, frames.fps, frames.time_base, tuple(times))


def jpeg(image: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """A picture [H, W, 3] uint8 RGB as JPEG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return data.tobytes()


def _write(path: Path, image: np.ndarray) -> None:
    path.write_bytes(jpeg(image))


def _path(folder: Path, frame: int) -> Path:
    return folder / f"frame-{frame:08d}.jpg"
