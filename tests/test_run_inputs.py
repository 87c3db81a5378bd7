"""`python -m tracker run` deletes nothing that it reads; old results go when new ones come."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.test_run import SHAPE, BoxMover, Interrupted, contents, run
from tests.test_run import first as first
from tests.test_run import folder as folder
from tracker.media.masks import soft_values, write_labels
from tracker.media.sources import list_pictures
from tracker.media.video import VideoWriter

BOX = ["--box", "4,4,10,8"]


def refused(words: list[object], out: Path, caplog: pytest.LogCaptureFixture) -> str:
    """What is said; `out` and all in it is as before, and no tracker was asked."""
    caplog.clear()
    before = contents(out)
    code, tracker = run([*words, "--out", out, "--overwrite"], BoxMover())
    assert code == 1 and not tracker.calls and contents(out) == before
    return caplog.text


@pytest.mark.parametrize("link", [None, Path.symlink_to, Path.hardlink_to])
def test_a_mask_among_the_results_is_refused(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, link
) -> None:
    out = tmp_path / "out"
    assert run([folder, "--mask", first, "--out", out])[0] == 0
    mask = out / "masks" / "00000003.png"
    if link is not None:
        link(tmp_path / "link.png", mask)
        mask = tmp_path / "link.png"
    told = f"{mask} is read by this run, and its results in --out {out} would take the place"
    assert told in refused([folder, "--mask", mask], out, caplog)
    (tmp_path / "p.json").write_text(json.dumps({"objects": [{"mask": str(mask)}]}))
    assert told in refused([folder, "--prompts", tmp_path / "p.json"], out, caplog)
    assert run([folder, "--mask", mask, "--out", tmp_path / "other"])[0] == 0


@pytest.mark.parametrize("name", ["overlay.mp4", "objects.json", "resume/run.json"])
def test_a_source_or_prompts_among_the_results_are_refused(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    words = [folder, "--prompts", path]
    if name == "overlay.mp4":
        with VideoWriter(path) as writer:
            writer.add(np.zeros((*SHAPE, 3), np.uint8))
        words = [path, *BOX]
    else:
        path.write_text(json.dumps({"objects": [{"box": [4, 4, 10, 8]}]}))
    assert f"{path} is read by this run" in refused(words, tmp_path / "out", caplog)


@pytest.mark.parametrize("name", ["{:08d}.png", "{:03d}.png"])
def test_frames_where_the_masks_go_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Also with names of their own: masks would be frames of the next run."""
    frames = tmp_path / "out" / "masks"
    frames.mkdir(parents=True)
    for number in range(3):
        Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(frames / name.format(number))
    told = refused([frames, *BOX], tmp_path / "out", caplog)
    assert f"the masks would be written among the frames in {frames}" in told


