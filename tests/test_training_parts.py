"""Recipes, schedule, average, chance within a step, start weights, reports, export."""

from __future__ import annotations

import builtins
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.deterministic import deterministic_array
from tests.training_toys import NETWORK, SIZE, TRACKER, ToyClips, toy_model, toy_recipe, toy_run
from tracker.checkpoints import CheckpointError, read_bundled, save_bundled
from tracker.config import ConfigError, preset
from tracker.training.batches import clip_numbers, draw_identities, draw_plan
from tracker.training.encoder_start import internimage_state, start_encoder
from tracker.training.export import BUNDLED_LIMIT, describe_data, export
from tracker.training.initial import initialise_encoder
from tracker.training.library import Library
from tracker.training.optimise import Average, build_optimiser, learning_rate
from tracker.training.parallel import Team
from tracker.training.pictures import COLOURS, mask_picture
from tracker.training.precision import mixed_precision
from tracker.training.recipe import OptimiserConfig, RolloutConfig, load_recipe
from tracker.training.report import FolderReport, Stretch
from tracker.training.rollout import ClipBatch
from tracker.training.sources import Sprite, Still, Video
from tracker.training.start import read_weights, start_model
from tracker.training.trainer import train
from tracker.vmos.efficientnet import EfficientNetLite0
from tracker.vmos.internimage import InternImage
from tracker.vmos.loading import load_vmos
from tracker.vmos.model import VmosModel
from tracker.vmos.official import official_shapes
from tracker.vmos.official_names import ours_to_official


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
        ("[optimiser", "no TOML"),
    ],
)
def test_a_recipe_with_a_fault_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(f'preset = "hqtrack-lite"\n{text}\n')
    with pytest.raises(ConfigError, match=message):
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


def test_a_random_start_is_asked_for_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        first, second = start_model(toy_recipe()), start_model(toy_recipe())
    assert "RANDOM weights everywhere" in caplog.text
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    with pytest.raises(ConfigError, match="--start FILE"):
        start_model(load_recipe("hqtrack-video"))


def test_random_features_neither_vanish_nor_grow() -> None:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        encoder = EfficientNetLite0()
        initialise_encoder(encoder)
        maps = encoder(torch.randn(1, 3, 97, 97))
    assert all(0.3 < m.std() < 5 for m in maps)


