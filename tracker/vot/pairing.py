"""Which mask belongs to which frame: their names say it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tracker.vot.errors import VotError


def pair_masks(frames: Sequence[Path], masks: Sequence[Path]) -> list[Path | None]:
    """The mask of every frame, None for a frame without one.

    A mask has the name of its frame, but for the suffix; where that is not so for all masks, the
    number of its frame, which is the last one in the name. Masks may be left over when every frame
    has its own. VotError naming files of both kinds where the names do not tell: nothing in common,
    two of one number, or masks and frames left over, as when one is counted from 0, the other from
    1.
    """
    table = {path.stem: path for path in masks}
    keys = [frame.stem for frame in frames]
    if not table.keys() <= set(keys):
        table, keys = _by_number(masks, "masks"), list(_by_number(frames, "frames"))
    bare = [frame for frame, key in zip(frames, keys, strict=True) if key not in table]
    left = [path for key, path in table.items() if key not in set(keys)]
    if len(left) == len(masks):
        names = f"{frames[0].name} and {masks[0].name}"
        raise VotError(f"no mask in {masks[0].parent} belongs to a frame: names such as {names}")
    if left and bare:
        raise VotError(
            f"mask {left[0]} belongs to no frame and frame {bare[0]} has no mask: frames are "
            f"{frames[0].name} to {frames[-1].name}, masks {masks[0].name} to {masks[-1].name}; "
            "give every mask the name or the number of its frame"
        )
    return [table.get(key) for key in keys]


def _by_number(paths: Sequence[Path], what: str) -> dict[str | int, Path]:
    table: dict[str | int, Path] = {}
    for path in paths:
        numbers = re.findall("[0-9]+", path.stem)
        key = int(numbers[-1]) if numbers else path.stem
        if key in table:
            raise VotError(f"two {what} of number {key}: {table[key]} and {path}")
        table[key] = path
    return table
