"""`python -m tracker run` with a stand-in tracker."""

from __future__ import annotations

import csv
import errno
import json
import logging
import os
import re
import signal
import weakref
from fractions import Fraction
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from safetensors import SafetensorError

from tracker.alone import alone_in
from tracker.cli import progress
from tracker.cli.run import main
from tracker.config import preset
from tracker.labels import MaskError, masks_to_labels
from tracker.media.masks import draw, palette, read_labels, read_objects, write_labels
from tracker.media.results import written_files
from tracker.media.sources import list_frames
from tracker.media.video import VideoWriter, open_frames
from tracker.out_of_memory import OutOfMemoryError
from tracker.prompts import BoxPrompt, fallback_mask
from tracker.saved import load_state, save_state
from tracker.stages import FrameResult

SHAPE = (32, 48)


class Mover:
    """Moves the objects one pixel to the right per frame; optionally fails at a frame."""

    weights_note = "stand-in"

    def __init__(self, fail_at: int | None = None, error: BaseException | None = None) -> None:
        self.count, self.calls, self.masks = 0, [], None
        self._fail_at, self._error = fail_at, error

    def initialize(self, image: np.ndarray, masks: list[np.ndarray]) -> FrameResult:
        if masks[0].shape != image.shape[:2]:
            raise MaskError("wrong shape")
        return self._answer("initialize", np.array(masks))

    def track(self, image: np.ndarray) -> FrameResult:
        if len(self.calls) == self._fail_at:
            raise self._error
        return self._answer("track", np.roll(self.masks, 1, axis=2))

    def add_objects(self, image: np.ndarray, masks: list[np.ndarray]) -> FrameResult:
        moved = np.roll(self.masks, 1, axis=2)
        return self._answer("add", np.concatenate([moved, masks]))

    def reset(self) -> None:
        self.__init__()

    def save_state(self, path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, self.masks)

    def load_state(self, path: Path) -> None:
        self.masks = np.load(path)
        self.count = len(self.masks)

    def _answer(self, call: str, masks: np.ndarray) -> FrameResult:
        self.calls.append(call)
        self.masks, self.count = masks, len(masks)
        confidence = np.full(self.count, 0.5, np.float32)
        return FrameResult(masks_to_labels(masks), confidence, np.zeros(self.count, bool))


class BoxMover(Mover):
    """Takes boxes too: a rectangle each."""

    def initialize(self, image: np.ndarray, masks: list) -> FrameResult:
        return super().initialize(image, filled(image, masks))

    def add_objects(self, image: np.ndarray, masks: list) -> FrameResult:
        return super().add_objects(image, filled(image, masks))


def filled(image: np.ndarray, objects: list) -> list[np.ndarray]:
    return [
        fallback_mask(np.zeros_like(image), one) if isinstance(one, BoxPrompt) else one
        for one in objects
    ]


