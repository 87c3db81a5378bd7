"""COCO's compressed run-length encoding of masks, as pycocotools reads and writes it."""

from __future__ import annotations

import numpy as np

CHARACTER_BITS = 5
FIRST_CHARACTER = 48
MOST_CHARACTERS = 7
"""Five bits each: enough for runs of 32 bits."""


def encode_rle(mask: np.ndarray) -> dict[str, list[int] | str]:
    """A mask [H, W] bool as {"size": [H, W], "counts": text}.

    Runs go down the columns, zeros first. From the fourth on, each is stored as the difference to
    the run two before; in groups of five bits, lowest first, a sixth bit for "more follows".
    """
    values = _runs(mask)
    values[3:] -= values[1:-2].copy()
    shifts = CHARACTER_BITS * np.arange(MOST_CHARACTERS + 1)
    rest = values[:, None] >> shifts
    groups = rest[:, :-1] & 0x1F
    sign_bit = (groups & 0x10) != 0
    more = np.where(sign_bit, rest[:, 1:] != -1, rest[:, 1:] != 0)
    used = np.cumprod(np.pad(more[:, :-1], ((0, 0), (1, 0)), constant_values=True), axis=1) > 0
    characters = (groups | more << CHARACTER_BITS) + FIRST_CHARACTER
    counts = characters[used].astype(np.uint8).tobytes().decode("ascii")
    return {"size": list(mask.shape), "counts": counts}


def _runs(mask: np.ndarray) -> np.ndarray:
    """Lengths [R] int64 of the runs of equal values down the columns, the first being zeros."""
    flat = np.asarray(mask, dtype=bool).ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    ends = np.concatenate([[0] if flat[0] else [], changes, [len(flat)]]).astype(np.int64)
    return np.diff(ends, prepend=0)
