"""`vot evaluate` killed with -9 in the middle: the next run goes on, and nothing is different."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.serving import PROJECT, Station, station, wait_until
from tracker.vot import evaluate
from tracker.vot.dataset import write_list, write_sequence
from tracker.vot.regions import UNKNOWN_LINE, encode_mask, format_mask
from tracker.vot.trajectory import read_trajectory
from tracker.vot.workspace import Workspace

pytestmark = [
    pytest.mark.timeout(500),
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vot") is None, reason="needs vot-toolkit"),
]
SEQUENCES = ("a", "b", "c")
LENGTH, HEIGHT, WIDTH = 6, 64, 96
TRACKER = """[HQTrack]
label = HQTrack
protocol = traxpython
command = tracker.attach
paths = {paths}
env_HQTRACK_FACTORY = lite_tracker:make
timeout = 120
"""


def write_data(folder: Path) -> None:
    """Two bright discs that move over noise; the second one starts in the third frame."""
    for number, name in enumerate(SEQUENCES):
        (folder / name / "color").mkdir(parents=True)
        noise = np.random.default_rng(number).integers(0, 60, (HEIGHT, WIDTH, 3), np.uint8)
        lines: dict[str, list[str]] = {"01": [], "02": []}
        for frame in range(LENGTH):
            picture = noise.copy()
            for object_id, centre, colour in (
                ("01", (20 + 4 * frame, 20 + number), (250, 200, 40)),
                ("02", (70 - 3 * frame, 45), (60, 220, 250)),
            ):
                mask = np.zeros((HEIGHT, WIDTH), np.uint8)
                cv2.circle(mask, centre, 10, 1, -1)
                picture[mask > 0] = colour
                lines[object_id].append(format_mask(encode_mask(mask)))
            cv2.imwrite(str(folder / name / "color" / f"{frame + 1:08d}.png"), picture)
        lines["02"][:2] = [UNKNOWN_LINE] * 2
        write_sequence(folder / name, lines, (WIDTH, HEIGHT), 24, ".png")
    write_list(folder, SEQUENCES)


def write_workspace(here: Station, name: str) -> Path:
    workspace = here.folder / name
    workspace.mkdir()
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "tests")])
    (workspace / "trackers.ini").write_text(TRACKER.format(paths=paths))
    (workspace / "config.yaml").write_text(
        f"registry: [./trackers.ini]\nsequences: {here.folder / 'data'}\nstack:\n  title: Tiny\n"
        "  experiments:\n    baseline: {type: unsupervised, repetitions: 1, multiobject: true}\n"
    )
    return workspace


def start(here: Station, workspace: Path, *command: str) -> subprocess.Popen[bytes]:
    """A command in a process group of its own; its output goes to a file."""
    with (workspace / "output").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *command, "--workspace", str(workspace)],
            cwd=PROJECT, env=here.environment, stdout=output, stderr=output,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip


def finish(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(200)
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """-9 for the whole group; the resident server is not in it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def results(workspace: Path) -> dict[str, bytes]:
    """Every result file but the times."""
    folder = workspace / "results" / "HQTrack" / "baseline"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith("_time.value")
    }


def test_a_killed_run_goes_on_and_equals_an_uninterrupted_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with station() as here:
        write_data(here.folder / "data")
        whole = write_workspace(here, "whole")
        finish(start(here, whole, "vot", "evaluate", "HQTrack"))
        expected = results(whole)
        trajectories = [name for name in expected if name.endswith(".bin")]
        assert len(trajectories) == 2 * len(SEQUENCES), (whole / "output").read_text()[-2000:]
        _tracks_the_discs(whole / "results" / "HQTrack" / "baseline")

        killed = write_workspace(here, "killed")
        process = start(here, killed, "vot", "evaluate", "HQTrack")
        wait_until(lambda: "a/a_02_001.bin" in results(killed), 200)
        kill(process)
        left = results(killed)
        assert 0 < len(left) < len(expected)
        # a machine that lost its power may keep names without their content
        broken = killed / "results" / "HQTrack" / "baseline" / "a" / "a_01_001.bin"
        broken.write_bytes(expected["a/a_01_001.bin"][:20])
        (broken.parent / "a_02_001.bin").write_bytes(b"")

        for name, value in here.environment.items():
            monkeypatch.setenv(name, value)
        evaluate.evaluate(Workspace(killed), "HQTrack")
        assert caplog.text.count("removed a damaged result") == 2
        assert results(killed) == expected


def _tracks_the_discs(folder: Path) -> None:
    """What is compared is an answer, not emptiness."""
    for sequence in SEQUENCES:
        last = read_trajectory(folder / sequence / f"{sequence}_01_001.bin")[-1]
        mask = last.mask((HEIGHT, WIDTH))
        assert mask[20 + SEQUENCES.index(sequence), 20 + 4 * (LENGTH - 1)]
        assert 100 < mask.sum() < 600
