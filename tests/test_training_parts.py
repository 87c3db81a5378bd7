"""Recipes, schedule, average, chance within a step, precision, reports."""

from __future__ import annotations

import builtins
import io
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training_toys import toy_model
from tracker.config import ConfigError
from tracker.training.batches import clip_numbers, draw_identities, draw_plan
from tracker.training.export import describe_data
from tracker.training.items import Sprite, Still, Video
from tracker.training.library import Library
from tracker.training.optimise import Average, build_optimiser, learning_rate
from tracker.training.parallel import Team
from tracker.training.pictures import COLOURS, mask_picture
from tracker.training.precision import mixed_precision
from tracker.training.recipe import OptimiserConfig, RolloutConfig, load_recipe
from tracker.training.report import FolderReport, Stretch
from tracker.training.rollout import ClipBatch


def test_the_recipes_of_the_paper_have_its_numbers() -> None:
    static, video = load_recipe("hqtrack-static"), load_recipe("hqtrack-video")
    for recipe, steps, rate, decay in ((static, 100_000, 4e-4, 0.03), (video, 150_000, 2e-4, 0.07)):
        assert recipe.preset == "hqtrack"
        assert (recipe.clips.frames, recipe.clips.size) == (5, 465)
        optimiser = recipe.optimiser
        assert (optimiser.steps, optimiser.rate, optimiser.weight_decay) == (steps, rate, decay)
        assert (optimiser.batch, optimiser.ema) == (16, 0.9999)
    assert (static.clips.static, static.clips.video, static.clips.composed) == (1, 0, 0)
    assert video.clips.static == 0 < video.clips.video
    assert (static.start.encoder, video.start.encoder) == ("imagenet", "given")
    rng = np.random.default_rng(0)
    assert not any(draw_plan(rng, static.rollout, p, 5).own for p in np.linspace(0, 0.999, 50))


def test_the_light_recipe() -> None:
    recipe = load_recipe("lite")
    assert (recipe.name, recipe.preset) == ("lite", "hqtrack-lite")
    assert (recipe.start.encoder, recipe.start.frozen_stages) == ("imagenet", 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[optimiser]\nrat = 1", "unknown key 'rat' in optimiser.*weight_decay"),
        ("stage = 1", "unknown key 'stage' in recipe"),
        ("[start]\nencoder = 'guess'", "encoder is 'guess'.*imagenet, none, given"),
        ("[optimiser]\nprecision = 'int4'", "precision is 'int4'"),
        ("[optimiser]\nbatch = 0", "batch 0"),
        ("[rollout]\nhard_share = 0", "hard_share is 0; it must be above 0"),
        ("[rollout]\nhard_share = 1.5", "hard_share is 1.5"),
        ("[rollout]\nmatching = -1", "matching is -1"),
        (
            "[rollout]\nmatching = 0.5\n[settings]\nvmos__readout = false\n"
            "vmos__detail_window = 0\nvmos__detail_channels = 0",
            r"matching is 0\.5, and the network of hqtrack-lite brings no identities",
        ),
        ("[optimiser", "no TOML"),
        ("optimiser = 3", r"optimiser is 3; write a section \[optimiser\]"),
        ("[optimiser]\nsteps = 'x'", "steps of optimiser is 'x', no int"),
        ("[optimiser]\nbatch = 2.5", r"batch of optimiser is 2\.5, no int"),
        ("[optimiser]\nrate = true", "rate of optimiser is True, no float"),
        ("settings = 3", r"settings of recipe is 3, no Mapping"),
        ("[clips]\nsize = 0", "size of clips is 0; it must be 1 or more"),
    ],
)
def test_a_recipe_with_a_fault_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(f'preset = "hqtrack-lite"\n{text}\n')
    with pytest.raises(ConfigError, match=message):
        load_recipe(str(file))
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="no TOML"):
        load_recipe(str(file))
    file.write_text("seed = 1\n")
    with pytest.raises(ConfigError, match="no preset"):
        load_recipe(str(file))
    with pytest.raises(ConfigError, match=r"no recipe 'gone'.*hqtrack-static"):
        load_recipe("gone")


