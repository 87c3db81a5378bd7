"""prompts.json: which objects start in which frame of a video, and the same from words.

    {"objects": [
      {"mask": "first.png"},
      {"box": [120, 40, 64, 90]},
      {"frame": 30, "points": [[200, 110], [210, 130]], "background": [[20, 20]]},
      {"frame": 45, "polygon": [[10, 10], [60, 12], [40, 70]]}
    ]}

`frame` counts from 0, which is the default. Coordinates are pixels from the top left of the upright
frame, at most a million; a box is left, top, width, height. A mask is an indexed or grey PNG, named
relative to the file: one object per value except 0. An unknown key or a wrong value is an error.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.frames import is_special
from tracker.labels import MaskError
from tracker.media.masks import read_objects
from tracker.prompts import LARGEST, BoxPrompt, PointPrompt, PolygonPrompt, Prompt, PromptError

KINDS = ("mask", "box", "points", "polygon")


@dataclass(frozen=True)
class Start:
    """What starts in a frame: a prompt, or the objects of a mask file; where it was asked for."""

    frame: int
    what: Prompt | Path
    where: str

    def objects(self) -> list[np.ndarray | Prompt]:
        """The objects to give to a tracker. Raises MaskError for a mask that cannot be read."""
        return list(read_objects(self.what)) if isinstance(self.what, Path) else [self.what]


def read_prompts(path: Path) -> list[Start]:
    """The starts in a prompts.json, in the order given.

    Raises PromptError naming the file and the entry; MaskError for a mask that cannot be read.
    """
    if is_special(path):
        raise PromptError(
            f"cannot read prompts {path}: a directory, pipe or device is no prompts file; "
            "write it to a file"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error  # an OSError names the file once more
        raise PromptError(f"cannot read prompts {path}: {why}") from error
    entries = content.get("objects") if isinstance(content, dict) and len(content) == 1 else None
    if not isinstance(entries, list) or not entries:
        raise PromptError(
            f'{path}: a prompts file is {{"objects": [...]}} with one or more entries'
        )
    return [_entry(entry, f"{path}: objects[{n}]", path.parent) for n, entry in enumerate(entries)]


def mask_start(words: str) -> Start:
    """`first.png` or `30=later.png`. Raises MaskError for a mask that cannot be read."""
    frame, name = _split(words)
    return _checked(Start(frame, Path(name), f"--mask {words}"))


def box_start(words: str) -> Start:
    """`x,y,w,h` or `30=x,y,w,h`. Raises PromptError."""
    frame, text = _split(words)
    x, y, width, height = _numbers_in(text, 4, f"--box {words}")
    return Start(frame, _box([x, y, width, height], f"--box {words}"), f"--box {words}")


def point_start(words: str) -> Start:
    """`x,y` or `30=x,y`. Raises PromptError."""
    frame, text = _split(words)
    point = _numbers_in(text, 2, f"--point {words}")
    return Start(frame, PointPrompt((tuple(point),)), f"--point {words}")


def _entry(entry: Any, where: str, folder: Path) -> Start:
    if not isinstance(entry, dict):
        raise PromptError(f"{where} is {entry!r}; an entry is an object with one of {_kinds()}")
    keys = (*KINDS, "frame", "background")
    if unknown := set(entry) - {*keys}:
        raise PromptError(
            f"{where} has an unknown key {sorted(unknown)[0]!r}; the keys are {', '.join(keys)}"
        )
    kinds = [kind for kind in KINDS if kind in entry]
    if len(kinds) != 1:
        raise PromptError(f"{where} has {' and '.join(kinds) or 'none'} of {_kinds()}; give one")
    if "background" in entry and kinds != ["points"]:
        raise PromptError(f"{where}: background goes with points only")
    frame = entry.get("frame", 0)
    if type(frame) is not int or frame < 0:
        raise PromptError(f"{where}: frame is {frame!r}; it is a whole number from 0")
    return _checked(Start(frame, _what(kinds[0], entry, where, folder), where))


def _what(kind: str, entry: dict[str, Any], where: str, folder: Path) -> Prompt | Path:
    value = entry[kind]
    if kind == "mask":
        if not isinstance(value, str):
            raise PromptError(f"{where}: mask is {value!r}; it is the name of a PNG")
        return folder / value
    if kind == "box":
        return _box(value, where)
    points = _points(value, f"{where}: {kind}")
    if kind == "points":
        if not points:
            raise PromptError(f"{where}: points is empty; give at least one")
        return PointPrompt(points, _points(entry.get("background", []), f"{where}: background"))
    if len(points) < 3:
        raise PromptError(f"{where}: a polygon has three corners or more")
    return PolygonPrompt(points)


def _box(value: Any, where: str) -> BoxPrompt:
    if not _is_list(value, 4):
        raise PromptError(f"{where}: a box is [x, y, width, height] in pixels, not {value!r}")
    if value[2] <= 0 or value[3] <= 0:
        raise PromptError(f"{where}: width and height of a box are above 0, not {value!r}")
    return BoxPrompt(*value)


def _points(value: Any, where: str) -> tuple[tuple[float, float], ...]:
    if not isinstance(value, list) or not all(_is_list(point, 2) for point in value):
        raise PromptError(f"{where} is {value!r}; it is a list of [x, y] in pixels")
    return tuple((x, y) for x, y in value)


def _is_list(value: Any, length: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == length
        and all(type(n) in (int, float) and abs(n) <= LARGEST for n in value)
    )


def _checked(start: Start) -> Start:
    try:
        start.objects()
    except MaskError as error:
        raise MaskError(f"{start.where}: {error}") from error
    return start


def _split(words: str) -> tuple[int, str]:
    frame, separator, rest = words.partition("=")
    return (int(frame), rest) if separator and frame.isdecimal() else (0, words)


def _numbers_in(text: str, count: int, where: str) -> Sequence[float]:
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not _is_list(numbers, count):
        form = "x,y,width,height" if count == 4 else "x,y"
        raise PromptError(f"{where}: it takes {form} in pixels, after FRAME= if not in frame 0")
    return numbers


def _kinds() -> str:
    return ", ".join(KINDS)
