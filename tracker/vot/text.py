"""Text files of the toolkit and of data sets, which are UTF-8."""

from __future__ import annotations

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
