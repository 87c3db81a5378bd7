"""Checked types of the command line's arguments, for argparse: read alike by every command."""

from __future__ import annotations

import math
import os
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of whole numbers from `least` to `most`, or without end."""
    span = f"from {least}" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        number = int(text) if text.isdecimal() else -1
        if number < least or (most is not None and number > most):
            raise ArgumentTypeError(f"{text!r} is no whole number {span}")
        return number

    return read


def above_zero(text: str) -> float:
    """The type of finite numbers above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def named(text: str) -> str:
    """The type of names. The text of a variable that is not set is empty, and is none."""
    if not text:
        raise ArgumentTypeError("the name is empty; the present folder is written as .")
    return text


def some_path(text: str) -> Path:
    """The type of paths."""
    return Path(named(text))


def output_file(text: str) -> Path:
    """The type of a file to be written at the end; its folder need not be there yet."""
    path = some_path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"{text} is a folder; name a file in it")
    _check_writable(text, path if path.exists() else _nearest_folder(path.absolute().parent))
    return path


def output_folder(text: str) -> Path:
    """The type of a folder to be written into; it need not be there yet."""
    path = some_path(text)
    _check_writable(text, _nearest_folder(path.absolute()))
    return path


def _nearest_folder(folder: Path) -> Path:
    """The folder, or the one above it that is there; ArgumentTypeError where a file is in place."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not place.is_dir():
        raise ArgumentTypeError(f"{place} is a file, not a folder; name another place")
    return place


def _check_writable(text: str, place: Path) -> None:
    if not os.access(place, os.W_OK):
        raise ArgumentTypeError(f"{text} cannot be written (no permission); name another place")
