"""The train command from end to end, and several processes that train together."""

from __future__ import annotations

import ast
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from PIL import Image

import tracker.training
from tests.training_toys import ToyClips, toy_recipe, toy_run, train_in_team
from tracker.cli.train import _stop_signals, main
from tracker.training import parallel
from tracker.training.trainer import train

ROOT = Path(__file__).resolve().parents[1]
RECIPE = """
preset = "hqtrack-lite"
[start]
encoder = "none"
[clips]
frames = 3
size = 65
video = 0.0
composed = 0.0
[optimiser]
steps = 2
batch = 2
warmup = 1
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stills, and a video of three frames."""
    root = tmp_path_factory.mktemp("data")
    pairs = [(f"train_static/{{}}/toy_{k}.png", ToyClips()[k], 0) for k in range(2)]
    pairs += [(f"train_video/moving/{{}}/{t:05d}.png", ToyClips()[2], t) for t in range(3)]
    for pattern, clip, t in pairs:
        pictures = "images" if "static" in pattern else "frames"
        for part in (pictures, "masks"):
            (root / pattern.format(part)).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / pattern.format(pictures)), clip.frames[t][..., ::-1])
        Image.fromarray(clip.labels[t]).save(root / pattern.format("masks"))
    return root


def test_the_command_trains_validates_exports_and_goes_on(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.training.report._tensorboard", lambda *_: None)
    recipe, out = tmp_path / "tiny.toml", tmp_path / "run"
    recipe.write_text(RECIPE)
    command = [str(recipe), "--data", str(data), "--out", str(out), "--device", "cpu"]
    command += ["--workers", "0", "--validate", str(data / "train_video"), "--validate-frames", "3"]
    command += ["--export", str(tmp_path / "w" / "tiny.safetensors")]
    with caplog.at_level(logging.INFO):
        assert main([*command, "--minutes", "1e-9"]) == 0
        assert "RANDOM weights" in caplog.text
        assert "stopped at step 0 of 2" in caplog.text
        assert main(command) == 0
    assert "taken up at step 0" in caplog.text
    assert "stopped at step 2 of 2" in caplog.text
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2]
    assert set(lines[0]) == {"step", "jf", "j", "f"}
    assert (tmp_path / "w" / "tiny.safetensors").stat().st_size < 20_000_000
    assert json.loads((out / "recipe.json").read_text())["clips"]["size"] == 65


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hqtrack-video"], "--start FILE"),
        (["hqtrack-static", "--encoder-file", "gone.pth"], "gone.pth"),
        (["nothing"], "no recipe 'nothing'"),
        (["lite", "--data", "gone"], "gone"),
        (["lite", "--start", "gone.safetensors"], "gone.safetensors"),
        (["lite", "--validate", "gone"], "gone"),
        (["lite", "--device", "gpu"], "device 'gpu' cannot be used here"),
    ],
)
def test_what_cannot_be_used_is_named(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, arguments, message
) -> None:
    common = ["--data", str(data), "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert main([*arguments[:1], *common, *arguments[1:]]) == 1
    assert message in caplog.text
    assert not (tmp_path / "run" / "state.pt").exists()


def test_data_without_objects_end_a_run_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for part in ("images", "masks"):
        (tmp_path / "empty" / part).mkdir(parents=True)
        Image.new("L", (90, 70)).save(tmp_path / "empty" / part / "a.png")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    command = [str(tmp_path / "tiny.toml"), "--data", str(tmp_path / "empty"), "--device", "cpu"]
    with caplog.at_level(logging.ERROR):
        assert main([*command, "--out", str(tmp_path / "run"), "--workers", "1"]) == 1
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert line.startswith("clip 0: no object in frame 0") and "\n" not in line


@pytest.mark.parametrize("option", ["--threads", "--workers", "--validate-frames"])
def test_numbers_that_make_no_sense_are_refused_at_once(
    option: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["lite", "--data", str(data), "--out", str(tmp_path / "run"), option, "-1"]
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 2
    assert f"{option}: '-1' is no whole number from" in capsys.readouterr().err


def test_an_export_is_no_folder(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["lite", "--data", str(data), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit):
        main([*command, "--export", str(tmp_path)])
    assert f"--export: {tmp_path} is a folder" in capsys.readouterr().err


def test_of_several_processes_each_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "usable_device", lambda name: name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [parallel.local_device(name) for name in ("cuda", None)] == ["cuda", None]
    monkeypatch.setenv("LOCAL_RANK", "3")
    names = ("cuda", None, "cuda:1", "cpu")
    assert [parallel.local_device(name) for name in names] == ["cuda:3", "cuda:3", "cuda:1", "cpu"]


def test_signals_end_the_run_after_the_step() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with _stop_signals() as signalled:
        assert not signalled()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signalled()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_two_processes_train_as_one_does_on_the_joint_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    team = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    code = "import sys, pathlib, tests.training_toys as toys;"
    code += "toys.train_in_team(pathlib.Path(sys.argv[1]))"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, **team, "RANK": "1", "LOCAL_RANK": "1"},
    )
    alone = toy_run(tmp_path / "alone", toy_recipe(precision="float32", in_order=0.0), seed=0)
    train(alone, ToyClips(), workers=0, steps=1)
    with monkeypatch.context() as patch:
        for name, value in {**team, "RANK": "0", "LOCAL_RANK": "0"}.items():
            patch.setenv(name, value)
        ours = train_in_team(tmp_path)
    assert other.wait(60) == 0
    theirs = torch.load(tmp_path / "weights1.pt", weights_only=True)
    for name, value in ours.model.state_dict().items():
        assert torch.equal(value, theirs[name]), name
    assert (tmp_path / "rank0" / "state.pt").exists()
    assert not (tmp_path / "rank1" / "state.pt").exists()
    # After one step, the optimiser's first moment is the clipped gradient times 0.1.
    largest = max(s["exp_avg"].abs().max().item() for s in alone.optimiser.state.values())
    for (name, parameter), own in zip(
        alone.model.named_parameters(), ours.model.parameters(), strict=True
    ):
        moment = alone.optimiser.state[parameter]["exp_avg"]
        difference = (moment - ours.optimiser.state[own]["exp_avg"]).abs().max().item()
        assert difference < 1e-4 * moment.abs().max().item() + 1e-6 * largest, name
        assert moment.any(), name


def test_training_imports_neither_sessions_nor_what_stands_above() -> None:
    above = ("vmos.session", "pipeline", "serve", "resident", "bench", "cli", "refiner", "vot")
    for file in Path(tracker.training.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{a.name}" for a in node.names]
            for part in above:
                assert not any(f"{n}.".startswith(f"tracker.{part}.") for n in names), file
