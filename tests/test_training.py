"""Training of a small network on toy clips: it learns, resumes, and rolls out as sessions do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training_toys import NETWORK, SIZE, TRACKER, ToyClips, toy_model, toy_recipe, toy_run
from tracker.config import MemoryConfig, preset
from tracker.labels import iou
from tracker.preprocess import normalise
from tracker.training.batches import load_batches
from tracker.training.clips import collate
from tracker.training.initial import initialise
from tracker.training.losses import segmentation_loss
from tracker.training.parallel import Team
from tracker.training.report import Report, Stretch
from tracker.training.rollout import ClipBatch, RolloutPlan, _in_clip_order, rollout
from tracker.training.run import Run
from tracker.training.trainer import Validation, train
from tracker.vmos.model import VmosModel
from tracker.vmos.session import VmosSession

STEPS = 45
HELD_OUT = range(10_000, 10_006)


class Curve(Report):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []
        self.scored: list[int] = []

    def stretch(self, stretch: Stretch) -> None:
        self.stretches.append(stretch)

    def scores(self, step, scores) -> None:
        self.scored.append(step)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Run, Curve]:
    recipe = toy_recipe(STEPS, 4, own_from=0.6, in_order=1.0, hard_until=1e9)
    run, curve = toy_run(tmp_path_factory.mktemp("run"), recipe), Curve()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracker.training.trainer.LOG_EVERY", 15)
        train(run, ToyClips(), workers=0, report=curve)
    return run, curve


def batch_of(clips: ToyClips, numbers: range, identities: list[list[int]]) -> ClipBatch:
    frames, labels, counts = collate([clips[i] for i in numbers])
    images = normalise(frames.flatten(0, 1).permute(0, 2, 3, 1)).unflatten(0, frames.shape[:2])
    return ClipBatch(images, labels.long(), counts, torch.tensor(identities))


def plain_loss(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    return segmentation_loss(logits, labels, counts).total


def test_the_loss_falls(trained) -> None:
    _, curve = trained
    losses = [stretch.loss for stretch in curve.stretches]
    assert [stretch.step for stretch in curve.stretches] == [15, 30, 45]
    assert losses[2] < 0.6 * losses[0]
    assert all(0 <= stretch.wait <= 1 and stretch.seconds > 0 for stretch in curve.stretches)


def test_held_out_clips_are_tracked(trained) -> None:
    run, _ = trained
    model, ours, repeated = run.averaged(), [], []
    for number in HELD_OUT:
        clip = ToyClips(frames=4)[number]
        session = VmosSession(model, TRACKER, "cpu")
        session.start(clip.frames[0], clip.labels[0], clip.count)
        for frame, truth in zip(clip.frames[1:], clip.labels[1:], strict=True):
            answer = session.step(frame).labels
            for k in (1, 2):
                ours.append(iou(answer == k, truth == k))
                repeated.append(iou(clip.labels[0] == k, truth == k))
    assert np.mean(ours) > np.mean(repeated) + 0.3


def states_equal(a: Run, b: Run) -> bool:
    one, two = (
        [*run.model.state_dict().values(), *run.average.weights.values()]
        + [v for s in run.optimiser.state_dict()["state"].values() for v in s.values()]
        for run in (a, b)
    )
    assert len(one) == len(two) > 0
    return all(torch.equal(x, y) for x, y in zip(one, two, strict=True))


def test_a_run_taken_up_equals_one_that_never_stopped(tmp_path: Path) -> None:
    recipe = toy_recipe(6, own_from=0.0)
    whole = toy_run(tmp_path / "whole", recipe)
    train(whole, ToyClips(), workers=0)
    first = toy_run(tmp_path / "parts", recipe)
    train(first, ToyClips(), workers=1, steps=3)
    assert first.step == 3
    second = toy_run(tmp_path / "parts", recipe, seed=99)  # its start values do not matter
    assert second.step == 3
    assert states_equal(first, second)
    train(second, ToyClips(), workers=0)
    assert second.step == whole.step == 6
    assert states_equal(whole, second)
    assert not states_equal(whole, first)
    train(second, ToyClips(), workers=0)  # nothing is left to do
    assert second.step == 6


@pytest.mark.timeout(60)
def test_workers_start_from_a_process_that_has_used_opencvs_threads(tmp_path: Path) -> None:
    """Forked workers once hung for ever in ending their parent's threads."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        cv2.resize(np.zeros((2000, 2000, 3), np.uint8), (3000, 3000), interpolation=cv2.INTER_CUBIC)
        batches = load_batches(ToyClips(), 2, range(2), Team(), workers=1, pinned=False)
        assert [frames.shape[0] for frames, _, _ in batches] == [2, 2]
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_a_run_stops_when_asked_and_validates_when_due(tmp_path: Path) -> None:
    run, curve, seen = toy_run(tmp_path), Curve(), []

    def score(model: VmosModel) -> dict[str, float]:
        assert not model.training and not any(p.requires_grad for p in model.parameters())
        seen.append(torch.equal(model.decoder.logits.bias, run.average.weights[name]))
        return {"jf": 0.5}

    name = "decoder.logits.bias"
    stop = iter([False] * 5 + [True])
    train(
        run,
        ToyClips(),
        workers=0,
        stop=lambda: next(stop),
        report=curve,
        validation=Validation(score, 2),
    )
    assert run.step == 5
    assert curve.scored == [2, 4]
    assert seen == [True, True]
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 5


