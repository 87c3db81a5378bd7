"""What one measurement is asked to do. Imports no torch: a server that needs none starts fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker.bench.clip import Clip


@dataclass(frozen=True)
class Job:
    """What to measure. `path` is "ours" or "reference".

    frames: at most so many, and none after `seconds` (None: no limit; three at least).
    staged: so many frames with stages timed, none after half of `seconds`.
    settings: of the preset, refiner__model among them.
    yardstick: time a fixed piece of work after every frame.
    full_memory: the first frames all go to the long-term memory, so that it is full when the
    measuring begins.
    answers: folder that gets the labels of the first `kept` frames measured, None: not kept.
    """

    preset: str
    path: str
    objects: int
    clip: Clip
    weights: Path
    device: str
    frames: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    staged: int = 0
    count_operations: bool = False
    yardstick: bool = False
    full_memory: bool = True
    threads: int | None = None
    answers: Path | None = None
    kept: int = 0
