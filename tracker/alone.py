"""A folder that one process writes at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two writers at once go unnoticed there
    fcntl = None


class OccupiedError(RuntimeError):
    """Another process writes into the folder."""


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold an existing folder; a process that dies lets go of it. Raises OccupiedError."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OccupiedError(f"another process writes into {folder}") from error
        yield
    finally:
        os.close(handle)
