"""Composed videos: several objects, exact masks, the same for the same arguments."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tracker.training import compose
from tracker.training.errors import DataError
from tracker.training.library import Library
from tracker.training.sources import find_videos


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of 8 frames with one moving disc each; one is named as a validation sequence."""
    root, rng = tmp_path_factory.mktemp("videos"), np.random.default_rng(0)
    for name, colour in (("blackswan", 220), ("other", 30)):
        for part in ("frames", "masks"):
            (root / name / part).mkdir(parents=True)
        texture = cv2.GaussianBlur(rng.integers(0, 255, (120, 160, 3)).astype(np.uint8), (0, 0), 3)
        for t in range(8):
            mask = cv2.circle(np.zeros((120, 160), np.uint8), (50 + 4 * t, 60), 25, 1, -1)
            image = np.where(mask[..., None] > 0, np.uint8(colour), texture)
            Image.fromarray(image).save(root / name / f"frames/{t:05d}.png")
            Image.fromarray(mask).save(root / name / f"masks/{t:05d}.png")
    return root


def test_composed_videos_have_several_objects_and_can_be_scored(data: Path, tmp_path: Path) -> None:
    arguments = ["--clips", "2", "--frames", "5", "--size", "97"]
    for name in ("one", "same"):
        out = tmp_path / name
        assert compose.main(["--data", str(data), "--out", str(out), *arguments]) == 0
    videos = find_videos(tmp_path / "one")
    assert [video.name for video in videos] == ["composed_000", "composed_001"]
    for video in videos:
        first = np.array(Image.open(video.masks[0]))
        assert first.shape == (97, 97) and len(video.frames) == 5
        assert len(np.unique(first[first > 0])) >= 2
        for path in (*video.frames, *video.masks):
            same = tmp_path / "same" / path.relative_to(tmp_path / "one")
            assert path.read_bytes() == same.read_bytes()


def test_what_cannot_be_composed_is_an_error(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept.txt").write_text("x")
    assert compose.main(["--data", str(data), "--out", str(tmp_path)]) == 1
    assert "is not empty; name another folder" in capsys.readouterr().err
    assert compose.main(["--data", str(tmp_path), "--out", str(tmp_path / "new")]) == 1
    assert "no video with masks" in capsys.readouterr().err
    for folder in (tmp_path / "gone", tmp_path / "kept.txt"):
        assert compose.main(["--data", str(folder), "--out", str(tmp_path / "new")]) == 1
        assert f"there is no folder {folder}" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        compose.main(["--data", str(data), "--out", str(tmp_path / "kept.txt")])
    assert "kept.txt is a file, not a folder; name another" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "least"),
    [("--clips", "-1", 1), ("--clips", "0", 1), ("--frames", "0", 1), ("--size", "0", 16),
     ("--seed", "-1", 0)],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option, value, least
) -> None:
    with pytest.raises(SystemExit) as end:
        compose.main(["--data", str(data), "--out", str(tmp_path / "new"), option, value])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert f"{option}: '{value}' is no whole number from {least}" in told
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("fault", ["small", "turned", "damaged"])
def test_one_mask_that_cannot_be_used_is_told_before_the_first_video_is_made(
    data: Path, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(data, bad)
    mask, frame = bad / "other/masks/00007.png", bad / "other/frames/00007.png"
    if fault == "small":
        Image.fromarray(np.zeros((60, 160), np.uint8)).save(mask)
    elif fault == "turned":
        orientation = Image.Exif()
        orientation[0x0112] = 6
        Image.open(frame).save(frame, exif=orientation)
    else:
        mask.write_bytes(b"no picture")
    monkeypatch.setattr(compose.ClipDataset, "clip", lambda *_: pytest.fail("a video was made"))
    assert compose.main(["--data", str(bad), "--out", str(tmp_path / "new")]) == 1
    differ = f"video other: mask {mask} and frame {frame} differ in size (read as"
    told = {
        "small": f"{differ} 160x60 and 160x120); make the mask as large as its frame",
        "turned": f"{differ} 160x120 and 120x160); make the mask as large as its frame",
        "damaged": f"cannot read mask {mask} (no picture); check the path",
    }
    assert told[fault] in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_masks_of_half_the_size_are_used_where_both_are_reduced(data: Path, tmp_path: Path) -> None:
    """As in training: what is compared is what is read."""
    large = tmp_path / "large"
    shutil.copytree(data, large)
    for path, scale in [(p, 8 if "frames" in p.parts else 4) for p in large.glob("*/*/*.png")]:
        with Image.open(path) as picture:
            size = (picture.width * scale, picture.height * scale)
            picture.resize(size, Image.Resampling.NEAREST).save(path)
    words = ["--data", str(large), "--clips", "1", "--frames", "2", "--size", "97"]
    assert compose.main([*words, "--out", str(tmp_path / "new")]) == 0


def test_masks_of_another_size_than_their_frames_are_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(data, bad)
    masks = sorted(bad.glob("*/masks/*.png"))
    labels = np.zeros((60, 160), np.uint8)
    labels[10:50, 40:120] = 1
    for path in masks:
        Image.fromarray(labels).save(path)
    with pytest.raises(DataError, match=r"00000.png differ in size \(read as 160x60 and 160x120\)"):
        Library.open(bad).preload()
    words = ["--data", str(bad), "--out", str(tmp_path / "new"), "--frames", "5", "--size", "97"]
    assert compose.main(words) == 1
    told = capsys.readouterr().err
    assert "differ in size (read as 160x60 and 160x120); make the mask as large" in told
    assert any(f"mask {path} and frame {bad}" in told for path in masks)


def test_objects_of_masks_with_high_values_are_composed_like_any_other(
    data: Path, tmp_path: Path
) -> None:
    for name in ("low", "high"):
        shutil.copytree(data, tmp_path / name)
    for path in (tmp_path / "high").glob("*/masks/*.png"):
        Image.fromarray(255 * np.array(Image.open(path))).save(path)
    for name in ("low", "high"):
        compose.compose(tmp_path / name, tmp_path / f"{name}-out", 2, 3, 97, 0)
    made = sorted((tmp_path / "low-out").glob("*/*/*"))
    assert len(made) == 12
    for path in made:
        other = tmp_path / "high-out" / path.relative_to(tmp_path / "low-out")
        assert path.read_bytes() == other.read_bytes()
