"""The training loop: deterministic by seed, resumable at any step, on CPU, one GPU or several."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tracker.training.batches import Clips, ClipSource, load_batches, prepare
from tracker.training.losses import hard_share, segmentation_loss
from tracker.training.optimise import learning_rate
from tracker.training.pictures import mask_picture
from tracker.training.precision import mixed_precision
from tracker.training.report import Report, Stretch
from tracker.training.rollout import ClipBatch, RolloutPlan, rollout
from tracker.training.run import Run
from tracker.vmos.model import VmosModel

log = logging.getLogger(__name__)

LOG_EVERY = 20
SAVE_EVERY = 200
PICTURE_EVERY = 500


@dataclass(frozen=True)
class Validation:
    """`score` gives named shares (0 to 1) of a network in evaluation mode, every `every` steps."""

    score: Callable[[VmosModel], Mapping[str, float]]
    every: int


def never() -> bool:
    """The wish of those who do not wish to stop."""
    return False


@dataclass(frozen=True)
class Step:
    """What an optimiser step gives: the loss, and labels [B, T - 1, S, S] of frames 1 and on."""

    loss: float
    predicted: Tensor


@dataclass
class Clock:
    """Losses and times since the last report."""

    started: float = field(default_factory=time.monotonic)
    waited: float = 0.0
    losses: list[float] = field(default_factory=list)

    def stretch(self, step: int, rate: float) -> Stretch:
        """The report; begins anew."""
        spent = time.monotonic() - self.started
        count = len(self.losses)
        result = Stretch(
            step, sum(self.losses) / count, rate, spent / count, self.waited / max(spent, 1e-9)
        )
        self.started, self.waited, self.losses = time.monotonic(), 0.0, []
        return result


def train(
    run: Run,
    clips: ClipSource,
    *,
    workers: int = 1,
    steps: int | None = None,
    stop: Callable[[], bool] = never,
    report: Report | None = None,
    validation: Validation | None = None,
) -> None:
    """Train to the recipe's last step; the state is saved at the end and on the way.

    steps: do at most so many now. stop: asked before every step whether to end here. In a team,
    every process calls this, and the wish of one stops all.
    """
    config, team, report = run.recipe.optimiser, run.team, report or Report()
    last = config.steps if steps is None else min(config.steps, run.step + steps)
    pinned = run.device.type == "cuda"
    todo = range(run.step, last)
    batches = load_batches(clips, config.batch, todo, team, workers, pinned) if todo else None
    clock = Clock()
    while batches is not None and run.step < last and not team.agree(stop(), run.device):
        asked = time.monotonic()
        batch = next(batches)
        clock.waited += time.monotonic() - asked
        _advance(run, batch, clock, report)
        if validation is not None and _due(run, validation.every):
            _validate(run, validation, report)
            clock = Clock()
    run.save()
    if team.leads:
        log.info("stopped at step %d of %d", run.step, config.steps)


def train_step(run: Run, clip: ClipBatch, plan: RolloutPlan) -> Step:
    """One optimiser step on this process's share of the batch."""
    config, rollout_config = run.recipe.optimiser, run.recipe.rollout
    ramp = int(config.steps * rollout_config.hard_until)
    share = hard_share(run.step, ramp, rollout_config.hard_share)

    def loss(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        return segmentation_loss(logits, labels, counts, share).total

    rate = learning_rate(run.step, config)
    for group in run.optimiser.param_groups:
        group["lr"] = rate * group["share"]
    with mixed_precision(run.device, config.precision):
        total, predicted = rollout(run.model, clip, plan, loss)
    run.optimiser.zero_grad(set_to_none=True)
    total.backward()
    run.team.average_gradients(run.model.parameters())
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.clip_norm)
    if torch.isfinite(norm):
        run.optimiser.step()
        run.average.update(run.model)
    else:
        log.warning("step %d: the gradient is not finite; skipped", run.step)
    return Step(float(total.detach()), predicted)


def _advance(run: Run, clips: Clips, clock: Clock, report: Report) -> None:
    """One step, and what is due after it."""
    rate = learning_rate(run.step, run.recipe.optimiser)
    identities = run.model.config.objects_per_group + 1
    clip, plan = prepare(run.recipe, run.step, clips, identities, run.team, run.device)
    done = train_step(run, clip, plan)
    run.step += 1
    clock.losses.append(done.loss)
    report.advance()
    if run.step % LOG_EVERY == 0:
        report.stretch(clock.stretch(run.step, rate))
    if run.step % PICTURE_EVERY == 0:
        report.picture(run.step, mask_picture(clip, done.predicted))
    if run.step % SAVE_EVERY == 0:
        run.save()


def _due(run: Run, every: int) -> bool:
    return run.step % every == 0 or run.step == run.recipe.optimiser.steps


def _validate(run: Run, validation: Validation, report: Report) -> None:
    """Score the averaged weights; the state is safe before, since this may take long."""
    run.save()
    if run.team.leads:
        report.scores(run.step, validation.score(run.averaged()))
