"""What the toolkit or a tracker would fail on, in the midst of a run: told before it begins."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tracker.frames import PICTURE_ERRORS, stated_size
from tracker.vot.errors import VotError
from tracker.vot.regions import UNKNOWN_LINE, MaskRegion, Region, parse_region

# The toolkit takes paths as patterns: `%` of frame numbers, brackets of glob.
_PATTERN = re.compile(r"%|\[.+\]")
# What nearly all lines of ground truth are; only others are read, which takes longer.
_PLAIN = re.compile("m?[-+.,0-9]+")


def check_path(folder: Path) -> None:
    """VotError when a name on the way to a sequence is a pattern to the toolkit."""
    path = folder.absolute()
    for part in path.parts:
        if _PATTERN.search(part):
            raise VotError(
                f"{path}: the toolkit takes {part!r} for a pattern and finds nothing; rename it "
                "without %, [ and ]"
            )


def check_letters(path: Path) -> None:
    """VotError when TraX cannot carry the path of a frame: it takes ASCII only."""
    place = Path(os.path.normpath(path.absolute()))  # as the toolkit, which resolves no links
    if strange := next((part for part in place.parts if not part.isascii()), None):
        raise VotError(
            f"{place}: TraX, by which the tracker is run, carries no letters outside ASCII, and "
            f"{strange!r} has some; rename it, or move the data elsewhere"
        )


def check_size(folder: Path, frame: Path, size: tuple[int, int]) -> None:
    """VotError when the first frame has another (width, height) than `sequence` says.

    Only the header is read; a frame that is missing or damaged is told where it is read.
    """
    try:
        width, height = stated_size(frame)
    except PICTURE_ERRORS:
        return
    if (width, height) != size:
        raise VotError(
            f"{folder / 'sequence'} says {size[0]} x {size[1]}, {frame.name} is "
            f"{width} x {height}; correct width= and height="
        )


def check_groundtruth(path: Path, lines: Sequence[str], start: int, length: int) -> None:
    """VotError when an object has more lines than there are frames, a line of which the toolkit
    dies, or no mask to start with.

    Fewer lines are allowed: the toolkit takes the rest for unknown, and does not score it.
    """
    if len(lines) > length:
        raise VotError(
            f"{path} has {len(lines)} lines, the sequence {length} frames; take out the lines "
            f"after {length}, or correct length= in {path.parent / 'sequence'}"
        )
    if start == len(lines):
        raise VotError(
            f"{path} never gives its object: none of its {len(lines)} lines is other than "
            f"`{UNKNOWN_LINE}`; remove the file"
        )
    for number, line in enumerate(lines, start=1):
        if not _PLAIN.fullmatch(line):
            _read(path, number, line)
    region = _read(path, start + 1, lines[start])
    if isinstance(region, MaskRegion) and not region.area:
        raise VotError(
            f"{path}, line {start + 1}: {lines[start]} is an empty mask, which starts no object; "
            f"write `{UNKNOWN_LINE}` until it appears"
        )


def _read(path: Path, number: int, line: str) -> Region:
    try:
        return parse_region(line)
    except VotError as error:
        raise VotError(f"{path}, line {number}: {error}") from error


def check_single_names(names: Iterable[tuple[str, str]]) -> None:
    """VotError when two sequences of a single-object experiment have one name.

    names: (name in the results, what it is of). Both would be written to the same place.
    """
    found: dict[str, str] = {}
    for name, origin in names:
        other = found.setdefault(name, origin)
        if other != origin:
            raise VotError(
                f"{other} and {origin} are both {name!r} where every object is run apart, and "
                "their results would be mixed; rename one of the sequences"
            )