def test_the_rate_rises_then_falls_to_the_final_one() -> None:
    config = OptimiserConfig(steps=110, warmup=10, rate=1e-3, final=1e-4, power=0.5)
    assert learning_rate(0, config) == pytest.approx(1e-4)
    assert learning_rate(4, config) == pytest.approx(5e-4)
    assert learning_rate(10, config) == pytest.approx(1e-3)
    assert learning_rate(85, config) == pytest.approx(1e-4 + 9e-4 * 0.5)
    assert learning_rate(110, config) == learning_rate(200, config) == pytest.approx(1e-4)
    assert learning_rate(0, OptimiserConfig(warmup=0)) == pytest.approx(4e-4)


def test_the_optimiser_has_four_groups() -> None:
    model = toy_model()
    groups = build_optimiser(model, OptimiserConfig(encoder_rate=0.1)).param_groups
    kinds = {(g["share"], g["weight_decay"]) for g in groups}
    assert kinds == {(0.1, 0.03), (0.1, 0.0), (1.0, 0.03), (1.0, 0.0)}
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    assert all(p.dim() > 1 for g in groups if g["weight_decay"] for p in g["params"])


def test_the_average_follows_the_weights() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    average = Average(model, 0.5)
    model.weight.data.fill_(11.0)
    average.update(model)  # at first 2 / 11 of the old
    assert average.weights["weight"].item() == pytest.approx(11 * 9 / 11)
    for _ in range(20):
        average.update(model)
    before = average.weights["weight"].item()
    model.weight.data.fill_(0.0)
    average.update(model)
    assert average.weights["weight"].item() == pytest.approx(before / 2)
    again = Average(torch.nn.Linear(1, 1, bias=False), 0.5)
    again.load_state_dict(average.state_dict())
    again.update(model)
    average.update(model)
    assert torch.equal(again.weights["weight"], average.weights["weight"])


def test_own_answers_enter_memory_later_and_more_often() -> None:
    config, rng = (
        RolloutConfig(own_from=0.4, own_at_most=0.8, lags=(1, 3)),
        np.random.default_rng(0),
    )
    progress = (0.0, 0.4, 0.55, 0.7, 1.0)
    plans = {p: [draw_plan(rng, config, p, 6) for _ in range(1000)] for p in progress}
    shares = {p: np.mean([plan.own for plan in drawn]) for p, drawn in plans.items()}
    assert shares[0.0] == shares[0.4] == 0
    assert shares[0.55] == pytest.approx(0.4, abs=0.05)
    assert shares[0.7] == pytest.approx(0.8, abs=0.05)
    assert shares[1.0] == pytest.approx(0.8, abs=0.05)
    drawn = plans[1.0]
    assert {plan.lag for plan in drawn} == {1, 3}
    assert set().union(*(plan.long_term for plan in drawn)) == {1, 2, 3, 4}


def test_a_step_learns_from_a_stretch_anywhere_in_the_clip() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_plan(rng, RolloutConfig(learned=3), 0, 8).learned for _ in range(300)]
    assert {(r.start, r.stop) for r in drawn} == {(start, start + 3) for start in range(1, 6)}
    assert draw_plan(rng, RolloutConfig(), 0, 8).learned == range(1, 8)
    assert draw_plan(rng, RolloutConfig(learned=9), 0, 8).learned == range(1, 8)
    with pytest.raises(ConfigError, match="learned is 0"):
        RolloutConfig(learned=0)


def test_identities_are_permutations_with_the_background_in_front() -> None:
    rng = np.random.default_rng(0)
    ordered = draw_identities(rng, 5, 11, in_order=1.0)
    assert torch.equal(ordered, torch.arange(11).expand(5, -1))
    drawn = draw_identities(rng, 50, 11, in_order=0.0)
    assert torch.equal(drawn.sort(1).values, torch.arange(11).expand(50, -1))
    assert not drawn[:, 0].any()
    assert len({tuple(row) for row in drawn.tolist()}) > 40


def test_processes_share_out_the_clips_of_every_step() -> None:
    alone = list(clip_numbers(4, range(3, 6), Team()))
    assert alone == [[12, 13, 14, 15], [16, 17, 18, 19], [20, 21, 22, 23]]
    shares = [clip_numbers(4, range(3, 6), Team(rank, 2)) for rank in range(2)]
    assert [a + b for a, b in zip(*shares, strict=True)] == alone
    with pytest.raises(ConfigError, match=r"batch of 4 .* 3 processes"):
        Team(0, 3).rows(4)


