"""Weights on disk and the network in memory: strict in both directions.

Bundled weights are safetensors files that carry their network's settings as metadata. Files made
by torch are read with `weights_only=True`: they can hold tensors, never code.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tracker.checkout import WEIGHTS
from tracker.config import ScaleConfig, VmosConfig
from tracker.weights import RECORD_SUFFIX, fetch_command, recorded_digest, sha256_of

NAMES_SHOWN = 5
"""Entries of each kind that an error lists."""


class CheckpointError(RuntimeError):
    """A weights file that is missing, damaged, or of another network."""


def read_torch(file: Path) -> Mapping[str, Any]:
    """The table in a file written by `torch.save`. CheckpointError when there is none to read."""
    if not file.is_file():
        command = fetch_command(file)
        remedy = f"fetch them with `{command}`" if command else "check the path"
        raise CheckpointError(f"no weights at {file}; {remedy}")
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if isinstance(error, pickle.UnpicklingError):
            reason = "it is no plain table of tensors; nothing of it was run"
        raise CheckpointError(
            f"{file} is damaged or no checkpoint ({reason}); {_remedy(file)}"
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{file} holds no table of named tensors; {_remedy(file)}")
    return content


def fill(network: nn.Module, state: Mapping[str, Tensor], origin: str | Path) -> None:
    """Give the network these entries, as float32, and set evaluation mode without gradients.

    CheckpointError names `origin` and the entries that are missing, unexpected or mis-shaped.
    """
    strays = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if strays:
        raise CheckpointError(f"{origin}: {strays[0]} is no tensor; {_remedy(origin)}")
    own = network.state_dict()
    shapes = [
        f"{key} is {list(state[key].shape)} instead of {list(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    faults = {
        "missing": [key for key in own if key not in state],
        "unexpected": [key for key in state if key not in own],
        "of another shape": shapes,
    }
    if any(faults.values()):
        found = "; ".join(
            f"{len(keys)} {kind}: {', '.join(keys[:NAMES_SHOWN])}"
            + (", ..." if len(keys) > NAMES_SHOWN else "")
            for kind, keys in faults.items()
            if keys
        )
        raise CheckpointError(
            f"{origin} holds the weights of another model ({found}); {_remedy(origin)}"
        )
    full = {k: v.to(torch.float32) if v.is_floating_point() else v for k, v in state.items()}
    network.load_state_dict(full, strict=True, assign=True)
    # ViT-tiny copies its attention biases when evaluation mode is set: it must be set again.
    network.requires_grad_(False).eval()


def save_bundled(
    state: Mapping[str, Tensor], config: VmosConfig, file: Path, notes: Mapping[str, str]
) -> None:
    """Write float16 entries with the network's settings and `notes` as metadata."""
    half = {name: value.detach().cpu().half().contiguous() for name, value in state.items()}
    metadata = {"network": json.dumps(dataclasses.asdict(config), sort_keys=True), **notes}
    save_file(half, str(file), metadata=metadata)


def read_bundled(file: Path) -> tuple[dict[str, Tensor], VmosConfig, dict[str, str]]:
    """Entries (float16), network settings and notes of a bundled file.

    CheckpointError when it is missing, damaged, or not the one whose digest is recorded beside it.
    """
    if not file.is_file():
        raise CheckpointError(f"no weights at {file}; {_bundled_remedy(file, 'check the path')}")
    recorded = recorded_digest(file)
    if recorded and recorded != (found := sha256_of(file)):
        raise CheckpointError(
            f"{file} is damaged: its sha256 is {found[:16]}..., {recorded[:16]}... is recorded in "
            f"{file.name}{RECORD_SUFFIX}; {_bundled_remedy(file, 'name another file')}"
        )
    try:
        with safe_open(str(file), framework="pt", device="cpu") as stored:
            notes = dict(stored.metadata() or {})
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        network = _vmos_config(json.loads(notes.pop("network")))
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{file} is damaged or not written by this project ({error}); "
            f"{_bundled_remedy(file, 'name another file')}"
        ) from error
    return state, network, notes


def _remedy(origin: str | Path) -> str:
    command = fetch_command(Path(origin))
    return f"remove it and fetch it again with `{command}`" if command else "name another file"


def _bundled_remedy(file: Path, other: str) -> str:
    """A file of a name that the repository holds comes from there; for any other one: `other`."""
    held = (WEIGHTS / file.name).is_file() or file.resolve().parent == WEIGHTS
    return "restore it from the repository" if held else other


def _vmos_config(values: dict[str, Any]) -> VmosConfig:
    scales = tuple(ScaleConfig(**scale) for scale in values.pop("scales"))
    return VmosConfig(scales=scales, **values)
