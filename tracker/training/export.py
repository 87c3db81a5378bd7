"""From a run to a file of weights that the tracker loads."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from tracker.checkpoints import save_bundled
from tracker.config import VmosConfig
from tracker.training.library import Library
from tracker.training.run import Run
from tracker.weights import record_digest, sha256_of

log = logging.getLogger(__name__)

BUNDLED_LIMIT = 20_000_000
"""Bytes: larger files do not go into the repository."""

SETS_NAMED = 20


def export(run: Run, file: Path, data: str) -> None:
    """Write the averaged weights as float16, with preset, recipe, step and `data` as notes."""
    notes = {
        "preset": run.recipe.preset,
        "recipe": run.recipe.name,
        "step": str(run.step),
        "steps": str(run.recipe.optimiser.steps),
        "data": data,
    }
    write(run.average.weights, run.model.config, file, notes)


def write(
    state: Mapping[str, Tensor], network: VmosConfig, file: Path, notes: Mapping[str, str]
) -> None:
    """Write weights as float16, whole or not at all, with their digest beside them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    save_bundled(state, network, part, notes)
    part.chmod(0o644)
    record_digest(file, sha256_of(part))
    part.replace(file)
    size = file.stat().st_size
    log.info("wrote %s: %.1f MB", file, size / 1e6)
    if size > BUNDLED_LIMIT:
        log.warning("%s is too large for the repository (%.0f MB)", file, BUNDLED_LIMIT / 1e6)


def describe_data(library: Library) -> str:
    """What a library holds, in words, by the sets' names (what stands before the first "_")."""
    parts = []
    for kind, items in (("stills", library.stills), ("videos", library.videos)):
        if items:
            names = sorted({item.name.split("_")[0] for item in items})
            more = ", ..." if len(names) > SETS_NAMED else ""
            parts.append(f"{len(items)} {kind} ({', '.join(names[:SETS_NAMED])}{more})")
    for kind, others in (("sprites", library.sprites), ("backgrounds", library.backgrounds)):
        if others:
            parts.append(f"{len(others)} {kind}")
    return "; ".join(parts)