@pytest.mark.parametrize(("units", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_automatic_precision_follows_the_matrix_units(
    monkeypatch: pytest.MonkeyPatch, units: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr("tracker.vmos.precision._cpu_multiplies_bfloat16", lambda: units)
    with mixed_precision(torch.device("cpu"), "auto"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_mixed_precision_leaves_out_the_slow_parts_on_a_cpu() -> None:
    image, weight = torch.randn(1, 8, 5, 5), torch.randn(8, 1, 3, 3)
    norm, dense = torch.nn.GroupNorm(2, 8), torch.nn.Conv2d(8, 8, 1)
    with mixed_precision(torch.device("cpu"), "bfloat16"):
        half = dense(image)
        assert half.dtype == torch.bfloat16
        deep = torch.nn.functional.conv2d(half, weight, groups=8)
        assert deep.dtype == torch.float32
        assert torch.equal(deep, torch.conv2d(half.float(), weight, groups=8))
        assert norm(half).dtype == torch.float32
    with mixed_precision(torch.device("cpu"), "float32"):
        assert dense(image).dtype == torch.float32
    assert dense(image).dtype == torch.float32


def test_data_are_described_by_their_sets() -> None:
    still, video = Still("coco_1", Path("a")), Video("davis_x_2", (), ())
    library = Library([still, Still("bsds_1", Path("b"))], [video], [Sprite("s", Path("c"))])
    assert describe_data(library) == "2 stills (bsds, coco); 1 videos (davis); 1 sprites"


def test_pictures_show_frames_truth_and_answers() -> None:
    labels = torch.zeros(1, 2, 4, 4, dtype=torch.int64)
    labels[0, :, 0] = 1
    answers = torch.full((1, 1, 4, 4), 2)
    clip = ClipBatch(torch.zeros(1, 2, 3, 4, 4), labels, torch.tensor([2]), torch.zeros(1, 3))
    image = mask_picture(clip, answers)
    assert image.shape == (12, 8, 3)
    grey = np.array([0.485, 0.456, 0.406]) * 255
    assert np.abs(image[:4] - grey).max() <= 1
    assert np.abs(image[4] - (0.4 * grey + 0.6 * COLOURS[1])).max() <= 1
    assert np.abs(image[5:8] - grey).max() <= 1
    assert np.abs(image[8:, 4:] - (0.4 * grey + 0.6 * COLOURS[2])).max() <= 1


def test_a_report_writes_lines_curves_and_pictures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 10, "loss": 1.0}\n{"step": 30, "loss": 0.9}\n')
    with caplog.at_level(logging.INFO):
        report = FolderReport(tmp_path, 20, 140)
        report.advance()
        report.stretch(Stretch(step=40, loss=0.5, rate=1e-4, seconds=2.0, wait=0.25))
        report.scores(40, {"jf": 0.625})
        report.picture(40, np.zeros((4, 6, 3), np.uint8))
        report.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 40, 40]
    assert lines[1] == {"step": 40, "loss": 0.5, "seconds": 2.0, "rate": 1e-4, "wait": 0.25}
    assert "step 40/140 loss 0.5000, 2.00 s/step, 25% waiting for data, 0:03:20 left" in caplog.text
    assert "validation: jf 62.5" in caplog.text
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = loader.EventAccumulator(str(tmp_path))
    events.Reload()
    assert events.Scalars("train/wait")[0].value == 0.25
    assert events.Scalars("validation/jf")[0].value == 0.625
    assert events.Images("frames, truth, prediction")[0].height == 4


def test_a_terminal_gets_a_bar_with_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("tracker.training.report._tensorboard", lambda *_: None)
    report = FolderReport(tmp_path, 20, 40)
    report.advance()
    report.stretch(Stretch(step=21, loss=0.5, rate=1e-4, seconds=2.0, wait=0.25))
    report.close()
    assert "21/40" in terminal.getvalue()
    assert "loss=0.5000, wait=25%" in terminal.getvalue()


def test_without_tensorboard_the_report_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = builtins.__import__

    def without(name: str, *rest, **more):
        if "tensorboard" in name:
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    report = FolderReport(tmp_path, 0, 10)
    report.stretch(Stretch(1, 0.5, 1e-4, 2.0, 0.0))
    report.scores(1, {"jf": 0.5})
    report.picture(1, np.zeros((4, 6, 3), np.uint8))
    report.close()
    assert caplog.text.count("TensorBoard is not installed") == 1