@pytest.mark.parametrize("lag", [1, 2])
def test_a_rollout_on_the_truth_equals_a_session(lag: int) -> None:
    clip, model, seen = ToyClips(frames=6)[3], toy_model().eval(), []

    def keep(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        seen.append(logits[0, : int(counts[0]) + 1])
        return logits.sum()

    batch = batch_of(ToyClips(frames=6), range(3, 4), [[0, 1, 2, 3]])
    with torch.inference_mode():
        rollout(model, batch, RolloutPlan(False, lag, frozenset({2, 4}), range(1, 6)), keep)
    memory = MemoryConfig(capacity=4, interval=2, short_term_lag=lag)
    session = VmosSession(model, dataclasses.replace(TRACKER, memory=memory), "cpu")
    session.start(clip.frames[0], clip.labels[0], clip.count)
    for t in range(1, 6):
        prediction = session.predict(clip.frames[t])
        ours = F.interpolate(
            prediction.group_logits[0], (SIZE, SIZE), mode="bilinear", align_corners=True
        )
        assert (ours[0] - seen[t - 1]).abs().max() < 1e-4
        session.remember(prediction, clip.labels[t])
    assert session.memory_frames[0] == (4, 2, 0)


def test_a_rollout_on_its_own_answers_equals_a_session() -> None:
    clip, model = ToyClips(frames=5)[4], toy_model().eval()
    batch = batch_of(ToyClips(frames=5), range(4, 5), [[0, 1, 2, 3]])
    with torch.inference_mode():
        _, predicted = rollout(
            model, batch, RolloutPlan(True, 1, frozenset({2}), range(1, 5)), plain_loss
        )
    session = VmosSession(model, TRACKER, "cpu")
    session.start(clip.frames[0], clip.labels[0], clip.count)
    for t in range(1, 5):
        differs = session.step(clip.frames[t]).labels != predicted[0, t - 1].numpy()
        assert differs.mean() < 0.002  # ties


def test_frames_that_are_only_tracked_give_what_they_gave_and_no_gradients() -> None:
    """The same answers, the losses of the learned frames, and gradients from nowhere else."""
    model, seen = toy_model(), []

    def loss(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        seen.append(plain_loss(logits, labels, counts))
        return seen[-1]

    batch = batch_of(ToyClips(frames=6), range(2), [[0, 1, 2, 3]] * 2)
    with torch.no_grad():
        _, whole = rollout(model, batch, RolloutPlan(True, 1, frozenset({1, 3}), range(1, 6)), loss)
    expected = torch.stack(seen[2:4]).mean()
    batch.images.requires_grad_()
    total, part = rollout(model, batch, RolloutPlan(True, 1, frozenset({1, 3}), range(3, 5)), loss)
    assert (part != whole[:, :4]).float().mean() < 0.002  # ties
    assert total.item() == pytest.approx(expected.item(), rel=1e-3)
    total.backward()
    reached = batch.images.grad.flatten(2).any(dim=2)
    assert reached.tolist() == [[True, False, False, True, True, False]] * 2


def test_weights_that_tracked_frames_used_first_are_learned_in_half_precision_too() -> None:
    """Autocast keeps casts of weights, and one made without gradients would swallow theirs."""
    model = toy_model()
    batch = batch_of(ToyClips(frames=6), range(2), [[0, 1, 2, 3]] * 2)
    norms = []
    for tracked in (RolloutPlan(False, 1, frozenset(), range(1, 6)),
                    RolloutPlan(False, 1, frozenset(), range(3, 6))):  # fmt: skip
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = rollout(model, batch, tracked, plain_loss)
        loss.backward()
        norms.append({n for n, p in model.named_parameters() if p.grad is not None})
    assert norms[0] == norms[1]


def test_identities_given_and_identities_of_the_model_permute_together() -> None:
    order = torch.tensor([0, 3, 1, 2])  # object k has identity order[k]
    plan, clips = RolloutPlan(False, 1, frozenset({1}), range(1, 4)), ToyClips(frames=4)
    model = toy_model().eval()
    permuted = VmosModel(NETWORK).eval()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    for name in ("decoder.logits.weight", "decoder.logits.bias"):
        state[name] = state[name][order]
    bank = "identity_embeddings.0.patches.weight"
    state[bank] = state[bank][:, order]
    permuted.load_state_dict(state)
    with torch.inference_mode():
        shuffled = batch_of(clips, range(2), [order.tolist()] * 2)
        loss, predicted = rollout(model, shuffled, plan, plain_loss)
        ordered = batch_of(clips, range(2), [[0, 1, 2, 3]] * 2)
        loss_permuted, predicted_permuted = rollout(permuted, ordered, plan, plain_loss)
        other, _ = rollout(model, ordered, plan, plain_loss)
    assert loss_permuted.item() == pytest.approx(loss.item(), rel=1e-5)
    assert (predicted != predicted_permuted).float().mean() < 0.001
    assert other.item() != pytest.approx(loss.item(), rel=1e-5)


def test_logits_come_back_in_the_order_of_the_objects() -> None:
    identities = torch.tensor([[0, 3, 1, 2], [0, 2, 3, 1]])
    labels = torch.tensor([[[0, 1], [2, 3]], [[3, 2], [1, 0]]])
    of_model = identities.gather(1, labels.flatten(1)).view_as(labels)
    logits = F.one_hot(of_model, 4).permute(0, 3, 1, 2).float()
    assert torch.equal(_in_clip_order(logits, identities).argmax(1), labels)


def test_long_term_attention_is_learned_by_itself_where_it_is_asked_for() -> None:
    """What it brings is compared with the truth around every place, by the model's identities."""
    model = toy_model(network=dataclasses.replace(NETWORK, readout=True))
    identities = [[0, 3, 1, 2], [0, 2, 3, 1]]
    batch = batch_of(ToyClips(), range(2), identities)
    totals = [
        rollout(model, batch, RolloutPlan(False, 1, frozenset(), range(1, 2), weight), plain_loss)[
            0
        ]
        for weight in (0.0, 1.0, 0.5)
    ]
    shares = torch.zeros(2, 2, 4, SIZE, SIZE)
    for sample, order in enumerate(identities):
        for k, identity in enumerate(order):
            shares[sample, :, identity] = (batch.labels[sample, :2] == k).float()
    first, second = (model.encode_image(batch.images[:, t]) for t in (0, 1))
    memory = model.introduce(first, model.embed_identity(shares[:, 0], first))
    brought = model.propagate(second, memory, memory).readout[:, 0]
    around = F.avg_pool2d(shares[:, 1], 17, 16, 8, count_include_pad=False)
    expected = -(around * (brought + 0.01).log()).sum(1).mean()
    assert (totals[1] - totals[0]).item() == pytest.approx(expected.item(), rel=1e-4)
    assert (totals[2] - totals[0]).item() == pytest.approx(expected.item() / 2, rel=1e-4)


@pytest.mark.parametrize("name", ["hqtrack-lite", "hqtrack"])
def test_gradients_reach_every_parameter(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = VmosModel(preset(name).vmos)
        initialise(model)
        # Some parts start at zero (offsets, relative bias) and would hold gradients back.
        for parameter in model.parameters():
            parameter.data.add_(0.02 * torch.randn_like(parameter))
    batch = batch_of(ToyClips(size=97), range(1), [list(range(11))])
    loss, _ = rollout(model, batch, RolloutPlan(True, 1, frozenset({1}), range(1, 3)), plain_loss)
    loss.backward()
    # Only the logits of the two objects and the background are looked at; their rows suffice.
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())
