"""The training loop: deterministic by seed, resumable at any step, on CPU, one GPU or several.

A run lives in a folder: `state.pt` (weights, EMA, optimiser, step), `log.jsonl` (one line per
`LOG_EVERY` steps), TensorBoard events, and what `export` writes.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from tracker.config import preset
from tracker.preprocess import normalise
from tracker.training.clips import ClipDataset, collate, worker_init
from tracker.training.losses import hard_share, segmentation_loss
from tracker.training.optimise import Average, build_optimiser, learning_rate
from tracker.training.precision import slow_parts_in_float32
from tracker.training.recipe import Recipe, RolloutConfig
from tracker.training.rollout import ClipBatch, RolloutPlan, rollout
from tracker.vmos.model import VmosModel

log = logging.getLogger(__name__)

LOG_EVERY = 20
STATE = "state.pt"


@dataclass
class Run:
    """A training run in memory: what `state.pt` holds, and where it is."""

    recipe: Recipe
    folder: Path
    model: VmosModel
    average: Average
    optimiser: torch.optim.Optimizer
    device: torch.device
    step: int = 0

    def save(self) -> None:
        """Write the state; the file is complete or absent."""
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
        """Take up the folder's state, if there is one."""
        file = self.folder / STATE
        if not file.is_file():
            return False
        state = torch.load(file, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]
        return True


def open_run(recipe: Recipe, folder: Path, model: VmosModel, device: torch.device) -> Run:
    """A run on a model whose weights have been started; taken up where the folder left off."""
    folder.mkdir(parents=True, exist_ok=True)
    model.to(device, memory_format=torch.channels_last).train()
    _freeze(model, recipe.start.frozen_stages)
    if device.type == "cpu":
        slow_parts_in_float32(model)
    optimiser = build_optimiser(model, recipe.optimiser)
    run = Run(recipe, folder, model, Average(model, recipe.optimiser.ema), optimiser, device)
    if run.resume():
        log.info("taken up at step %d", run.step)
    return run


def batches(recipe: Recipe, dataset: ClipDataset, first_step: int, workers: int) -> Iterator:
    """The batches of the steps from `first_step` on: the same ones whatever came before."""
    size = recipe.optimiser.batch
    numbers = range(first_step * size, recipe.optimiser.steps * size)
    return iter(
        DataLoader(
            Subset(dataset, numbers),
            batch_size=size,
            num_workers=workers,
            collate_fn=collate,
            worker_init_fn=worker_init,
            prefetch_factor=4 if workers else None,
        )
    )


def train(
    run: Run, dataset: ClipDataset, *, workers: int = 1, minutes: float | None = None
) -> None:
    """Train to the recipe's last step, or for `minutes`; the state is saved at the end."""
    config = run.recipe.optimiser
    started, losses = time.monotonic(), []
    try:
        for frames, labels, counts in batches(run.recipe, dataset, run.step, workers):
            clip, plan = _prepare(run, frames, labels, counts)
            losses.append(train_step(run, clip, plan))
            run.step += 1
            if run.step % LOG_EVERY == 0:
                spent = (time.monotonic() - started) / LOG_EVERY
                _log(run, losses, spent)
                started, losses = time.monotonic(), []
            if run.step % 200 == 0:
                run.save()
            if minutes is not None and _over(minutes):
                break
    finally:
        run.save()
    log.info("stopped at step %d of %d", run.step, config.steps)


def train_step(run: Run, clip: ClipBatch, plan: RolloutPlan) -> float:
    """One optimiser step; returns the loss."""
    config, rollout_config = run.recipe.optimiser, run.recipe.rollout
    share = hard_share(run.step, int(config.steps * rollout_config.hard_until))

    def loss(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        return segmentation_loss(logits, labels, counts, share).total

    rate = learning_rate(run.step, config)
    for group in run.optimiser.param_groups:
        group["lr"] = rate * group["share"]
    with torch.autocast(run.device.type, torch.bfloat16):
        total, _ = rollout(run.model, clip, plan, loss)
    run.optimiser.zero_grad(set_to_none=True)
    total.backward()
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.clip_norm)
    if torch.isfinite(norm):
        run.optimiser.step()
        run.average.update(run.model)
    else:
        log.warning("step %d: gradient is not finite; skipped", run.step)
    return float(total.detach())


def draw_plan(rng: np.random.Generator, config: RolloutConfig, progress: float, length: int):
    """How this step's rollout remembers; `progress` of the run is 0 to 1."""
    ramp = (progress - config.own_from) / max(1e-9, 1 - config.own_from)
    own = rng.random() < config.own_at_most * float(np.clip(2 * ramp, 0, 1))
    middle = [t for t in range(1, length - 1) if rng.random() < 0.3]
    return RolloutPlan(bool(own), int(rng.choice(config.lags)), frozenset(middle))


def draw_identities(rng: np.random.Generator, batch: int, identities: int, in_order: float):
    """[B, identities] int64: identities of the clip's objects, 0 in front."""
    rows = []
    for _ in range(batch):
        objects = np.arange(1, identities)
        rows.append([0, *(objects if rng.random() < in_order else rng.permutation(objects))])
    return torch.tensor(np.array(rows))


def _prepare(run: Run, frames: Tensor, labels: Tensor, counts: Tensor):
    """Clip batch on the device, and the step's plan, both from the seed and the step alone."""
    recipe = run.recipe
    rng = np.random.default_rng((recipe.seed, run.step))
    progress = run.step / recipe.optimiser.steps
    plan = draw_plan(rng, recipe.rollout, progress, frames.shape[1])
    identities = run.model.config.objects_per_group + 1
    order = draw_identities(rng, len(frames), identities, recipe.rollout.in_order)
    to = {"device": run.device, "non_blocking": True}
    images = normalise(frames.flatten(0, 1).permute(0, 2, 3, 1).to(**to))
    images = images.unflatten(0, frames.shape[:2])
    clip = ClipBatch(images, labels.long().to(**to), counts.to(**to), order.to(**to))
    return clip, plan


def new_model(recipe: Recipe) -> VmosModel:
    """The recipe's network, with torch's default values."""
    return VmosModel(preset(recipe.preset).vmos)


def _freeze(model: VmosModel, stages: int) -> None:
    if stages:
        model.encoder.stem.requires_grad_(False)
        model.encoder.stages[:stages].requires_grad_(False)


_BEGUN = time.monotonic()


def _over(minutes: float) -> bool:
    return time.monotonic() - _BEGUN > 60 * minutes


def _log(run: Run, losses: list[float], seconds: float) -> None:
    total = run.recipe.optimiser.steps
    line = {
        "step": run.step,
        "loss": round(float(np.mean(losses)), 4),
        "seconds": round(seconds, 3),
    }
    with (run.folder / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    left = (total - run.step) * seconds / 60
    log.info(
        "step %d/%d loss %.4f %.2f s/step, %.0f min left",
        *list(line.values())[:1],
        total,
        line["loss"],
        seconds,
        left,
    )
