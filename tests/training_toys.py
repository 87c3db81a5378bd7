"""A small network, small clips of moving shapes, and a recipe for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tracker.config import FrameConfig, MemoryConfig, ScaleConfig, TrackerConfig, VmosConfig
from tracker.training.clips import Clip, ClipConfig
from tracker.training.initial import initialise, initialise_encoder
from tracker.training.parallel import join_team, local_device
from tracker.training.recipe import OptimiserConfig, Recipe, RolloutConfig, StartConfig
from tracker.training.run import Run, open_run
from tracker.training.trainer import train
from tracker.vmos.model import VmosModel

SIZE = 65
NETWORK = VmosConfig(
    encoder="efficientnet-lite0",
    scales=(ScaleConfig(16, 32, 1), ScaleConfig(8, 16, 0), ScaleConfig(4, 16, 0)),
    decoder_channels=16,
    objects_per_group=3,
    window=5,
)
TRACKER = TrackerConfig(
    name="toy",
    vmos=NETWORK,
    frame=FrameConfig(min_short_edge=None),
    memory=MemoryConfig(capacity=3, interval=2, short_term_lag=1),
)


def toy_recipe(
    steps: int = 6, batch: int = 2, precision: str = "bfloat16", **rollout: float
) -> Recipe:
    return Recipe(
        name="toy",
        preset="hqtrack-lite",
        start=StartConfig(encoder="none"),
        clips=ClipConfig(frames=3, size=SIZE),
        optimiser=OptimiserConfig(
            steps=steps,
            batch=batch,
            rate=2e-3,
            final=2e-4,
            warmup=3,
            encoder_rate=0.3,
            ema=0.9,
            precision=precision,
        ),
        rollout=RolloutConfig(**{"in_order": 0.5, **rollout}),
    )


def toy_model(seed: int = 0, network: VmosConfig = NETWORK) -> VmosModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VmosModel(network)
        initialise(model)
        initialise_encoder(model.encoder)
    # Real training begins with small logits, which takes longer than a test should.
    model.decoder.logits.weight.data.mul_(10)
    return model


def toy_run(folder: Path, recipe: Recipe | None = None, seed: int = 0) -> Run:
    return open_run(recipe or toy_recipe(), folder, toy_model(seed), torch.device("cpu"))


class ToyClips:
    """Clip number `index`: two shapes, bright against the background, that move apart."""

    def __init__(self, frames: int = 3, size: int = SIZE, speed: float = 5.0) -> None:
        self.frames, self.size, self.speed = frames, size, speed

    def __getitem__(self, index: int) -> Clip:
        rng = np.random.default_rng((7, index))
        size, count = self.size, 2
        images = np.empty((self.frames, size, size, 3), np.uint8)
        images[:] = rng.integers(0, 90, 3) + rng.integers(0, 20, (size, size, 3))
        labels = np.zeros((self.frames, size, size), np.uint8)
        hues = rng.permutation(np.array([[250, 40, 40], [40, 250, 40], [60, 60, 250]]))
        y, x = np.mgrid[:size, :size]
        for number in range(1, count + 1):
            centre = size * np.array([0.3 + 0.4 * (number - 1), rng.uniform(0.3, 0.7)])
            pace = self.speed * np.array([rng.uniform(-0.3, 0.3), rng.choice([-1, 1])])
            radius = size * rng.uniform(0.13, 0.18)
            order = rng.choice([1, 2, 4])  # diamond, disk, nearly a square
            for t in range(self.frames):
                row, column = centre + t * pace
                inside = np.abs(y - row) ** order + np.abs(x - column) ** order < radius**order
                images[t][inside] = hues[number - 1]
                labels[t][inside] = number
        return Clip(images, labels, count, "static")


def train_in_team(folder: Path) -> Run:
    """One step in float32, as the process that the environment says, in a team."""
    with join_team(local_device("cpu")) as team:
        recipe = toy_recipe(precision="float32", in_order=0.0)
        start = toy_model(seed=team.rank)  # the leader's counts
        run = open_run(recipe, folder / f"rank{team.rank}", start, torch.device("cpu"), team)
        train(run, ToyClips(), workers=0, steps=1)
        torch.save(run.model.state_dict(), folder / f"weights{team.rank}.pt")
    return run