def test_frames_that_results_would_take_the_place_of_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder of frames is another one: its pictures are links to those in `masks`."""
    frames, masks = tmp_path / "frames", tmp_path / "out" / "masks"
    masks.mkdir(parents=True)
    frames.mkdir()
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(masks / "00000000.png")
    (frames / "1.png").symlink_to(masks / "00000000.png")
    assert f"{frames / '1.png'} is read" in refused([frames, *BOX], tmp_path / "out", caplog)


@pytest.mark.parametrize("words", [[], ["--overwrite"]])
def test_pictures_with_other_names_are_no_results(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """Ground truth in `masks` beside which the results are written, and a folder `resume`."""
    project = tmp_path / "project"
    (project / "masks").mkdir(parents=True)
    (project / "resume").mkdir()
    (project / "resume" / "mine.txt").write_text("mine")
    values = np.zeros(SHAPE, np.uint8)
    values[4:8, 2:6] = 5
    for number in range(6):
        write_labels(project / "masks" / f"{number:05d}.png", values)
    before = contents(project)
    monkeypatch.chdir(project)
    assert run([folder, "--mask", "masks/00000.png", "--out", ".", *words])[0] == 0
    after = contents(project)
    assert {name: after.get(name) for name in before} == before
    assert sorted(set(after) - set(before)) == [
        *(f"masks/{number:08d}.png" for number in range(6)),
        *("objects.csv", "objects.json", "overlay.mp4"),
    ]


def test_tables_alone_are_earlier_results(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "objects.csv").write_text("mine")
    words = [folder, "--mask", first, "--out", tmp_path]
    assert run(words)[0] == 1 and "1 files of an earlier run, as objects.csv" in caplog.text
    assert (tmp_path / "objects.csv").read_text() == "mine"
    assert run([*words, "--overwrite"])[0] == 0


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_that_fails_in_its_first_frame_leaves_the_old_results(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, finished: bool
) -> None:
    out = tmp_path / "out"
    words = [folder, "--mask", first, "--out", out]
    assert run(words, None if finished else Interrupted(3))[0] == (0 if finished else 130)
    before = contents(out)
    small = tmp_path / "small.png"
    Image.fromarray(np.ones((5, 5), np.uint8)).save(small)
    assert run([folder, "--mask", small, "--out", out, "--overwrite"])[0] == 1
    assert re.search(r"small\.png: wrong shape", caplog.text) and contents(out) == before
    if not finished:
        code, tracker = run([*words, "--resume"])
        assert code == 0 and len(tracker.calls) == 2


def test_late_objects_that_do_not_fit_cost_no_old_results(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, clip = tmp_path / "out", tmp_path / "clip.mp4"
    with VideoWriter(clip) as writer:
        for _ in range(6):
            writer.add(np.zeros((*SHAPE, 3), np.uint8))
    narrow, prompts = tmp_path / "narrow.png", tmp_path / "p.json"
    write_labels(narrow, np.ones((SHAPE[0], 1), np.uint8))
    prompts.write_text(json.dumps({"objects": [{"frame": 2, "points": [[4, 500]]}]}))
    assert run([folder, "--mask", first, "--out", out])[0] == 0
    size = f"the frame is {SHAPE} (height, width)"
    for source in (folder, clip):
        mask = f"3={narrow}"
        told = refused([source, *BOX, "--mask", mask], out, caplog)
        assert f"--mask {mask}: the mask of object 1 has shape ({SHAPE[0]}, 1), {size}" in told
        told = refused([source, *BOX, "--box", "2=900,4,10,8"], out, caplog)
        assert "--box 2=900,4,10,8: " in told and "lies outside the frame" in told
        told = refused([source, *BOX, "--prompts", prompts], out, caplog)
        assert f"{prompts}: objects[0]: point (4, 500) lies outside the frame" in told
        told = refused([source, *BOX, "--mask", f"3={tmp_path / 'gone.png'}"], out, caplog)
        assert "gone.png" in told
    told = refused([clip, *BOX, "--box", "6=4,4,10,8"], out, caplog)
    assert f"{clip} has 6 frames, numbered from 0: too late for --box 6=4,4,10,8" in told
    words = [clip, *BOX, "--box", "5=4,4,10,8", "--out", out, "--overwrite"]
    assert run(words, BoxMover())[0] == 0


def test_a_late_mask_of_the_size_of_its_own_frame_starts(folder: Path, tmp_path: Path) -> None:
    """The frame is larger than the first one."""
    shape = SHAPE[0] + 8, SHAPE[1] + 4
    paths = list_pictures(folder)
    number, last = len(paths) - 1, paths[-1]
    cv2.imwrite(str(last), np.zeros((*shape, 3), np.uint8))
    labels = np.zeros(shape, np.uint8)
    labels[2:9, 3:7] = 1
    write_labels(tmp_path / "late.png", labels)
    words = [folder, "--mask", f"{number}={tmp_path / 'late.png'}", "--out", tmp_path / "o"]
    assert run(words)[0] == 0
    assert cv2.imread(str(tmp_path / "o" / "masks" / f"{number:08d}.png"), 0).shape == shape


def disc(radius: int, shape: tuple[int, int], smooth: bool = True) -> np.ndarray:
    """[H, W] uint8 of 0 and 255, between them only where `smooth`."""
    picture, middle = np.zeros(shape, np.uint8), (shape[1] // 2, shape[0] // 2)
    cv2.circle(picture, middle, radius, 255, -1)
    return cv2.GaussianBlur(picture, (0, 0), 1) if smooth else picture


@pytest.mark.parametrize(("radius", "shape"), [(8, SHAPE), (60, (240, 320)), (400, (1080, 1920))])
def test_a_mask_with_soft_edges_is_told_from_one_of_many_objects(
    tmp_path: Path, radius: int, shape: tuple[int, int]
) -> None:
    path = tmp_path / "mask.png"
    soft = disc(radius, shape)
    Image.fromarray(soft).save(path)
    assert soft_values(path) == len(np.unique(soft)) - 1 > 20
    write_labels(path, soft)
    assert soft_values(path) == 0
    Image.fromarray(disc(radius, shape, smooth=False)).save(path)
    assert soft_values(path) == 0
    squares = np.kron(np.arange(48, dtype=np.uint8).reshape(6, 8), np.ones((8, 8), np.uint8))
    Image.fromarray(squares).save(path)
    assert soft_values(path) == 0


def test_how_many_objects_start_is_told_and_a_soft_mask_warned_of(
    folder: Path, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    soft = tmp_path / "soft.png"
    Image.fromarray(disc(8, SHAPE)).save(soft)
    count = len(np.unique(disc(8, SHAPE))) - 1
    words = ["--mask", f"2={soft}", first, "--box", "3=1,1,5,5", "--out", tmp_path / "out"]
    assert run([folder, *words], BoxMover())[0] == 0
    started = [r.getMessage() for r in caplog.records if " in frame " in r.getMessage()]
    assert started == [
        *("2 objects start in frame 0", f"{count} objects start in frame 2"),
        "1 object starts in frame 3",
    ]
    (warning,) = (r.getMessage() for r in caplog.records if r.levelno == logging.WARNING)
    assert warning.startswith(f"--mask 2={soft}: a grey mask with {count} values")
    assert warning.endswith("threshold it at 128")
