"""Where a run's weights come from; never silently from chance."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from tracker.checkpoints import CheckpointError, fill, read_bundled, read_torch
from tracker.config import ConfigError, preset
from tracker.training.encoder_start import imagenet_file, start_encoder
from tracker.training.initial import initialise, initialise_encoder
from tracker.training.recipe import Recipe
from tracker.training.run import STATE_KEYS
from tracker.vmos.model import VmosModel
from tracker.vmos.official import from_official

log = logging.getLogger(__name__)


def start_model(
    recipe: Recipe, checkpoint: Path | None = None, encoder_file: Path | None = None
) -> VmosModel:
    """The recipe's network with the weights it starts from; what they are is logged.

    checkpoint: all weights, instead of what the recipe says: a bundled file, an official one, or
    the `state.pt` of a run (its averaged weights). encoder_file: ImageNet weights of the encoder.
    What is random follows from the recipe's seed. Raises ConfigError and CheckpointError.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = VmosModel(preset(recipe.preset).vmos)
        if checkpoint is None and recipe.start.checkpoint is not None:
            checkpoint = Path(recipe.start.checkpoint)
        if checkpoint is not None:
            fill(model, read_weights(checkpoint, model), checkpoint)
            log.info("start: all weights from %s", checkpoint)
        else:
            _start_afresh(model, recipe, encoder_file)
    return model


def blank_model(recipe: Recipe) -> VmosModel:
    """The recipe's network for a run that is taken up: its values count for nothing."""
    return VmosModel(preset(recipe.preset).vmos)


def read_weights(file: Path, model: VmosModel) -> dict[str, Tensor]:
    """Entries of our network from a bundled file, an official checkpoint or a run's `state.pt`.

    Raises CheckpointError for a file that is none of these, or of another network.
    """
    if file.suffix == ".safetensors":
        state, network, _ = read_bundled(file)
        if network != model.config:
            raise CheckpointError(f"{file} is of another network: {network}, not {model.config}")
        return state
    content = read_torch(file)
    if content.keys() >= STATE_KEYS:
        return dict(content["average"]["values"])
    return from_official(content, str(file))


def _start_afresh(model: VmosModel, recipe: Recipe, encoder_file: Path | None) -> None:
    origin = recipe.start.encoder
    if origin == "given":
        raise ConfigError(
            f"the recipe {recipe.name} starts from given weights: name them with --start FILE"
        )
    if origin == "none" and encoder_file is not None:
        raise ConfigError(f'the recipe {recipe.name} says encoder = "none", not {encoder_file}')
    initialise(model)
    if origin == "none":
        initialise_encoder(model.encoder)
        log.warning('start: RANDOM weights everywhere, as the recipe says (encoder = "none")')
        return
    file = encoder_file or imagenet_file(model.encoder)
    start_encoder(model.encoder, file)
    log.info("start: encoder from %s, the rest at random (seed %d)", file.name, recipe.seed)
