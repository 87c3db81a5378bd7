"""Where weights come from when training starts, and where they go at its end."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest
import torch

from tests.deterministic import deterministic_array
from tests.training_toys import NETWORK, SIZE, TRACKER, ToyClips, toy_model, toy_recipe, toy_run
from tracker.build import weights_folder
from tracker.checkpoints import CheckpointError, read_bundled, save_bundled
from tracker.config import ConfigError, preset
from tracker.training.encoder_start import (
    CLASSIFIER,
    imagenet_file,
    internimage_state,
    start_encoder,
)
from tracker.training.export import BUNDLED_LIMIT, export
from tracker.training.initial import initialise_encoder
from tracker.training.recipe import load_recipe
from tracker.training.start import read_weights, start_model, without_detail
from tracker.training.trainer import train
from tracker.vmos.efficientnet import EfficientNetLite0
from tracker.vmos.internimage import InternImage
from tracker.vmos.loading import load_vmos
from tracker.vmos.model import VmosModel
from tracker.vmos.official import official_shapes
from tracker.vmos.official_names import ours_to_official
from tracker.weights import recorded_digest, sha256_of


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


def test_weights_without_the_detail_parts_grow_them(tmp_path: Path, caplog) -> None:
    """Old weights stay as they are, the new parts begin as `initialise` makes them; it is said."""
    grown = dataclasses.replace(NETWORK, readout=True, detail_window=3, detail_channels=4)
    old = toy_model(network=without_detail(grown))
    save_bundled(old.state_dict(), old.config, tmp_path / "old.safetensors", {})
    settings = {f"vmos__{k}": v for k, v in vars(grown).items()}
    recipe = dataclasses.replace(toy_recipe(), settings=settings)
    with caplog.at_level(logging.INFO):
        model = start_model(recipe, tmp_path / "old.safetensors")
    assert model.config == grown and "detail_decoder.correction.weight" in caplog.text
    state = model.state_dict()
    for name, value in old.state_dict().items():
        assert torch.equal(state[name], value.half().float()), name
    new = state.keys() - old.state_dict().keys()
    assert new and all("detail" in name for name in new)
    assert not state["detail_decoder.correction.weight"].any()
    assert state["detail_readout.weight"].tolist() == pytest.approx([0.3])
    with pytest.raises(CheckpointError, match="another network"):
        start_model(dataclasses.replace(recipe, settings={}), tmp_path / "old.safetensors")


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


def test_the_large_encoder_s_file_is_in_the_folder_of_all_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe("hqtrack-static")
    monkeypatch.setenv("HQTRACK_WEIGHTS", str(tmp_path))
    assert imagenet_file(InternImage()) == tmp_path / CLASSIFIER
    with pytest.raises(CheckpointError, match=rf"no weights at {tmp_path}.*make weights NAMES="):
        start_model(recipe)
    monkeypatch.setenv("HQTRACK_WEIGHTS", str(tmp_path / "gone"))
    with pytest.raises(CheckpointError, match=r"no weights folder .*gone"):
        start_model(recipe)
    monkeypatch.delenv("HQTRACK_WEIGHTS")
    assert imagenet_file(InternImage()) == weights_folder() / CLASSIFIER


def test_a_folder_of_another_network_is_refused_and_changed_settings_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = toy_run(tmp_path)
    run.save()
    toy_run(tmp_path, toy_recipe(7))
    assert "optimiser.steps was 6, is now 7" in caplog.text
    (tmp_path / "state.pt").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"state\.pt is damaged; .* remove it to begin anew"):
        toy_run(tmp_path)
    torch.save({"model": {}, "average": {}, "optimiser": {}, "step": 1}, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="another folder"):
        toy_run(tmp_path)


def test_exported_weights_load_and_give_the_same_logits(tmp_path: Path) -> None:
    run = toy_run(tmp_path / "run")
    train(run, ToyClips(), workers=0, steps=1)
    export(run, tmp_path / "out" / "toy.safetensors", "2 stills (a)")
    file = tmp_path / "out" / "toy.safetensors"
    assert recorded_digest(file) == sha256_of(file)
    _, network, notes = read_bundled(file)
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
