"""Trackers from presets: which weights run, and what is said when they are not there."""

from __future__ import annotations

import configparser
import logging
from pathlib import Path

import numpy as np
import pytest

import tracker
import tracker.vmos.loading
from tracker import checkout
from tracker.__main__ import main
from tracker.build import weights_folder
from tracker.checkpoints import CheckpointError
from tracker.config import ConfigError, FrameConfig, TrackerConfig, preset
from tracker.pipeline import HQTracker
from tracker.resident.options import options_from, parser
from tracker.vmos.loading import OFFICIAL_VMOS


@pytest.fixture(scope="module")
def light_model() -> object:
    import torch

    from tracker.vmos.model import VmosModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VmosModel(preset("hqtrack-lite").vmos).eval()


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, light_model: object) -> list[tuple]:
    """Stands in for reading the segmenter's weights; lists what was asked for."""
    asked: list[tuple] = []

    def load(config: TrackerConfig, folder: Path, network: type) -> object:
        asked.append((config, folder))
        return light_model

    monkeypatch.setattr(tracker.vmos.loading, "load_vmos", load)
    return asked


def test_without_official_weights_the_light_ones_run_and_say_so(
    tmp_path: Path, loaded: list[tuple], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        tracker = HQTracker.from_preset("hqtrack", tmp_path, "cpu", memory__interval=7)
    assert tracker.weights_note == (
        "hqtrack-lite bundled (official hqtrack weights not found); "
        "no refiner (sam_hq_vit_h.pth not found)"
    )
    assert OFFICIAL_VMOS in caplog.text and "hqtrack-lite bundled" in caplog.text
    config, folder = loaded[0]
    assert (config.name, config.memory.interval, folder) == ("hqtrack-lite", 7, tmp_path)
    assert config.vmos == preset("hqtrack-lite").vmos


def test_official_weights_run_where_they_are_present(tmp_path: Path, loaded: list[tuple]) -> None:
    (tmp_path / OFFICIAL_VMOS).touch()
    tracker = HQTracker.from_preset("hqtrack", tmp_path, "cpu", refiner__model=None)
    assert tracker.weights_note == f"hqtrack official ({OFFICIAL_VMOS}); no refiner"
    assert loaded[0][0] == preset("hqtrack", refiner__model=None)


def test_a_tracker_from_a_preset_tracks(tmp_path: Path, loaded: list[tuple]) -> None:
    tracker = HQTracker.from_preset("hqtrack-lite", tmp_path, "cpu", frame__min_pixels=None)
    assert tracker.weights_note == "hqtrack-lite bundled; no refiner"
    assert tracker.config.frame == FrameConfig(None, 270_000, None, None)
    image = np.zeros((20, 30, 3), np.uint8)
    assert tracker.initialize(image, [image[..., 0] == 0]).count == tracker.track(image).count == 1


def test_a_refiner_asked_for_by_name_must_be_there(tmp_path: Path, loaded: list[tuple]) -> None:
    with pytest.raises(CheckpointError, match=r"vit_tiny\.pth.*make weights"):
        HQTracker.from_preset("hqtrack-lite", tmp_path, "cpu", refiner__model="vit_tiny")
    with pytest.raises(ConfigError, match="vit_x"):
        HQTracker.from_preset("hqtrack-lite", tmp_path, "cpu", refiner__model="vit_x")


def test_bad_settings_are_errors(tmp_path: Path, loaded: list[tuple]) -> None:
    for arguments, message in [
        (("hqtrack-huge", tmp_path), "hqtrack-huge.*hqtrack-lite"),
        (("hqtrack", tmp_path, "warp9"), "warp9.*cpu"),
        (("hqtrack", tmp_path, "cuda:99"), "cuda:99.*cpu"),
        (("hqtrack", tmp_path, "hpu"), "hpu.*cpu"),
        (("hqtrack", tmp_path, "meta"), "meta.*cpu"),
    ]:
        with pytest.raises(ConfigError, match=message):
            HQTracker.from_preset(*arguments)
    with pytest.raises(ConfigError, match="memory__size"):
        HQTracker.from_preset("hqtrack", tmp_path, memory__size=3)
    assert not loaded


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("memory__capacity", 0),
        ("memory__short_term_lag", 0),
        ("memory__interval", "often"),
        ("frame__min_short_edge", 480.5),
        ("frame__stride", None),
        ("refiner__gate_iou", "half"),
        ("refiner__gate_iou", 1.5),
        ("presence__threshold", -0.1),
        ("memory__eviction", "random"),
        ("memory__incomplete", True),
        ("memory__objects_together", 0),
        ("memory__objects_together", 11),
    ],
)
def test_values_that_make_no_sense_are_named(
    tmp_path: Path, loaded: list[tuple], key: str, value: object
) -> None:
    with pytest.raises(ConfigError, match=f"{key} is {value!r}"):
        HQTracker.from_preset("hqtrack-lite", tmp_path, "cpu", **{key: value})


def test_every_tracker_of_the_registry_asks_for_settings_that_exist(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = configparser.ConfigParser()
    registry.optionxform = str
    registry.read_string((Path(tracker.__file__).parents[1] / "trackers.ini").read_text())
    together = {}
    for name, section in registry.items():
        for key in (key for key in section if key.startswith("env_")):
            monkeypatch.setenv(key.removeprefix("env_"), section[key])
        options = options_from(parser("", "").parse_args([]))
        together[name] = preset(options.preset, **dict(options.settings)).objects_together
        monkeypatch.undo()
    assert together.pop("HQTrackLiteApart") == 1 and set(together.values()) == {10}


def test_the_weights_folder_is_given_or_named_or_the_checkouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HQTRACK_WEIGHTS", raising=False)
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    monkeypatch.setattr(checkout, "WEIGHTS", tmp_path / "weights")
    for name in ("weights", "other"):
        (tmp_path / name).mkdir()
    assert weights_folder() == tmp_path / "weights"
    monkeypatch.setenv("HQTRACK_WEIGHTS", "other")
    assert weights_folder() == tmp_path / "other", "a relative one begins at the project"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HQTRACK_WEIGHTS", "~/other")
    assert weights_folder() == tmp_path / "other"
    monkeypatch.setenv("HQTRACK_WEIGHTS", str(tmp_path))
    assert weights_folder() == tmp_path
    with pytest.raises(CheckpointError, match=r"no weights folder .*gone.*HQTRACK_WEIGHTS"):
        weights_folder(tmp_path / "gone")


@pytest.mark.parametrize("command", ["run", "web", "bench", "eval"])
def test_every_command_that_takes_a_folder_of_weights_says_its_default(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "default: $HQTRACK_WEIGHTS, else weights/" in told
