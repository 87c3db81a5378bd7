"""Which files name the trackers of a workspace: as the toolkit finds them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.vot_data import workspace as workspace
from tracker.vot import evaluate, scores, toolkit
from tracker.vot.errors import VotError
from tracker.vot.fingerprint import fingerprint
from tracker.vot.registry import own_section, registry_files, variables_of
from tracker.vot.workspace import Workspace


def _configure(workspace: Workspace, **values: object) -> None:
    text = yaml.safe_dump({**workspace.config(), **values})
    (workspace.folder / "config.yaml").write_text(text)


def _own(path: Path, value: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"[Still]\nprotocol = trax\ncommand = {value}\n")
    return path


def test_files_are_taken_as_the_toolkit_takes_them(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held against the toolkit's own registry."""
    from vot.workspace import Workspace as Toolkits

    own = workspace.folder / "trackers.ini"
    first = _own(workspace.folder / "first/trackers.ini", "first")
    second = _own(workspace.folder / "second/mine.ini", "second")
    cases = [
        (["./first", "second/mine.ini"], "", [first, second, own], "first"),
        ("second/mine.ini", "", [second, own], "second"),
        ("second/mine.ini, ./first", "", [second, first, own], "second"),
        (["none.ini"], "", [own], "still_tracker"),
        ([], "", [own], "still_tracker"),
        ([], str(second), [second, own], "second"),
    ]
    for named, variable, files, command in cases:
        _configure(workspace, registry=named)
        monkeypatch.setenv("VOT_REGISTRY", variable)
        assert registry_files(workspace) == files
        assert own_section(workspace, "Still")["command"] == command
        if not variable:  # the toolkit reads the variable once in a process
            theirs = Toolkits.load(str(workspace.folder)).registry["Still"]
            assert Path(theirs.source) == next(f for f in files if command in f.read_text())


def test_a_registry_in_one_line_is_recorded(workspace: Workspace) -> None:
    mark = fingerprint(workspace, "Still")
    _configure(workspace, registry="./trackers.ini")
    assert fingerprint(workspace, "Still") == mark


@pytest.mark.parametrize("command", [evaluate, scores])
def test_an_unknown_tracker_is_told_before_anything_runs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys, command
) -> None:
    monkeypatch.setattr(toolkit, "run_toolkit", lambda *_: pytest.fail("ran"))
    assert command.main(["--workspace", str(workspace.folder), "--tracker", "still"]) == 1
    said = capsys.readouterr().err
    assert f"no tracker 'still' in {workspace.folder}/trackers.ini; there are: Still, Bro" in said
    assert sorted(path.name for path in workspace.results("x").parent.iterdir()) == ["Still"]


def test_a_run_that_made_nothing_leaves_no_folder(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(where: Workspace, *_: str) -> toolkit.ToolkitRun:
        assert (where.results("Broken") / "made_by.json").is_file()
        return toolkit.ToolkitRun(1, where.folder / "logs/vot_evaluate.log")

    monkeypatch.setattr(toolkit, "run_toolkit", nothing)
    with pytest.raises(VotError, match="3 of 3 trajectories"):
        evaluate.evaluate(workspace, "Broken")
    assert not workspace.results("Broken").exists()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"registry": None}, r"names no registry, .* add `registry: \[.*/trackers.ini\]`"),
        ({"sequences": ["a", "b"]}, r"says sequences: \['a', 'b'\]; it must be one folder"),
    ],
)
def test_a_configuration_that_the_toolkit_does_not_take_is_told(
    workspace: Workspace, values: dict[str, object], reason: str
) -> None:
    _configure(workspace, **values)
    with pytest.raises(VotError, match=reason):
        scores.show(workspace, "Still")


@pytest.mark.parametrize("section", ["", " 3", " [trax]"])
def test_a_tracker_without_settings_is_told(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], section: str
) -> None:
    (workspace.folder / "trackers.yaml").write_text(f"Still:{section}\n")
    _configure(workspace, registry=["trackers.yaml"])
    words = ["--workspace", str(workspace.folder), "--tracker", "Still"]
    for command in (evaluate, scores):
        assert command.main(words) == 1
        assert "trackers.yaml cannot be read: the tracker 'Still' has" in capsys.readouterr().err


def test_values_of_yaml_are_texts_as_the_toolkit_takes_them(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = workspace.folder / "trackers.yaml"
    path.write_text("Still: {protocol: trax, command: x, env: {A: yes, B: 010}, version: 1.10}\n")
    _configure(workspace, registry=["trackers.yaml"])
    assert variables_of(own_section(workspace, "Still")) == {"A": "yes", "B": "010"}
    words = ["--workspace", str(workspace.folder), "--tracker", "Still"]
    assert scores.main(words) == 1
    assert "ask for TRACKER=Still@1.10" in capsys.readouterr().err
