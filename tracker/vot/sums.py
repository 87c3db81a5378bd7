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
    return sorted(path for path in folder.rglob("*") if path.suffix in _TRAJECTORIES)


def of(folder: Path) -> str:
    """The note of the trajectories that are there."""
    return "".join(f"{line}\n" for line in _lines(folder).values())


def put(folder: Path, note: str) -> None:
    """Write the note; an empty one is no file."""
    if note:
        write_whole(folder / NAME, note)


def take(folder: Path) -> str:
    """The note, which is removed; "" when there is none."""
    path = folder / NAME
    note = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    path.unlink(missing_ok=True)
    return note


def others(folder: Path) -> list[str]:
    """The trajectories that the note does not hold as they are; none without a note."""
    path = folder / NAME
    if not path.is_file():
        return []
    noted = set(path.read_text(encoding="utf-8", errors="replace").splitlines())
    return [name for name, line in _lines(folder).items() if line not in noted]


def _lines(folder: Path) -> dict[str, str]:
    names = {str(path.relative_to(folder)): path for path in trajectories(folder)}
    return {
        name: f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}"
        for name, path in names.items()
    }
