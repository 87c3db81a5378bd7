"""The recorded outputs of the reference implementation, `tests/parity/`, and its weights."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

PARITY = Path(__file__).parent / "parity"


@cache
def recording(name: str) -> dict[str, np.ndarray]:
    """All arrays of the recording `name`."""
    with np.load(PARITY / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@cache
def checkpoint_entries() -> list[dict[str, Any]]:
    """The 957 entries of the public checkpoint, in order: name, shape, dtype, kind, used."""
    return json.loads((PARITY / "vmos_keys.json").read_text())["entries"]
