"""A small data set and workspace for tests, and what a tracker that stands still gets on it."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tracker.vot import evaluate
from tracker.vot.convert import convert
from tracker.vot.stacks import LOCAL_STACK
from tracker.vot.workspace import Workspace

TESTS = Path(__file__).resolve().parent
LENGTH = 24
HEIGHT, WIDTH = 64, 96
TRACKERS = """
[Still]
label = Still
protocol = traxpython
command = still_tracker
paths = {tests}
timeout = 20

[Broken]
label = Broken
protocol = traxpython
command = still_tracker
paths = {tests}
timeout = 20
env_FAULT = raise
"""


def labels_of(name: str, frame: int) -> np.ndarray:
    """[H, W] uint8. `pair`: object 1 is absent in frames 8 to 20, object 3 starts in frame 3."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    if name != "pair":
        labels[10:30, 10 + frame : 40 + frame] = 1
        return labels
    if not 8 <= frame <= 20:
        labels[5:25, 5 + frame : 25 + frame] = 1
    if frame >= 3:
        labels[40:60, 60:80] = 3
    labels[0, :5] = 255
    return labels


def write_frames(root: Path, name: str, length: int = LENGTH, layout: str = "plain") -> None:
    """Frames and palette masks of a sequence, as NAME/frames with NAME/masks or as DAVIS has it."""
    frames, masks = root / name / "frames", root / name / "masks"
    if layout == "davis":
        frames, masks = root / "JPEGImages/480p" / name, root / "Annotations/480p" / name
    frames.mkdir(parents=True)
    masks.mkdir(parents=True)
    for number in range(length):
        labels = labels_of(name, number)
        picture = np.repeat(labels[..., None] % 255 * 60, 3, axis=2)
        Image.fromarray(picture).save(frames / f"{number:05d}.jpg")
        mask = Image.fromarray(labels)
        mask.putpalette([value for i in range(256) for value in (i, 255 - i, i // 2)])
        mask.save(masks / f"{number:05d}.png")


@functools.cache
def _evaluated(base: Path) -> tuple[Path, int]:
    write_frames(base / "raw", "pair")
    write_frames(base / "raw", "single")
    folder = base / "workspace"
    folder.mkdir()
    convert(base / "raw", folder / "sequences", copy=True)
    shutil.copyfile(LOCAL_STACK, folder / "stack.yaml")
    (folder / "trackers.ini").write_text(TRACKERS.format(tests=TESTS))
    (folder / "config.yaml").write_text(
        "registry: [./trackers.ini]\nsequences: sequences\nstack: stack.yaml\n"
    )
    return folder, evaluate.main(["--workspace", str(folder), "--tracker", "Still"])


@pytest.fixture
def workspace(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Workspace:
    """A copy, to be spoiled, of a workspace in which `Still` has been evaluated."""
    base = tmp_path_factory.getbasetemp() / "evaluated"
    folder, status = _evaluated(base)
    assert status == 0
    shutil.copytree(folder, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def trajectory(workspace: Workspace, sequence: str = "pair", object_id: str = "01") -> Path:
    """The binary trajectory of `Still`."""
    for file in workspace.expected("Still"):
        if (file.sequence.name, file.object_id) == (sequence, object_id):
            return file.files[0]
    raise LookupError(sequence)
