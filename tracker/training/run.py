"""A training run: the network, its average, the optimiser, and the folder that keeps them."""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tracker.checkpoints import CheckpointError, read_torch
from tracker.training.optimise import Average, build_optimiser
from tracker.training.parallel import Team
from tracker.training.recipe import Recipe
from tracker.vmos.model import VmosModel

log = logging.getLogger(__name__)

STATE = "state.pt"
RECIPE = "recipe.json"
STATE_KEYS = frozenset({"model", "average", "optimiser", "step"})


@dataclass
class Run:
    """A training run in memory: what `state.pt` holds, and where it is.

    `step` counts the optimiser steps that are done.
    """

    recipe: Recipe
    folder: Path
    model: VmosModel
    average: Average
    optimiser: torch.optim.Optimizer
    device: torch.device
    step: int = 0
    team: Team = field(default_factory=Team)

    def save(self) -> None:
        """Write the state, if this process leads; the file is complete or absent."""
        if not self.team.leads:
            return
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }
        part = self.folder / f"{STATE}.part"
        torch.save(state, part)
        part.replace(self.folder / STATE)

    def resume(self) -> bool:
        """Take up the folder's state, if there is one. CheckpointError if it is not of this run."""
        file = self.folder / STATE
        if not file.is_file():
            return False
        try:
            state = read_torch(file)
        except CheckpointError as error:
            raise CheckpointError(
                f"{file} is damaged; train into another folder, or remove it to begin anew"
            ) from error
        try:
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.average.load_state_dict(state["average"])
            self.step = state["step"]
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{file} is of another network or recipe ({error}); train into another folder"
            ) from error
        return True

    def averaged(self) -> VmosModel:
        """A new network with the averaged weights, in evaluation mode, on the run's device."""
        model = VmosModel(self.model.config)
        model.load_state_dict(self.average.weights)
        return model.requires_grad_(False).eval().to(self.device)


def open_run(
    recipe: Recipe, folder: Path, model: VmosModel, device: torch.device, team: Team | None = None
) -> Run:
    """A run on a model whose weights have been started; taken up where the folder left off.

    Raises CheckpointError if the folder holds a run of another network.
    """
    team = team or Team()
    folder.mkdir(parents=True, exist_ok=True)
    model.to(device, memory_format=torch.channels_last).train().requires_grad_(True)
    _freeze(model, recipe.start.frozen_stages)
    team.copy_from_leader(model)
    optimiser = build_optimiser(model, recipe.optimiser)
    average = Average(model, recipe.optimiser.ema)
    run = Run(recipe, folder, model, average, optimiser, device, team=team)
    if run.resume():
        log.info("taken up at step %d", run.step)
    if team.leads:
        _keep_recipe(recipe, folder / RECIPE)
    return run


def has_state(folder: Path) -> bool:
    """Whether a run can be taken up there."""
    return (folder / STATE).is_file()


def _freeze(model: VmosModel, stages: int) -> None:
    if stages:
        model.encoder.stem.requires_grad_(False)
        model.encoder.stages[:stages].requires_grad_(False)


def _keep_recipe(recipe: Recipe, file: Path) -> None:
    """Write all settings beside the state; say which ones changed since the run was begun."""
    settings = json.loads(json.dumps(dataclasses.asdict(recipe)))
    if file.is_file():
        before, now = _flat(json.loads(file.read_text())), _flat(settings)
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                log.warning("%s was %s, is now %s", key, before.get(key), now.get(key))
    file.write_text(json.dumps(settings, indent=1) + "\n")


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            flat[key] = value
    return flat
