"""Where a run's weights come from; never silently from chance."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import torch
from torch import Tensor

from tracker.checkpoints import CheckpointError, fill, read_bundled, read_torch
from tracker.config import ConfigError, VmosConfig
from tracker.training.encoder_start import imagenet_file, start_encoder
from tracker.training.initial import initialise, initialise_encoder
from tracker.training.recipe import Recipe
from tracker.training.run import STATE_KEYS
from tracker.vmos.model import VmosModel
from tracker.vmos.official import from_official

log = logging.getLogger(__name__)

DETAIL = "detail"
"""Stands in the names of all weights of `tracker.vmos.detail`."""


def start_model(
    recipe: Recipe, checkpoint: Path | None = None, encoder_file: Path | None = None
) -> VmosModel:
    """The recipe's network with the weights it starts from; what they are is logged.

    checkpoint: weights, instead of what the recipe says: a bundled file, an official one, or the
    `state.pt` of a run (its averaged weights). Those of a network without the detail parts will do:
    these parts then begin anew. encoder_file: ImageNet weights of the encoder.
    What is random follows from the recipe's seed. Raises ConfigError and CheckpointError.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = VmosModel(recipe.config.vmos)
        if checkpoint is None and recipe.start.checkpoint is not None:
            checkpoint = Path(recipe.start.checkpoint)
        if checkpoint is not None:
            fill(model, _grown(model, read_weights(checkpoint, model)), checkpoint)
            log.info("start: weights from %s", checkpoint)
        else:
            _start_afresh(model, recipe, encoder_file)
    return model


def blank_model(recipe: Recipe) -> VmosModel:
    """The recipe's network for a run that is taken up: its values count for nothing."""
    return VmosModel(recipe.config.vmos)


def read_weights(file: Path, model: VmosModel) -> dict[str, Tensor]:
    """Entries of our network from a bundled file, an official checkpoint or a run's `state.pt`.

    Raises CheckpointError for a file that is none of these, or of another network.
    """
    if file.suffix == ".safetensors":
        state, network, _ = read_bundled(file)
        if network not in (model.config, without_detail(model.config)):
            raise CheckpointError(f"{file} is of another network: {network}, not {model.config}")
        return state
    content = read_torch(file)
    if content.keys() >= STATE_KEYS:
        return dict(content["average"]["values"])
    return from_official(content, str(file))


def without_detail(config: VmosConfig) -> VmosConfig:
    """The same network without the parts of `tracker.vmos.detail`."""
    return dataclasses.replace(config, detail_window=0, detail_channels=0)


def _grown(model: VmosModel, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state with start values for the parts of `tracker.vmos.detail` that it lacks, logged."""
    new = [name for name in model.state_dict() if name not in state and DETAIL in name]
    if not new:
        return state
    initialise(model)
    log.info("start: %s begin anew", ", ".join(new))
    return {**state, **{name: model.state_dict()[name] for name in new}}


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
