"""Reading the trajectories of the toolkit, `.bin` and `.txt`, with every byte accounted for.

The toolkit itself takes any file of the right name for a finished result, also an empty or a
truncated one. The binary layout (little endian, no padding): int16 version 1, uint32 length, then
per frame uint8 kind and its payload, see `_KINDS`.
"""

from __future__ import annotations

import struct
from pathlib import Path

from tracker.vot.errors import VotError
from tracker.vot.regions import Region, Special, checked_mask, checked_shape, parse_region
from tracker.vot.text import read_lines

_VERSION = 1


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def take(self, layout: str) -> tuple:
        size = struct.calcsize("<" + layout)
        if self.offset + size > len(self.data):
            raise VotError(f"truncated after {len(self.data)} bytes")
        values = struct.unpack_from("<" + layout, self.data, self.offset)
        self.offset += size
        return values


def _special(reader: _Reader) -> Region:
    return Special(*reader.take("I"))


def _rectangle(reader: _Reader) -> Region:
    return checked_shape("rectangle", reader.take("4f"))


def _polygon(reader: _Reader) -> Region:
    (corners,) = reader.take("H")
    return checked_shape("polygon", reader.take(f"{2 * corners}f"))


def _mask(reader: _Reader) -> Region:
    x, y, width, height, count = reader.take("hhHHH")
    return checked_mask(x, y, width, height, reader.take(f"{count}H"))


def _point(reader: _Reader) -> Region:
    return checked_shape("point", reader.take("2f"))


_KINDS = {0: _special, 1: _rectangle, 2: _polygon, 3: _mask, 4: _point}


def parse_binary(data: bytes, most: int | None = None) -> list[Region]:
    """The regions of a binary trajectory, one a frame; raises VotError where it is damaged.

    most: only so many frames are read, and what follows them is not looked at.
    """
    reader = _Reader(data)
    version, length = reader.take("hI")
    if version != _VERSION:
        raise VotError(f"version {version} of the format, {_VERSION} is known")
    regions = []
    for frame in range(length if most is None else min(length, most)):
        try:
            (kind,) = reader.take("B")
            if kind not in _KINDS:
                raise VotError(f"unknown kind of region {kind}")
            regions.append(_KINDS[kind](reader))
        except VotError as error:
            raise VotError(f"frame {frame + 1} of {length}: {error}") from error
    if most is None and reader.offset != len(data):
        raise VotError(f"{len(data) - reader.offset} bytes after the last of {length} frames")
    return regions


def read_trajectory(path: Path, most: int | None = None) -> list[Region]:
    """The regions of a `.bin` or `.txt` file, one a frame; VotError names the file and why.

    most: only so many frames from the beginning.
    """
    try:
        if path.suffix == ".bin":
            return parse_binary(path.read_bytes(), most)
    except (VotError, OSError) as error:
        raise VotError(f"{path}: {error}") from error
    return parse_regions(path, most)


def parse_regions(path: Path, most: int | None = None) -> list[Region]:
    """The regions of a text file, one a line, the first `most`; VotError names file and line."""
    regions = []
    for number, line in enumerate(read_lines(path)[:most], start=1):
        try:
            regions.append(parse_region(line))
        except VotError as error:
            raise VotError(f"{path}, line {number}: {error}") from error
    return regions


def read_values(path: Path) -> list[str]:
    """The lines of a `.value` file, one a frame, stripped; an empty one means no value.

    VotError when it cannot be read.
    """
    return [line.strip() for line in read_lines(path)]
