"""Frames of a numbered sequence, the next one read while the present one is being tracked."""

from __future__ import annotations

import re
import stat
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.frames import read_image

_LAST_NUMBER = re.compile(r"(\d+)(\D*)$")


@dataclass(frozen=True)
class _Ahead:
    """A file that is being read, and what it was when that began: (size, time of change)."""

    path: Path
    version: tuple[int, int]
    image: Future[np.ndarray]


class FramesAhead:
    """`read_image` for frames that come one by one, in order, by their paths.

    Every call also starts to read the file whose name has the next number, if it is there. Nothing
    else shows: a guess that was wrong, that failed, or whose file has changed since is dropped.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="frame-ahead")
        self._ahead: _Ahead | None = None

    def read(self, path: str | Path) -> np.ndarray:
        """The frame in a file, [H, W, 3] uint8 RGB. Raises FrameError, as `read_image` does."""
        path = Path(path)
        image = self._taken(path)
        if image is None:
            image = read_image(path)
        self._begin(successor(path))
        return image

    def close(self) -> None:
        """Wait for what is being read, and forget it."""
        self._thread.shutdown(cancel_futures=True)
        self._ahead = None

    def _begin(self, path: Path | None) -> None:
        self._ahead = None
        if path is not None and (version := _version(path)) is not None:
            self._ahead = _Ahead(path, version, self._thread.submit(read_image, path))

    def _taken(self, path: Path) -> np.ndarray | None:
        """The frame if it was read ahead and is the file's present content, else None."""
        ahead = self._ahead
        if ahead is None or ahead.path != path or ahead.image.exception() is not None:
            return None
        return ahead.image.result() if _version(path) == ahead.version else None


def successor(path: Path) -> Path | None:
    """The file whose name has the next number, written with as many digits; None without one."""
    found = _LAST_NUMBER.search(path.stem)
    if found is None:
        return None
    digits, rest = found.groups()
    name = f"{path.stem[: found.start()]}{int(digits) + 1:0{len(digits)}d}{rest}{path.suffix}"
    return path.with_name(name)


def _version(path: Path) -> tuple[int, int] | None:
    """(size, time of change) of a regular file; None for what is none: reading it may never end."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None