def run(arguments: list[object], tracker: Mover | None = None) -> tuple[int, Mover]:
    tracker = tracker or Mover()
    code = main([str(a) for a in arguments], lambda *_, **__: tracker)
    return code, tracker


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six frames, whose names sort wrongly as text."""
    (tmp_path / "clip").mkdir()
    for number in range(6):
        image = np.full((*SHAPE, 3), 40 * number, np.uint8)
        Image.fromarray(image).save(tmp_path / "clip" / f"f{8 + number}.png")
    (tmp_path / "clip" / "notes.txt").write_text("not a frame")
    return tmp_path / "clip"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Two objects with a gap in their values."""
    values = np.zeros(SHAPE, np.uint8)
    values[4:8, 2:6], values[20:23, 10:20] = 7, 3
    write_labels(tmp_path / "first.png", values)
    return tmp_path / "first.png"


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "objects.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_folder_gives_masks_table_and_overlay(folder: Path, first: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, tracker = run([folder, "--mask", first, "--out", out])
    assert code == 0 and tracker.calls == ["initialize"] + ["track"] * 5
    names = sorted(path.name for path in (out / "masks").iterdir())
    assert names == [f"{number:08d}.png" for number in range(6)]
    with Image.open(out / "masks" / "00000002.png") as picture:
        assert picture.mode == "P"
        labels = np.array(picture)
    assert (labels[20:23, 12:22] == 1).all() and (labels[4:8, 4:8] == 2).all()
    assert (labels > 0).sum() == 30 + 16
    assert list(rows(out)[4].items()) == [
        *(("frame", "2"), ("time", "0.080000"), ("object", "1"), ("present", "1")),
        *(("x0", "12"), ("y0", "20"), ("x1", "21"), ("y1", "22")),
        *(("area", "30"), ("confidence", "0.5000"), ("refined", "0")),
    ]
    assert len(rows(out)) == 12
    video = cv2.VideoCapture(str(out / "overlay.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 6
    ok, image = video.read()
    assert ok and image.shape == (*SHAPE, 3)


def test_frames_of_a_folder_are_read_in_the_order_of_their_numbers(
    folder: Path, first: Path, tmp_path: Path
) -> None:
    seen: list[int] = []

    class Watcher(Mover):
        def track(self, image: np.ndarray) -> FrameResult:
            seen.append(int(image[0, 0, 0]))
            return super().track(image)

    run([folder, "--mask", first, "--out", tmp_path / "out"], Watcher())
    assert seen == [40, 80, 120, 160, 200]


@pytest.mark.parametrize("out", ["taken", "taken/deeper"])
def test_results_do_not_go_into_a_file(
    folder: Path, first: Path, tmp_path: Path, out: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("mine")
    code, tracker = run([folder, "--mask", first, "--out", tmp_path / out])
    assert code == 1 and not tracker.calls
    assert f"{tmp_path / 'taken'} is a file; results go into a folder" in caplog.text
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_video_file_is_read(first: Path, tmp_path: Path) -> None:
    code = cv2.VideoWriter.fourcc(*"mp4v")
    video = cv2.VideoWriter(str(tmp_path / "v.mp4"), code, 10, SHAPE[::-1])
    for number in range(4):
        video.write(np.full((*SHAPE, 3), (0, 0, 50 * number), np.uint8))
    video.release()
    colours: list[np.ndarray] = []

    class Watcher(Mover):
        def track(self, image: np.ndarray) -> FrameResult:
            colours.append(image.mean(axis=(0, 1)))
            return super().track(image)

    out = tmp_path / "out"
    assert run([tmp_path / "v.mp4", "--mask", first, "--out", out], Watcher())[0] == 0
    assert len(list((out / "masks").iterdir())) == 4
    np.testing.assert_allclose(colours[-1], (150, 0, 0), atol=8)


def test_objects_may_start_in_later_frames(folder: Path, first: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.png"
    Image.fromarray(np.pad(np.full((2, 2), 255, np.uint8), ((0, 30), (40, 6)))).save(later)
    out = tmp_path / "out"
    code, tracker = run([folder, "--mask", f"1={first}", f"3={later}", later, "--out", out])
    assert code == 0 and tracker.calls == ["initialize", "add", "track", "add", "track", "track"]
    assert tracker.count == 4
    code, tracker = run([folder, "--mask", f"2={first}", f"2={later}", "--out", tmp_path / "b"])
    assert code == 0 and tracker.calls == ["initialize", "track", "track", "track"]
    assert tracker.count == 3 and rows(tmp_path / "b")[0]["frame"] == "2"
    with Image.open(tmp_path / "b" / "masks" / "00000001.png") as picture:
        assert not np.array(picture).any()


def test_frames_of_several_sizes_fit_in_one_overlay(first: Path, tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    for number, shape in enumerate([SHAPE, (16, 24)]):
        Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(tmp_path / "clip" / f"{number}.png")

    class Shrinker(Mover):
        def track(self, image: np.ndarray) -> FrameResult:
            self.masks = self.masks[:, : image.shape[0], : image.shape[1]]
            return super().track(image)

    out = tmp_path / "out"
    arguments = [tmp_path / "clip", "--mask", first, "--out", out]
    assert run(arguments, Shrinker())[0] == 0
    assert int(cv2.VideoCapture(str(out / "overlay.mp4")).get(cv2.CAP_PROP_FRAME_COUNT)) == 2


class Interrupted(BoxMover):
    """Gets a Ctrl-C while it tracks frame `at`; the second one (`twice`) at once."""

    def __init__(self, at: int, twice: bool = False) -> None:
        super().__init__()
        self._at, self._twice = at, twice

    def track(self, image: np.ndarray) -> FrameResult:
        if len(self.calls) == self._at:
            os.kill(os.getpid(), signal.SIGINT)
            if self._twice:
                os.kill(os.getpid(), signal.SIGINT)
        return super().track(image)


def contents(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.mark.parametrize(("twice", "kept"), [(False, 4), (True, 3)])
def test_ctrl_c_keeps_what_was_done(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, twice, kept
) -> None:
    out = tmp_path / "out"
    before = signal.getsignal(signal.SIGINT)
    assert run([folder, "--mask", first, "--out", out], Interrupted(3, twice))[0] == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert f"interrupted; what was done so far is in {out}; the same command with" in caplog.text
    assert len(list((out / "masks").iterdir())) == kept and len(rows(out)) == 2 * kept
    assert len(json.loads((out / "objects.json").read_text())["frames"]) == kept
    assert int(cv2.VideoCapture(str(out / "overlay.mp4")).get(cv2.CAP_PROP_FRAME_COUNT)) == kept


def test_ctrl_c_before_the_first_answer_promises_no_results(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch
) -> None:
    def pressed(*_: object) -> FrameResult:
        raise KeyboardInterrupt

    monkeypatch.setattr(Mover, "initialize", pressed)
    out = tmp_path / "out"
    assert run([folder, "--mask", first, "--out", out])[0] == 130
    assert "interrupted; no frame was done" in caplog.text and str(out) not in caplog.text


@pytest.mark.parametrize("later", ["4", "1"])
def test_a_resumed_run_equals_one_that_was_never_stopped(
    folder: Path, first: Path, tmp_path: Path, later: str
) -> None:
    """Every file, bit for bit, with an object that starts after (before) the stop."""
    words = [folder, "--mask", first, "--box", f"{later}=20,4,6,5", "--rle"]
    run([*words, "--out", tmp_path / "whole"], BoxMover())
    out = tmp_path / "out"
    for at in (2, 0):
        tracker = Interrupted(at)
        extra = ["--resume"] if at == 0 else []
        assert run([*words, "--out", out, *extra], tracker)[0] == 130
    assert (out / "resume" / "run.json").is_file()
    code, tracker = run([*words, "--out", out, "--resume"], BoxMover())
    assert code == 0 and len(tracker.calls) == 2
    assert contents(out) == contents(tmp_path / "whole")


def test_a_crash_goes_on_from_the_last_state_that_was_saved(
    folder: Path, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [folder, "--mask", first]
    run([*words, "--out", tmp_path / "whole"])
    out = tmp_path / "out"
    monkeypatch.setattr(progress, "SAVE_SECONDS", -1)

    class Late(Mover):
        def track(self, image: np.ndarray) -> FrameResult:
            if len(self.calls) == 2:
                monkeypatch.setattr(progress, "SAVE_SECONDS", 1e9)
            return super().track(image)

    assert run([*words, "--out", out], Late(fail_at=4, error=OSError("disk full")))[0] == 1
    assert json.loads((out / "resume" / "run.json").read_text())["done"] == 2
    code, tracker = run([*words, "--out", out, "--resume"])
    assert code == 0 and len(tracker.calls) == 4
    assert contents(out) == contents(tmp_path / "whole")


def test_a_long_video_is_tracked_in_constant_memory(first: Path, tmp_path: Path) -> None:
    """However many frames pass, a handful is held at a time; the decoder's own apart."""
    with VideoWriter(tmp_path / "long.mp4", 30) as writer:
        for number in range(500):
            writer.add(np.full((*SHAPE, 3), number % 256, np.uint8))
    alive: list[weakref.ref] = []
    held: list[int] = []

    class Watcher(Mover):
        def track(self, image: np.ndarray) -> FrameResult:
            alive.append(weakref.ref(image))
            held.append(sum(one() is not None for one in alive))
            result = super().track(image)
            alive.append(weakref.ref(result))
            return result

    words = [tmp_path / "long.mp4", "--mask", first, "--out", tmp_path / "out"]
    assert run(words, Watcher())[0] == 0
    assert len(held) == 499 and max(held) <= 4
    assert len(rows(tmp_path / "out")) == 1000


def test_a_camera_runs_until_it_is_stopped_and_is_not_resumed(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", EndlessCapture)
    out = tmp_path / "out"
    assert run(["0", "--mask", first, "--out", out], Interrupted(3))[0] == 0
    monkeypatch.undo()
    assert len(rows(out)) == 8 and not (out / "resume").exists()
    assert int(cv2.VideoCapture(str(out / "overlay.mp4")).get(cv2.CAP_PROP_FRAME_COUNT)) == 4
    monkeypatch.setattr(cv2, "VideoCapture", EndlessCapture)
    assert run(["0", "--mask", first, "--out", out, "--resume"])[0] == 1
    assert "a camera cannot be resumed" in caplog.text


class EndlessCapture:
    """A camera that never stops."""

    def __init__(self, _: object) -> None:
        self.isOpened = lambda: True

    def read(self) -> tuple[bool, np.ndarray]:
        return True, np.zeros((*SHAPE, 3), np.uint8)

    def get(self, _: int) -> float:
        return 0.0

    def set(self, *_: object) -> None:
        pass

    def release(self) -> None:
        pass


def test_what_cannot_be_resumed_is_refused(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    words = [folder, "--mask", first, "--out", out]
    untouched = mock.Mock()
    assert main([*map(str, words), "--resume"], untouched) == 1 and not out.exists()
    assert "nothing to resume" in caplog.text and not untouched.called
    run(words, Interrupted(3))
    for more, message in [
        (["--box", "1,1,4,4"], "another objects"),
        (["--preset", "hqtrack-lite"], "another preset"),
    ]:
        assert run([*words, *more, "--resume"])[0] == 1 and message in caplog.text
    assert run(words)[0] == 1 and "go on with --resume" in caplog.text
    assert run([*words, "--overwrite"])[0] == 0 and not (out / "resume").exists()


def test_another_mask_or_video_under_the_same_name_is_not_gone_on_with(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = [folder, "--mask", first, "--out", tmp_path / "out"]
    run(words, Interrupted(3))
    earliest = list_frames(folder)[0]
    for file, said in (
        (first, "content of masks and prompts"),
        (earliest, "beginning of the video"),
    ):
        whole = file.read_bytes()
        Image.fromarray(255 - np.array(Image.open(file))).save(file)
        assert run([*words, "--resume"])[0] == 1
        assert f"was begun with another {said}" in caplog.text
        file.write_bytes(whole)
    assert run([*words, "--resume"])[0] == 0


def test_results_of_an_earlier_run_are_kept_unless_told(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = [folder, "--mask", first, "--out", tmp_path / "out"]
    assert run(arguments)[0] == 0
    (folder / "f13.png").unlink()
    assert run(arguments)[0] == 1 and "--overwrite" in caplog.text
    assert run([*arguments, "--overwrite"])[0] == 0
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 5


@pytest.mark.parametrize("word", ["--overwrite", "--resume"])
def test_two_runs_do_not_write_into_one_folder(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, word: str
) -> None:
    out = tmp_path / "out"
    words = [folder, "--mask", first, "--out", out]
    assert run(words, Mover(3, KeyboardInterrupt()))[0] != 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with alone_in(out):
        assert run([*words, word])[0] == 1
    assert f"another process writes into {out}; wait for it to end, or name" in caplog.text
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert run([*words, word])[0] == 0


def test_results_of_an_earlier_run_outlive_a_run_that_cannot_begin(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    words = [folder, "--mask", first, "--out", out]
    assert run(words)[0] == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    argv = [*map(str, words), "--overwrite", "--preset", "hqtrack-lit"]
    assert main(argv) == 1 and "unknown preset 'hqtrack-lit'" in caplog.text
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_video_in_the_folder_is_an_earlier_result_too(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    overlay = tmp_path / "overlay.mp4"
    overlay.write_bytes(b"mine")
    words = [folder, "--mask", first, "--out", tmp_path, "--no-overlay"]
    assert run(words)[0] == 1 and "as overlay.mp4" in caplog.text
    assert overlay.read_bytes() == b"mine"
    assert run([*words, "--overwrite"])[0] == 0 and not overlay.exists()


def test_bad_input_is_one_line_and_status_one(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blank, colour = tmp_path / "blank.png", tmp_path / "colour.png"
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(blank)
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(colour)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    small = tmp_path / "small.png"
    Image.fromarray(np.ones((5, 5), np.uint8)).save(small)
    lossy = tmp_path / "lossy.png"
    Image.fromarray(np.ones(SHAPE, np.uint8)).save(lossy, format="JPEG")
    cases = [
        ([tmp_path / "gone", "--mask", first], "no video file, folder"),
        ([tmp_path / "nothing", "--mask", first], "no frames"),
        ([tmp_path / "text.mp4", "--mask", first], "no video that can be read"),
        (
            [folder, "--mask", tmp_path / "gone.png"],
            r"cannot read mask [^ ]*gone\.png \(No such file or directory\); check",
        ),
        (
            [folder, "--mask", folder / "notes.txt"],
            r"cannot read mask [^ ]*notes\.txt \(no picture\); check",
        ),
        ([folder, "--mask", blank], "blank.png is empty"),
        ([folder, "--mask", colour], "colour.png is RGB"),
        ([folder, "--mask", lossy], "lossy.png is a JPEG.*save the mask anew as PNG"),
        ([folder, "--mask", small], "small.png: wrong shape"),
        (
            [folder, "--mask", first, f"9={first}"],
            "6 frames.*too late for --mask 9=.*first.png",
        ),
        ([folder, "--mask", first, "--set", "memory"], "--set takes"),
    ]
    for number, (arguments, message) in enumerate(cases):
        caplog.clear()
        assert run([*arguments, "--out", tmp_path / f"out{number}"])[0] == 1, message
        errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
        assert len(errors) == 1
        assert re.search(message, errors[0]), errors[0]


def test_a_run_says_where_its_results_are(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert run([folder, "--mask", first, "--out", tmp_path / "out"])[0] == 0
    assert caplog.messages[-1] == f"results in {tmp_path / 'out'}"


def test_a_corrupt_frame_is_named(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder / "f10.png"
    path.write_bytes(path.read_bytes()[:50])
    assert run([folder, "--mask", first, "--out", tmp_path / "out"])[0] == 1
    assert "f10.png" in caplog.text
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 2


def test_out_of_memory_is_one_line_and_keeps_what_was_done(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, words = tmp_path / "out", [folder, "--mask", first]
    full = OutOfMemoryError("the device has no memory left; track fewer objects")
    assert run([*words, "--out", out], Mover(fail_at=3, error=full))[0] == 1
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert errors == ["the device has no memory left; track fewer objects"]
    assert len(list((out / "masks").iterdir())) == 3 and len(rows(out)) == 6
    assert len(json.loads((out / "objects.json").read_text())["frames"]) == 3
    assert run([*words, "--out", tmp_path / "whole"])[0] == 0
    assert run([*words, "--out", out, "--resume"])[0] == 0
    assert contents(out) == contents(tmp_path / "whole")


def test_a_full_disk_is_told_with_the_way_to_go_on(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = [folder, "--mask", first, "--out", tmp_path / "out"]
    full = OSError(errno.ENOSPC, "No space left on device")
    assert run(words, Mover(3, full))[0] == 1
    assert f"No space left on device; make room for {tmp_path / 'out'}, then" in caplog.text
    assert run([*words, "--resume"])[0] == 0


def test_a_disk_that_is_full_when_the_state_is_saved_costs_the_frames_since_the_last(
    folder: Path, first: Path, tmp_path: Path, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`save_state` writes as the real tracker does; its library fails the second time."""
    words, out, write = [folder, "--mask", first], tmp_path / "out", safetensors.torch.save_file
    monkeypatch.setattr(progress, "SAVE_SECONDS", -1)

    class Saver(Mover):
        def save_state(self, path: Path) -> None:
            save_state(path, {"masks": torch.from_numpy(self.masks)}, {}, "toy")

        def load_state(self, path: Path) -> None:
            self.masks = load_state(path, "toy")[0]["masks"].numpy()
            self.count = len(self.masks)

    def full(tensors: dict, path: Path, metadata: dict) -> None:
        if path.name.startswith("state-2"):
            path.write_bytes(b"half")
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        write(tensors, path, metadata)

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    assert run([*words, "--out", out], Saver())[0] == 1
    assert f"state-2.safetensors'; make room for {out}, then go on with --resume" in caplog.text
    assert sorted(path.name for path in (out / "resume").iterdir()) == [
        *("frames.jsonl", "run.json", "state-1.safetensors")
    ]
    monkeypatch.setattr(safetensors.torch, "save_file", write)
    code, tracker = run([*words, "--out", out, "--resume"], Saver())
    assert code == 0 and len(tracker.calls) == 5
    assert run([*words, "--out", tmp_path / "whole"])[0] == 0
    assert contents(out) == contents(tmp_path / "whole")


def test_preset_and_settings_reach_the_tracker(folder: Path, first: Path, tmp_path: Path) -> None:
    asked: list[tuple] = []

    def make(*arguments: object, **settings: object) -> Mover:
        asked.append((arguments, settings))
        return Mover()

    words = [str(folder), "--mask", str(first), "--out", str(tmp_path / "o"), "--device", "cpu"]
    words += ["--preset", "hqtrack-lite", "--weights", "w", "--set", "memory__interval=7"]
    assert main([*words, "refiner__model=vit_b", "refiner__gate_iou=0.5"], make) == 0
    (arguments, settings) = asked[0]
    assert arguments == ("hqtrack-lite", Path("w"), "cpu")
    assert preset("hqtrack", **settings).memory.interval == 7
    assert settings["refiner__model"] == "vit_b" and settings["refiner__gate_iou"] == 0.5


def test_results_keep_the_times_of_the_video(tmp_path: Path) -> None:
    """In tables and overlay, also where frames come unevenly; masks in the table when asked."""
    times, clip, out = [0, Fraction(1, 20), Fraction(1, 2)], tmp_path / "clip.mp4", tmp_path / "o"
    with VideoWriter(clip, 20, Fraction(1, 90_000)) as writer:
        for time in times:
            writer.add(np.zeros((*SHAPE, 3), np.uint8), time)
    assert run([clip, "--box", "4,4,10,8", "--out", out, "--rle"], BoxMover())[0] == 0
    with open_frames(clip) as source, open_frames(out / "overlay.mp4") as overlay:
        assert [frame.time for frame in overlay] == times
        assert overlay.time_base == source.time_base
        told = json.loads((out / "objects.json").read_text())
        assert told["fps"] == pytest.approx(float(source.fps))
    assert [frame["time"] for frame in told["frames"]] == [float(time) for time in times]
    masks = [frame["objects"][0]["segmentation"]["size"] for frame in told["frames"]]
    assert masks == [list(SHAPE)] * 3
    assert [path.name for path in written_files(out)][3:] == [
        *("overlay.mp4", "objects.csv", "objects.json"),
    ]


def test_nothing_is_printed_on_stdout(
    folder: Path, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run([folder, "--mask", first, "--out", tmp_path / "out"])
    captured = capsys.readouterr()
    assert captured.out == "" and "frame/s" in captured.err


def test_the_palette_is_that_of_davis() -> None:
    start = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]]
    assert palette()[:5].tolist() == start
    assert palette()[[8, 255]].tolist() == [[64, 0, 0], [224, 224, 192]]
    assert len(np.unique(palette(), axis=0)) == 256


def test_masks_of_more_than_255_objects_are_written_and_read(tmp_path: Path) -> None:
    labels = np.arange(400, dtype=np.uint16).reshape(20, 20)
    write_labels(tmp_path / "deep.png", labels)
    objects = read_objects(tmp_path / "deep.png")
    assert len(objects) == 399 and objects[398, 19, 19]


@pytest.mark.parametrize(
    ("name", "kind", "second"),
    [("m.png", "?", 255), ("m.png", "<u2", 300), ("m.tif", ">u2", 300), ("m.tif", "<i4", 70_000)],
)
def test_masks_of_any_depth_give_their_values(
    tmp_path: Path, name: str, kind: str, second: int
) -> None:
    """One bit, which counts as 0 and 255; 16 bits of either order; 32 bits."""
    labels = np.array([[0, second, second], [0, 0, second]])
    Image.fromarray(labels.astype(kind)).save(tmp_path / name)
    values = read_labels(tmp_path / name)
    assert values.dtype.kind in "iu"
    np.testing.assert_array_equal(values, labels)
    np.testing.assert_array_equal(read_objects(tmp_path / name), [labels > 0])


def test_a_mask_that_was_changed_in_saving_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((16, 16), np.uint8)).save(tmp_path / "m.jp2")
    with pytest.raises(MaskError, match=r"m\.jp2 is a JPEG2000, .*save the mask anew as PNG"):
        read_objects(tmp_path / "m.jp2")


def test_an_overlay_leaves_the_background_alone() -> None:
    image = np.full((9, 9, 3), 100, np.uint8)
    labels = np.zeros((9, 9), np.uint16)
    labels[2:7, 2:7] = 257
    drawn = draw(image, labels)
    assert (drawn[labels == 0] == 100).all()
    np.testing.assert_array_equal(drawn[2, 2], (0, 255, 0))
    np.testing.assert_array_equal(palette()[2], (0, 128, 0))
    np.testing.assert_array_equal(drawn[4, 4], (55, 113, 55))
    wide = np.full((480, 640, 3), 100, np.uint8)
    square = np.zeros((480, 640), np.uint8)
    square[100:300, 100:300] = 2
    outline = (draw(wide, square)[200, 95:110] == (0, 255, 0)).all(axis=-1)
    assert np.flatnonzero(outline).tolist() == [5, 6]  # a 240th of the shorter side
