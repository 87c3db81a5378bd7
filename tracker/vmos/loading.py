"""The segmenter of a preset, with weights from a folder."""

from __future__ import annotations

from pathlib import Path

import torch

from tracker.checkout import WEIGHTS
from tracker.checkpoints import CheckpointError, fill, read_bundled, read_torch
from tracker.config import TrackerConfig
from tracker.vmos.model import VmosModel
from tracker.vmos.official import from_official

OFFICIAL_VMOS = "save_step_42000.pth"
"""The file of the official HQTrack segmenter."""

"""Where the repository keeps the bundled weights."""


def load_vmos(
    config: TrackerConfig, folder: Path, network: type[VmosModel] = VmosModel
) -> VmosModel:
    """The network in evaluation mode, on the CPU, in float32.

    `hqtrack` reads the official checkpoint in `folder`; any other preset the bundled file of its
    name, in `folder` or else in the checkout. CheckpointError names file and entry.
    """
    model = network(config.vmos)
    if config.name == "hqtrack":
        file = folder / OFFICIAL_VMOS
        state = from_official(read_torch(file), str(file))
    else:
        file = bundled_file(config.name, folder)
        state, trained, _ = read_bundled(file)
        if trained != config.vmos:
            raise CheckpointError(
                f"{file} is of another network than the settings ask for: {trained}, not "
                f"{config.vmos}; leave the vmos settings as they are, or train weights for them"
            )
    fill(model, state, file)
    return model.to(memory_format=torch.channels_last)


def bundled_file(name: str, folder: Path) -> Path:
    """The bundled weights of preset `name`: those of the folder, else those of the checkout."""
    own = folder / f"{name}.safetensors"
    return own if own.is_file() else WEIGHTS / own.name
