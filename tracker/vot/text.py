"""Text files of the toolkit and of data sets, which are UTF-8."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from tracker.vot.errors import VotError


def read_text(path: Path) -> str:
    """The text of a file; VotError naming it when it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise VotError(
            f"{path} is not UTF-8 (byte {error.start} is {error.object[error.start]:#04x}); "
            "save it as UTF-8, for instance with iconv -f LATIN1 -t UTF-8"
        ) from error
    except OSError as error:
        raise VotError(f"{path} cannot be read: {error.strerror or error}") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a file; VotError as `read_text`."""
    return read_text(path).splitlines()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error of the system in this block names `path` where it names no file: a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a file; OSError names it."""
    with naming(path):
        path.write_text(text, encoding="utf-8")


def write_whole(path: Path, text: str, keep: bool = False) -> None:
    """Write a file whole or not at all; OSError, which names it, leaves the one that was there.

    keep: one that is there stays; of several that are written at once the first does.
    """
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    with naming(path):
        try:
            new.write_text(text, encoding="utf-8")
            if not (keep and _linked(new, path)):
                new.replace(path)
        finally:
            new.unlink(missing_ok=True)


def _linked(new: Path, path: Path) -> bool:
    """Give a file a second name unless there is such a file; False where links do not work."""
    try:
        path.hardlink_to(new)
    except FileExistsError:
        return True
    except OSError:
        return path.exists()
    return True
