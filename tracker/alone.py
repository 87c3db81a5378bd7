"""A folder that one process writes at a time."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two writers at once go unnoticed there
    fcntl = None


logger = logging.getLogger(__name__)


class OccupiedError(RuntimeError):
    """Another process writes into the folder."""


@contextlib.contextmanager
def alone_in(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold an existing folder; a process that dies lets go of it.

    When another process has it: raises OccupiedError, or waits for it.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            raise OccupiedError(f"another process writes into {folder}") from error
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Hold an existing folder; when another process has it, say so and wait for it."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(alone_in(folder))
        except OccupiedError as error:
            logger.info("waiting: %s", error)
            stack.enter_context(alone_in(folder, wait=True))
        yield
