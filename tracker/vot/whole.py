"""A folder that is there whole or not at all, and made by one process."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tracker.alone import OccupiedError, alone_in
from tracker.vot.errors import VotError


@contextlib.contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, which takes its place at the end and goes on an error.

    `folder` must not exist, or be empty. VotError when it holds something, at the start or at the
    end, when another process is making it, and for the present folder, which would be taken away.
    """
    if not folder.name:
        raise VotError(f"{folder} has no name of its own; name a new folder for the data set")
    folder = folder.resolve()
    part = folder.with_name(folder.name + ".part")
    _check_free(folder)
    part.mkdir(parents=True, exist_ok=True)
    try:
        with alone_in(part):
            try:
                _check_free(folder)  # the other process may have ended in between
                _clear(part)
                yield part
                _check_free(folder)
                if folder.exists():
                    folder.rmdir()
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except OccupiedError as error:
        raise VotError(f"another process is making {folder}; wait for it to end") from error


def _check_free(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise VotError(f"{folder} is a file, not a folder; name another place")
    if folder.exists() and any(folder.iterdir()):
        raise VotError(f"{folder} is not empty; name another folder or remove it")


def _clear(folder: Path) -> None:
    """Remove what a killed process has left in it."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
