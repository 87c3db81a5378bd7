"""Weights on disk and the network in memory: strict in both directions.

Bundled weights are safetensors files that carry the preset's network settings as metadata; a file
of another network is refused with the names that disagree.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tracker.config import ScaleConfig, VmosConfig


class CheckpointError(RuntimeError):
    """A weights file that is missing, damaged, or of another network."""


def save_bundled(
    model: nn.Module, config: VmosConfig, file: Path, notes: Mapping[str, str]
) -> None:
    """Write float16 weights with the network's settings and `notes` as metadata."""
    state = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    metadata = {"network": json.dumps(dataclasses.asdict(config), sort_keys=True), **notes}
    save_file(state, str(file), metadata=metadata)


def read_bundled(file: Path) -> tuple[dict[str, Tensor], VmosConfig, dict[str, str]]:
    """Entries (float32), network settings and notes of a bundled file."""
    try:
        with safe_open(str(file), framework="pt", device="cpu") as stored:
            notes = dict(stored.metadata() or {})
            state = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{file}: no such weights file; a checkout of the repository holds it in weights/"
        ) from error
    except SafetensorError as error:
        raise CheckpointError(
            f"{file}: not a readable safetensors file ({error}); fetch it again"
        ) from error
    if "network" not in notes:
        raise CheckpointError(
            f"{file}: has no network settings; it was not written by this project"
        )
    return state, _vmos_config(json.loads(notes.pop("network"))), notes


def fill(model: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Load every entry; CheckpointError names what is missing, unexpected or of another shape."""
    own = model.state_dict()
    problems = [f"missing {name}" for name in own if name not in state]
    problems += [f"unexpected {name}" for name in state if name not in own]
    problems += [
        f"{name} has shape {tuple(state[name].shape)}, the network has {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if problems:
        shown = "; ".join(problems[:8]) + (" ..." if len(problems) > 8 else "")
        raise CheckpointError(
            f"{origin}: {len(problems)} entries do not fit the network: {shown}; "
            "is it a checkpoint of another model?"
        )
    with torch.no_grad():
        model.load_state_dict(dict(state), strict=True)


def _vmos_config(values: dict[str, Any]) -> VmosConfig:
    scales = tuple(ScaleConfig(**scale) for scale in values.pop("scales"))
    return VmosConfig(scales=scales, **values)
