"""The record of what made the results: before a run, after a killed one, and when damaged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.vot_data import trajectory
from tests.vot_data import workspace as workspace
from tracker.checkout import ROOT
from tracker.vot import evaluate, record, scores, submit, sums, toolkit
from tracker.vot.errors import VotError
from tracker.vot.fingerprint import fingerprint
from tracker.vot.workspace import Workspace


def _record(workspace: Workspace) -> Path:
    return workspace.results("Still") / "made_by.json"


def _noted(workspace: Workspace) -> str:
    return (workspace.results("Still") / sums.NAME).read_text()


def _settings(workspace: Workspace) -> list[str]:
    return [made["settings"] for made in record.read_records(workspace, "Still")]


def test_a_run_killed_and_resumed_with_other_settings_is_two_versions(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed with -9 as soon as the record is there: after it only the toolkit has run."""
    toolkit.remove_folder(workspace.results("Still"))
    command = [sys.executable, "-m", "tracker", "evaluate", "--tracker", "Still"]
    process = subprocess.Popen(
        [*command, "--workspace", str(workspace.folder)],
        cwd=ROOT,
        env=os.environ | {"HQTRACK_SET": "memory__interval=1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while not list(workspace.results("Still").rglob("*.bin")) and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert _settings(workspace) == ["HQTRACK_SET=memory__interval=1"]
    for path in workspace.results("Still").rglob("single*.bin"):
        path.unlink()
    monkeypatch.setenv("HQTRACK_SET", "memory__interval=2")
    evaluate.evaluate(workspace, "Still")
    both = ["HQTRACK_SET=memory__interval=1", "HQTRACK_SET=memory__interval=2"]
    assert _settings(workspace) == both
    assert "other settings than" in (record.stale(workspace, "Still") or "")
    notes = submit.check_before(workspace, "Still")
    assert any("several versions" in note for note in notes)
    text = submit.describe(workspace, "Still", _record(workspace), notes)
    assert [f"settings {settings}, data " in text for settings in both] == [True, True]


def _interrupted(where: Workspace, *_: str) -> None:
    trajectory(where).with_suffix(".bin").touch()
    raise KeyboardInterrupt


def test_an_interrupted_run_is_recorded_where_it_made_something(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HQTRACK_SET", "a__b=1")
    monkeypatch.setattr(toolkit, "run_toolkit", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate.evaluate(workspace, "Still")
    assert _settings(workspace) == ["", "HQTRACK_SET=a__b=1"]
    assert sums.of(workspace.results("Still")) == _noted(workspace)


def test_an_interrupted_run_that_made_nothing_leaves_all_notes(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = _noted(workspace)
    monkeypatch.setenv("HQTRACK_SET", "a__b=1")
    monkeypatch.setattr(toolkit, "run_toolkit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate.evaluate(workspace, "Still")
    assert _settings(workspace) == [""]
    assert _noted(workspace) == before != ""


def test_a_run_that_made_nothing_is_not_recorded(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HQTRACK_SET", "a__b=1")
    evaluate.evaluate(workspace, "Still")
    assert _settings(workspace) == [""]
    with pytest.raises(VotError, match="3 of 3 trajectories"):
        evaluate.evaluate(workspace, "Broken")
    assert record.read_records(workspace, "Broken") == []


def test_data_that_the_run_downloads_are_noted_after_it(workspace: Workspace) -> None:
    toolkit.remove_folder(workspace.results("Still"))
    names = workspace.sequences / "list.txt"
    hidden = names.rename(names.with_name("hidden"))
    with record.recorded(workspace, "Still"):
        assert [made["data"] for made in record.read_records(workspace, "Still")] == [""]
        hidden.rename(names)
        (workspace.results("Still") / "a.bin").write_bytes(b"1")
    (made,) = record.read_records(workspace, "Still")
    assert made["data"] == fingerprint(workspace, "Still")["data"] != ""


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"code"'])
def test_a_damaged_record_is_told_and_stays_told(workspace: Workspace, content: str) -> None:
    _record(workspace).write_text(content)
    assert "is not known: " in (record.stale(workspace, "Still") or "")
    trajectory(workspace).unlink()
    evaluate.evaluate(workspace, "Still")
    first, second = record.read_records(workspace, "Still")
    assert str(_record(workspace)) in first["unknown"]
    assert second.items() >= fingerprint(workspace, "Still").items()
    notes = submit.check_before(workspace, "Still")
    assert any("made_by.json" in note for note in notes)
    text = submit.describe(workspace, "Still", _record(workspace), notes)
    assert f"results made by what is not known: {_record(workspace)}" in text


def test_a_full_disk_leaves_the_old_record(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = json.loads(_record(workspace).read_text())

    def full(path: Path, text: str, encoding: str) -> None:
        path.write_bytes(b"")
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("HQTRACK_SET", "a__b=1")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        record.add_record(workspace, "Still")
    assert json.loads(_record(workspace).read_text()) == before
    assert not list(workspace.results("Still").glob("made_by.json.*"))


@pytest.mark.slow
def test_results_without_a_record_are_told_and_stay_told(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Made by the toolkit alone; a later `make evaluate` of what is missing knows its own part."""
    toolkit.remove_folder(workspace.results("Still"))
    assert record.stale(workspace, "Still") is None
    toolkit.run_toolkit(workspace, "evaluate", "Still")
    evaluate.evaluate(workspace, "Still")
    assert not _record(workspace).exists()
    reason = record.stale(workspace, "Still") or ""
    assert reason.startswith("results without a record of what made them: `vot evaluate` by")
    assert reason.endswith("; FORCE=1 runs all again")
    scores.show(workspace, "Still")
    assert f"\nnote: {reason}\n" in capsys.readouterr().out
    archive, text = submit.submit(workspace, "Still")
    assert f"\nwarning: {reason}\n" in archive.with_suffix(".txt").read_text() == text
    trajectory(workspace).unlink()
    evaluate.evaluate(workspace, "Still")
    first, second = record.read_records(workspace, "Still")
    assert list(first) == ["unknown"]
    assert second.items() >= fingerprint(workspace, "Still").items()
    assert "(some or all) is not known: `vot evaluate` by" in record.stale(workspace, "Still")
    evaluate.evaluate(workspace, "Still", force=True)
    assert record.stale(workspace, "Still") is None


def test_results_made_by_others_after_a_recorded_run_are_told_and_stay_told(
    workspace: Workspace,
) -> None:
    folder, changed = workspace.results("Still"), trajectory(workspace)
    checked = subprocess.run(["sha256sum", "-c", sums.NAME], cwd=folder, capture_output=True)
    assert checked.returncode == 0
    changed.write_bytes(changed.read_bytes()[:-1] + b"\0")
    assert sums.others(folder) == [str(changed.relative_to(folder))]
    reason = "results (some or all) without a record of what made them: `vot evaluate` by itself"
    assert (record.stale(workspace, "Still") or "").startswith(reason)
    before = sorted(path.read_bytes() for path in folder.glob("*.*"))
    with record.recorded(workspace, "Still"):  # a run that makes nothing changes no note
        assert sums.others(folder) == []  # as after one that was killed here
    assert sorted(path.read_bytes() for path in folder.glob("*.*")) == before
    with record.recorded(workspace, "Still"):
        (folder / "more.bin").write_bytes(b"1")
    assert sums.others(folder) == []
    assert "(some or all) is not known: `vot evaluate` by" in record.stale(workspace, "Still")
    assert ["unknown" in made for made in record.read_records(workspace, "Still")] == [0, 1, 0]


def test_results_that_are_gone_were_not_made_by_others(workspace: Workspace) -> None:
    trajectory(workspace).unlink()
    assert record.stale(workspace, "Still") is None
    evaluate.evaluate(workspace, "Still")
    assert record.stale(workspace, "Still") is None
    assert len(record.read_records(workspace, "Still")) == 1


def test_trajectories_of_both_forms_are_noted_and_folders_of_such_names_are_none(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "clip.txt"
    folder.mkdir()
    for name in ("b.txt", "a.bin", "a_time.value"):
        (folder / name).write_text(name)
    assert [path.name for path in sums.trajectories(tmp_path)] == ["a.bin", "b.txt"]
    sums.put(tmp_path, sums.of(tmp_path))
    (folder / "a_time.value").write_text("other")
    assert sums.others(tmp_path) == []
    (folder / "b.txt").write_text("other")
    assert sums.others(tmp_path) == ["clip.txt/b.txt"]
    (tmp_path / sums.NAME).write_bytes(b"\xff")
    assert sums.others(tmp_path) == ["clip.txt/a.bin", "clip.txt/b.txt"]
    assert sums.take(tmp_path) == "\ufffd" and sums.take(tmp_path) == ""
    sums.put(tmp_path, "")
    assert not (tmp_path / sums.NAME).exists()


def test_a_git_that_does_not_answer_gives_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("git", 30)

    monkeypatch.setattr(subprocess, "run", slow)
    assert record.commit() == ""


def test_the_commit_of_a_repository_around_the_project_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        name = ("-c", "user.name=a", "-c", "user.email=a@b.example")
        subprocess.run(["git", *name, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "--message", "outer")
    (tmp_path / "project").mkdir()
    monkeypatch.setattr(record, "ROOT", tmp_path)
    assert len(record.commit()) == 40
    monkeypatch.setattr(record, "ROOT", tmp_path / "project")
    assert record.commit() == ""
