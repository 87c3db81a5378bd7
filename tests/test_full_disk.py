"""What the commands for VOT say when a file cannot be written: its path, with the reason."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vot_data import workspace as workspace
from tests.vot_data import write_frames
from tracker.checkout import ROOT
from tracker.vot import submit
from tracker.vot.text import naming
from tracker.vot.workspace import Workspace


def _limited(most: int, *arguments: str | Path) -> str:
    """The last line that a command of ours says where no file may have more than `most` bytes."""
    done = subprocess.run(
        [sys.executable, "-m", "tracker", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
        timeout=120,
    )
    assert done.returncode == 1
    return done.stderr.rstrip().splitlines()[-1]


@pytest.mark.parametrize(
    ("command", "most", "path"),
    [
        ("evaluate", 50, "results/Broken/made_by.json"),
        ("scores", 5, "logs/vot_analysis.log"),
        ("submit", 5, "logs/vot_pack.log"),
        ("view", 5, "reports/Still/view/001-pair/plot.svg"),
    ],
)
def test_the_file_that_could_not_be_written_is_named(
    workspace: Workspace, command: str, most: int, path: str
) -> None:
    tracker = "Broken" if command == "evaluate" else "Still"
    last = _limited(most, command, "--workspace", workspace.folder, "--tracker", tracker)
    assert last == f"{command} failed: [Errno 27] File too large: '{workspace.folder / path}'"


@pytest.mark.parametrize(("most", "name"), [(20, "sequence"), (200, "groundtruth_01.txt")])
def test_a_data_set_that_could_not_be_written_is_named(
    tmp_path: Path, most: int, name: str
) -> None:
    write_frames(tmp_path / "raw", "single", 12)
    last = _limited(most, "convert", tmp_path / "raw", tmp_path / "data")
    path = tmp_path / "data.part/single" / name
    assert last == f"convert failed: [Errno 27] File too large: '{path}'"


def test_the_scores_and_the_text_beside_an_entry_on_a_full_disk(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracker.vot import scores

    arguments = ["--workspace", str(workspace.folder), "--tracker", "Still"]
    table = workspace.folder / "analysis/Still-scores.csv"
    table.unlink()
    table.symlink_to("/dev/full")
    assert scores.main(arguments) == 1
    said = capsys.readouterr().err.rstrip()
    assert said.endswith(f"scores failed: [Errno 28] No space left on device: '{table}'")
    archive = workspace.folder / "Still.zip"
    archive.with_suffix(".txt").symlink_to("/dev/full")
    monkeypatch.setattr(submit, "pack", lambda *_: archive.write_bytes(b"") or archive)
    monkeypatch.setattr(submit, "verify_zip", lambda *_: None)
    assert submit.main(arguments) == 1
    place = archive.with_suffix(".txt")
    said = capsys.readouterr().err.rstrip()
    assert said.endswith(f"submit failed: [Errno 28] No space left on device: '{place}'")


def test_an_error_that_names_a_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"/none/a\.txt"), naming(tmp_path):
        Path("/none/a.txt").read_text()
    with pytest.raises(OSError, match=r"^without a number$"), naming(tmp_path):
        raise OSError("without a number")


def test_a_terminal_that_is_gone_is_not_called_a_file(workspace: Workspace) -> None:
    """`make evaluate 2>&1 | head`: the log could be written, the terminal could not."""
    code = (
        "import os, sys; from pathlib import Path; from tracker.vot import toolkit, workspace\n"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 2)\n"
        "try: toolkit.run_toolkit(workspace.Workspace(Path(sys.argv[1])), 'pack', 'Still')\n"
        "except OSError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(workspace.folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout == "[Errno 32] Broken pipe\n"
