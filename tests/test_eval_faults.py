"""The eval command on data with a fault: what was scored before is kept, the fault is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.test_eval import scene, write_video
from tracker.bench import eval_vos
from tracker.bench.floors import RepeatFirstMask
from tracker.out_of_memory import OutOfMemoryError

FRAMES = 5


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Videos `alpha` and `beta`, of five frames with one object; the tests damage `beta`."""
    root = tmp_path / "data"
    for name in ("alpha", "beta"):
        write_video(root, name, *zip(*(scene(t) for t in range(FRAMES)), strict=True))
    return root


def cut_frame(video: Path) -> Path:
    path = video / "frames/00002.png"
    path.write_bytes(path.read_bytes()[:-400])
    return path


def wide_frame(video: Path) -> Path:
    path = video / "frames/00002.png"
    Image.fromarray(np.zeros((64, 100, 3), np.uint8)).save(path)
    return path


def coloured_mask(video: Path) -> Path:
    path = video / "masks/00002.png"
    cv2.imwrite(str(path), np.zeros((64, 96, 3), np.uint8))
    return path


def small_mask(video: Path) -> Path:
    path = video / "masks/00002.png"
    Image.fromarray(np.ones((32, 96), np.uint8)).save(path)
    return path


def no_object(video: Path) -> Path:
    for path in (video / "masks").iterdir():
        Image.fromarray(np.zeros((64, 96), np.uint8)).save(path)
    return video / "masks"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_frame, "beta, frame 00002.png: "),
        (wide_frame, "beta, frame 00002.png: {path} is 100x64, the video 96x64"),
        (coloured_mask, "beta, frame 00002.png: mask {path} is RGB; save it indexed or grey"),
        (small_mask, "beta, frame 00002.png: {path} is 96x32, the video 96x64"),
        (no_object, "beta: no object in any of the 5 masks of its 5 frames in {path}"),
    ],
)
def test_scores_before_a_fault_are_kept_and_marked(
    data: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], Path], message: str
) -> None:
    path, out = damage(data / "beta"), data.parent / "scores.json"
    argv = ["--data", str(data), "--json", str(out)]
    assert eval_vos.main(argv, tracker=RepeatFirstMask) == 1
    said = capsys.readouterr()
    [error] = said.err.splitlines()
    assert error.startswith("eval: the scores are incomplete: " + message.format(path=path))
    assert str(path) in error
    assert said.out.count("MEAN, incomplete") == 3 and said.out.count("alpha") == 3
    assert "beta" not in said.out
    for method in json.loads(out.read_text()).values():
        assert f"eval: the scores are incomplete: {method['incomplete']}" == error
        assert [sequence["name"] for sequence in method["sequences"]] == ["alpha"]
        assert method["mean"]["j"] == method["sequences"][0]["mean"]["j"] > 0


def test_complete_scores_are_not_marked(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = data.parent / "scores.json"
    argv = ["--data", str(data), "--no-floors", "--json", str(out)]
    assert eval_vos.main(argv, tracker=RepeatFirstMask) == 0
    assert "incomplete" not in capsys.readouterr().out
    assert json.loads(out.read_text())["hqtrack-lite"]["incomplete"] is None


def test_a_tracker_without_memory_left_does_not_keep_the_floors_from_being_scored(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Large(RepeatFirstMask):
        def track(self, image: np.ndarray) -> None:
            raise OutOfMemoryError("no memory left")

    assert eval_vos.main(["--data", str(data)], tracker=Large) == 1
    said = capsys.readouterr()
    assert said.err == "eval: the scores are incomplete: alpha: no memory left\n"
    assert said.out.count("MEAN, incomplete") == 1 and said.out.count("beta") == 2


def test_a_fault_that_the_manifest_check_meets_is_named_before_anything_runs(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = [{"name": name, "frames": FRAMES} for name in ("alpha", "beta")]
    (data / "manifest.json").write_text(json.dumps({"sequences": facts}))
    path = coloured_mask(data / "beta")
    assert eval_vos.main(["--data", str(data)], tracker=RepeatFirstMask) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"eval: beta: mask {path} is RGB") and not said.out


def test_scores_that_cannot_be_written_are_printed(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", full)
    out = data.parent / "scores.json"
    argv = ["--data", str(data), "--no-floors", "--json", str(out)]
    assert eval_vos.main(argv, tracker=RepeatFirstMask) == 2
    said = capsys.readouterr()
    assert "beta" in said.out
    assert said.err == f"eval: cannot write the scores to {out} (no space left)\n"


def test_ctrl_c_keeps_the_scores_so_far_and_begins_nothing_more(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(RepeatFirstMask):
        videos = 0

        def initialize(self, image: np.ndarray, masks: np.ndarray) -> Any:
            Interrupted.videos += 1
            if Interrupted.videos == 2:
                raise KeyboardInterrupt
            return super().initialize(image, masks)

    out = data.parent / "scores.json"
    assert eval_vos.main(["--data", str(data), "--json", str(out)], tracker=Interrupted) == 130
    said = capsys.readouterr()
    assert said.err == "eval: the scores are incomplete: stopped by Ctrl-C\n"
    assert "alpha" in said.out and "beta" not in said.out and "repeat first mask" not in said.out
    [(name, method)] = json.loads(out.read_text()).items()
    assert (name, method["incomplete"]) == ("hqtrack-lite", "stopped by Ctrl-C")
    assert [sequence["name"] for sequence in method["sequences"]] == ["alpha"]


def test_one_by_one_without_a_tracker_is_refused(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert eval_vos.main(["--data", str(data), "--floors-only", "--one-by-one"]) == 2
    assert "--one-by-one needs the tracker that --floors-only leaves out" in capsys.readouterr().err