def test_start_weights_come_from_bundled_files_runs_and_official_ones(tmp_path: Path) -> None:
    model = toy_model()
    save_bundled(model.state_dict(), NETWORK, tmp_path / "toy.safetensors", {})
    state = read_weights(tmp_path / "toy.safetensors", model)
    assert torch.equal(state["decoder.logits.weight"], model.decoder.logits.weight.half())
    with pytest.raises(CheckpointError, match="another network"):
        read_weights(tmp_path / "toy.safetensors", VmosModel(preset("hqtrack-lite").vmos))
    run = toy_run(tmp_path / "run", seed=3)
    run.average.weights["decoder.logits.bias"].fill_(4.5)
    run.save()
    state = read_weights(tmp_path / "run" / "state.pt", model)
    assert torch.equal(state["decoder.logits.bias"], torch.full((4,), 4.5))
    big = VmosModel(preset("hqtrack").vmos)
    official = {k: torch.zeros(s) for k, s in official_shapes(big).items()}
    torch.save({"state_dict": official}, tmp_path / "official.pth")
    assert read_weights(tmp_path / "official.pth", big).keys() == big.state_dict().keys()
    torch.save({"state_dict": {"nonsense": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="nonsense"):
        read_weights(tmp_path / "other.pth", big)


def test_the_light_encoder_starts_from_the_package_s_file(tmp_path: Path) -> None:
    encoder, blocks = EfficientNetLite0(), []
    for stage in encoder.stages:
        blocks += list(stage)
    source = {}

    def put(convolution: str, norm: str, shape: torch.Size) -> None:
        source[f"{convolution}.weight"] = deterministic_array(convolution, tuple(shape))
        for part in ("weight", "bias", "running_mean", "running_var"):
            source[f"{norm}.{part}"] = deterministic_array(f"{norm}.{part}", (shape[0],))

    put("_conv_stem", "_bn0", encoder.stem.weight.shape)
    for number, block in enumerate(blocks):
        name = f"_blocks.{number}"
        if block.expand is not None:
            put(f"{name}._expand_conv", f"{name}._bn0", block.expand.weight.shape)
        put(f"{name}._depthwise_conv", f"{name}._bn1", block.depthwise.weight.shape)
        put(f"{name}._project_conv", f"{name}._bn2", block.project.weight.shape)
    torch.save({k: torch.from_numpy(v) for k, v in source.items()}, tmp_path / "lite0.pth")
    start_encoder(encoder, tmp_path / "lite0.pth")
    # The stem on ImageNet-normalised input is convolution and norm on (x - 127) / 128.
    pixels = torch.randint(0, 256, (1, 3, 9, 9)).float()
    mean, std = (
        torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    ours = encoder.stem((pixels / 255 - mean) / std)[..., 1:-1, 1:-1]
    t = {k: torch.from_numpy(v) for k, v in source.items()}
    theirs = torch.conv2d((pixels - 127) / 128, t["_conv_stem.weight"], stride=2, padding=1)
    norm = (t["_bn0.running_mean"], t["_bn0.running_var"], t["_bn0.weight"], t["_bn0.bias"])
    theirs = torch.nn.functional.batch_norm(theirs, *norm, eps=1e-3)[..., 1:-1, 1:-1]
    assert (ours - theirs).abs().max() < 1e-4
    del source["_blocks.2._bn1.running_var"]
    torch.save({k: torch.from_numpy(v) for k, v in source.items()}, tmp_path / "lite0.pth")
    with pytest.raises(CheckpointError, match=r"_blocks\.2\._bn1\.running_var"):
        start_encoder(encoder, tmp_path / "lite0.pth")


def test_the_large_encoder_takes_three_stages_of_the_classifier(tmp_path: Path) -> None:
    encoder = InternImage()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    source = {
        ours_to_official(f"encoder.{k}").removeprefix("encoder."): torch.ones_like(v)
        for k, v in before.items()
    }
    source |= {"levels.3.norm.0.weight": torch.ones(512), "head.bias": torch.ones(1000)}
    source |= {"levels.2.downsample.conv.weight": torch.ones(512, 256, 3, 3)}
    file = tmp_path / "internimage.pth"
    torch.save({"model": source}, file)
    start_encoder(encoder, file)
    for name, value in encoder.state_dict().items():
        own = name.startswith("stages.3.")
        assert torch.equal(value, before[name] if own else torch.ones_like(value)), name
    del source["levels.1.norm.0.bias"]
    with pytest.raises(CheckpointError, match=r"stages\.1\.norm\.bias is missing"):
        internimage_state({"model": source}, encoder, file)
    with pytest.raises(CheckpointError, match="stray"):
        internimage_state({"model": {"stray": torch.ones(1)}}, encoder, file)


def test_a_folder_of_another_network_is_refused_and_changed_settings_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = toy_run(tmp_path)
    run.save()
    toy_run(tmp_path, toy_recipe(7))
    assert "optimiser.steps was 6, is now 7" in caplog.text
    (tmp_path / "state.pt").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"state\.pt"):
        toy_run(tmp_path)
    torch.save({"model": {}, "average": {}, "optimiser": {}, "step": 1}, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="another folder"):
        toy_run(tmp_path)


def test_exported_weights_load_and_give_the_same_logits(tmp_path: Path) -> None:
    run = toy_run(tmp_path / "run")
    train(run, ToyClips(), workers=0, steps=1)
    export(run, tmp_path / "out" / "toy.safetensors", "2 stills (a)")
    _, network, notes = read_bundled(tmp_path / "out" / "toy.safetensors")
    assert network == NETWORK
    assert notes == {
        "preset": "hqtrack-lite",
        "recipe": "toy",
        "step": "1",
        "steps": "6",
        "data": "2 stills (a)",
    }
    loaded, image = load_vmos(TRACKER, tmp_path / "out"), torch.randn(1, 3, SIZE, SIZE)
    shares = torch.zeros(1, 4, SIZE, SIZE)
    shares[:, 1, :30], shares[:, 0, 30:] = 1, 1
    logits = []
    with torch.inference_mode():
        for model in (run.averaged(), loaded):
            features = model.encode_image(image)
            memory = model.introduce(features, model.embed_identity(shares, features))
            logits.append(model.decode(model.propagate(features, memory, memory)))
    assert (logits[0] - logits[1]).abs().max() < 2e-2 * logits[0].abs().max()


def test_the_light_network_fits_the_repository(tmp_path: Path) -> None:
    model = VmosModel(preset("hqtrack-lite").vmos)
    file = tmp_path / "lite.safetensors"
    save_bundled(model.state_dict(), model.config, file, {})
    assert file.stat().st_size < BUNDLED_LIMIT == 20_000_000


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
