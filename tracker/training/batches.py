"""Batches of training steps: which clips, how they are loaded, and the chance within a step.

All of it follows from the recipe and the number of the step, so a run that is taken up sees what
one that never stopped would have seen.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tracker.preprocess import normalise
from tracker.training.clips import Clip, collate
from tracker.training.parallel import Team
from tracker.training.recipe import Recipe, RolloutConfig
from tracker.training.rollout import ClipBatch, RolloutPlan

MIDDLE_SHARE = 0.3  # of the frames between the first and the last: join the long-term memory
PREFETCH = 4  # batches that a worker makes ahead


class ClipSource(Protocol):
    """Clip number `index`, whatever was asked before; `clips.ClipDataset` is one."""

    def __getitem__(self, index: int) -> Clip: ...


Clips = tuple[Tensor, Tensor, Tensor]
"""frames [B, T, 3, S, S] uint8, labels [B, T, S, S] uint8, counts [B] int64."""


def clip_numbers(batch: int, steps: range, team: Team) -> Iterator[list[int]]:
    """For every step, the numbers of this process's clips of a joint batch."""
    rows = team.rows(batch)
    return ([step * batch + row for row in rows] for step in steps)


def load_batches(
    source: ClipSource, batch: int, steps: range, team: Team, workers: int, pinned: bool
) -> Iterator[Clips]:
    """This process's share of the batches of these steps, made by `workers` processes (or here).

    `pinned`: in memory from which a GPU copies at once. Workers make clips on one thread each.
    """
    loader = DataLoader(
        source,
        batch_sampler=clip_numbers(batch, steps, team),
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_start_worker,
        prefetch_factor=PREFETCH if workers else None,
        pin_memory=pinned,
    )
    # The workers are forked here. A forked process hangs where it ends or uses its parent's OpenCV
    # threads, so the parent ends them first.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return iter(loader)
    finally:
        cv2.setNumThreads(threads)


def prepare(
    recipe: Recipe, step: int, clips: Clips, identities: int, team: Team, device: torch.device
) -> tuple[ClipBatch, RolloutPlan]:
    """The step's clips on the device, normalised, and its plan; drawn from seed and step alone."""
    frames, labels, counts = clips
    rng = np.random.default_rng((recipe.seed, step))
    progress = step / recipe.optimiser.steps
    plan = draw_plan(rng, recipe.rollout, progress, frames.shape[1])
    joint = draw_identities(rng, recipe.optimiser.batch, identities, recipe.rollout.in_order)
    order = joint[list(team.rows(recipe.optimiser.batch))]
    images = frames.flatten(0, 1).permute(0, 2, 3, 1).to(device, non_blocking=True)
    images = normalise(images).unflatten(0, frames.shape[:2])
    labels, counts, order = (x.to(device, non_blocking=True) for x in (labels, counts, order))
    return ClipBatch(images, labels.long(), counts, order), plan


def draw_plan(
    rng: np.random.Generator, config: RolloutConfig, progress: float, length: int
) -> RolloutPlan:
    """A step's rollout; `progress` of the run is 0 to 1, `length` in frames."""
    ramp = (progress - config.own_from) / max(1e-9, 1 - config.own_from)
    own = rng.random() < config.own_at_most * float(np.clip(2 * ramp, 0, 1))
    middle = [t for t in range(1, length - 1) if rng.random() < MIDDLE_SHARE]
    lag = int(rng.choice(config.lags))
    learned = draw_learned(rng, config, length)
    return RolloutPlan(bool(own), lag, frozenset(middle), learned, config.matching)


def draw_learned(rng: np.random.Generator, config: RolloutConfig, length: int) -> range:
    """The frames that a step learns from: `config.learned` of those after the first."""
    if config.learned is None or config.learned >= length - 1:
        return range(1, length)
    start = int(rng.integers(1, length - config.learned + 1))
    return range(start, start + config.learned)


def draw_identities(
    rng: np.random.Generator, batch: int, identities: int, in_order: float
) -> Tensor:
    """[B, identities] int64: the model's identities of a clip's objects, 0 in front.

    A sample's are 1, 2, ... with probability `in_order`, else a random permutation.
    """
    rows = []
    for _ in range(batch):
        objects = np.arange(1, identities)
        rows.append([0, *(objects if rng.random() < in_order else rng.permutation(objects))])
    return torch.tensor(np.array(rows))


def _start_worker(_: int) -> None:
    """One thread; Ctrl-C is the main process's business, and its handlers are not inherited."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
