"""The server under the real toolkit: `vot evaluate` and `vot test`."""

from __future__ import annotations

import configparser
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import PROJECT, SHAPE, Station, station, write_frame

pytestmark = pytest.mark.skipif(importlib.util.find_spec("vot") is None, reason="needs vot-toolkit")
SEQUENCES = ("first", "second", "third")
LENGTH = 6


@pytest.fixture
def here() -> Iterator[Station]:
    with station() as result:
        yield result


def write_workspace(here: Station, name: str, **trackers_ini: str) -> Path:
    """A workspace with three tiny sequences of two objects; the second one appears later."""
    workspace = here.folder / name
    for index, sequence in enumerate(SEQUENCES):
        write_sequence(workspace / "sequences" / sequence, start=5 + 3 * index)
    (workspace / "sequences" / "list.txt").write_text("\n".join(SEQUENCES) + "\n")
    (workspace / "config.yaml").write_text(
        "registry: [./trackers.ini]\nsequences: sequences\nstack:\n  title: Tiny\n"
        "  experiments:\n    baseline: {type: unsupervised, repetitions: 1, multiobject: true}\n"
    )
    shipped = configparser.ConfigParser()
    shipped.optionxform = str
    shipped.read(PROJECT / "trackers.ini")
    section = dict(shipped["HQTrack"])
    section["paths"] = os.pathsep.join([str(PROJECT), str(PROJECT / "tests")])
    section["env_HQTRACK_FACTORY"] = "static_tracker:make"
    section.update(trackers_ini)
    lines = [f"{key} = {value}" for key, value in section.items()]
    (workspace / "trackers.ini").write_text("\n".join(["[HQTrack]", *lines, ""]))
    return workspace


def write_sequence(folder: Path, start: int) -> None:
    for number in range(1, LENGTH + 1):
        write_frame(folder / "color" / f"{number:08d}.png")
    (folder / "sequence").write_text(
        f"channel.default=color\nchannels.color=color/%08d.png\nformat=default\nfps=24\n"
        f"height={SHAPE[0]}\nwidth={SHAPE[1]}\nlength={LENGTH}\nname={folder.name}\n"
    )
    first = [f"m{start + n},{start},8,8,0,64" for n in range(LENGTH)]
    second = ["0", "0", *(f"m{start + n},30,5,4,0,20" for n in range(2, LENGTH))]
    (folder / "groundtruth_1.txt").write_text("\n".join(first) + "\n")
    (folder / "groundtruth_2.txt").write_text("\n".join(second) + "\n")


def vot(here: Station, *arguments: str, cwd: Path, **env: str) -> subprocess.Popen[str]:
    """Start `vot`; see `output`."""
    return subprocess.Popen(
        [sys.executable, "-m", "vot", *arguments],
        cwd=cwd,
        env={**here.environment, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def output(process: subprocess.Popen[str]) -> str:
    """What `vot` printed; its exit status says nothing, so it is not looked at."""
    try:
        return process.communicate(timeout=90)[0]
    finally:
        process.kill()


def results(workspace: Path) -> dict[str, bytes]:
    """Contents of all result files but the times."""
    folder = workspace / "results"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if not path.name.endswith("_time.value")
    }


def test_two_workspaces_share_one_load_and_equal_a_server_in_the_process(here: Station) -> None:
    shared = [write_workspace(here, name) for name in ("left", "right")]
    processes = [vot(here, "evaluate", "HQTrack", cwd=workspace) for workspace in shared]
    for text in [output(process) for process in processes]:
        assert "Evaluation concluded successfuly" in text
    assert here.loads == 1
    [state] = here.states()
    assert state["sessions"] == 2 * len(SEQUENCES)

    alone = write_workspace(here, "alone", env_HQTRACK_IN_PROCESS="1")
    assert "successfuly" in output(vot(here, "evaluate", "HQTrack", cwd=alone))
    assert here.loads == 1 + len(SEQUENCES)

    expected = results(alone)
    assert [name for name in expected if name.endswith(".bin")] == [
        f"HQTrack/baseline/{sequence}/{sequence}_{number}_001.bin"
        for sequence in SEQUENCES
        for number in (1, 2)
    ]
    confidence = expected["HQTrack/baseline/first/first_2_001_confidence.value"].split(b"\n")
    assert confidence[:3] == [b"", b"", b"0.5000"]
    for workspace in shared:
        assert results(workspace) == expected


def test_a_damaged_frame_costs_its_sequence_and_no_more(here: Station) -> None:
    """`python -m tracker evaluate --persist`: the server goes on with the next sequence."""
    workspace = write_workspace(here, "damaged")
    frame = workspace / "sequences" / "first" / "color" / "00000004.png"
    frame.write_bytes(frame.read_bytes()[:-20])
    done = subprocess.run(
        [sys.executable, "-m", "tracker", "evaluate", "--persist", "--workspace", str(workspace)],
        cwd=PROJECT, env=here.environment, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == 1
    assert "HQTrack: 2 of 6 trajectories are missing or unsound" in done.stderr
    assert f"frame {frame} is a cut or damaged PNG" in done.stderr
    assert {name.split("/")[2] for name in results(workspace) if name.endswith(".bin")} == {
        "second", "third",
    }  # fmt: skip
    assert here.loads == 1
    [state] = here.states()
    assert state["sessions"] == len(SEQUENCES)


def test_the_reason_of_a_failed_start_reaches_the_terminal(here: Station) -> None:
    workspace = write_workspace(here, "broken", env_STATIC_FAULT="raise")
    processes = [
        vot(here, "evaluate", "HQTrack", cwd=workspace),
        vot(here, "test", "HQTrack", cwd=workspace),
    ]
    for text in [output(process) for process in processes]:
        assert "weights/static.pth is cut short: download it again" in text
        assert str(here.log) in text
        assert "successfuly" not in text
    assert "Traceback" in here.log.read_text()
    assert not results(workspace)


def test_the_reason_of_a_failure_of_the_folder_protocol_is_to_be_had(here: Station) -> None:
    """docs/vot-toolkit.md, 9: the toolkit alone tells an exit status."""
    workspace = write_workspace(
        here, "folder", protocol="folderpython", command="tracker.folder",
        env_HQTRACK_IDLE_SECONDS="soon",
    )  # fmt: skip
    registry = workspace / "trackers.ini"
    registry.write_text(registry.read_text().replace("timeout", "meta_timeout"))
    reason = "'soon' is no time in seconds"
    plain = output(vot(here, "evaluate", "HQTrack", cwd=workspace))
    assert "Tracker process exited with code 1" in plain and reason not in plain
    assert reason in here.log.read_text()
    assert reason in output(vot(here, "--debug", "evaluate", "HQTrack", cwd=workspace))
    done = subprocess.run(
        [sys.executable, "-m", "tracker", "evaluate", "--workspace", str(workspace)],
        cwd=PROJECT, env=here.environment, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == 1 and reason in done.stderr
