"""SHA-256 of the trajectories that a recorded run left: what was made since by others shows.

The file is that of `sha256sum`, which checks it as well.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tracker.vot.text import write_whole

NAME = "results.sha256"
_TRAJECTORIES = (".bin", ".txt")


def trajectories(folder: Path) -> list[Path]:
    """The files of a tracker's results that hold trajectories, in order."""
    paths = (path for path in folder.rglob("*") if path.suffix in _TRAJECTORIES)
    return sorted(path for path in paths if path.is_file())


def of(folder: Path) -> str:
    """The note of the trajectories that are there."""
    return "".join(f"{line}\n" for line in _lines(folder).values())


def put(folder: Path, note: str) -> None:
    """Write the note; an empty one is no file. OSError, which names it, when that fails."""
    if note:
        write_whole(folder / NAME, note)


def take(folder: Path) -> str:
    """The note, which is removed; "" when there is none."""
    note = _noted(folder)
    (folder / NAME).unlink(missing_ok=True)
    return note


def others(folder: Path) -> list[str]:
    """Names of the trajectories that the note does not hold as they are; none without a note."""
    noted = set(_noted(folder).splitlines())
    return [name for name, line in _lines(folder).items() if line not in noted] if noted else []


def _noted(folder: Path) -> str:
    path = folder / NAME
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _lines(folder: Path) -> dict[str, str]:
    """What `sha256sum` writes of every trajectory, by name."""
    lines = {}
    for path in trajectories(folder):
        name = path.relative_to(folder).as_posix()
        lines[name] = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}"
    return lines
