"""What is shown of the logs when an evaluation fails: only what it has added to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.serving import Station, station
from tests.vot_data import TESTS
from tests.vot_data import workspace as workspace
from tracker.resident.places import log_path
from tracker.vot import evaluate, toolkit
from tracker.vot.errors import VotError
from tracker.vot.logs import Logs
from tracker.vot.workspace import Workspace

_SERVED = """
[Served]
label = Served
protocol = traxpython
command = tracker.attach
paths = {project}:{tests}
timeout = 20
env_HQTRACK_FACTORY = static_tracker:make
env_HQTRACK_PRESET = hqtrack-lite
env_HQTRACK_RUNTIME_DIR = {runtime}
env_STATIC_FAULT = {fault}
"""


@pytest.fixture
def here():
    with station() as result:
        result.runtime.mkdir(mode=0o700)
        yield result


def _registry(workspace: Workspace, here: Station, fault: str) -> None:
    text = _SERVED.format(project=TESTS.parent, tests=TESTS, runtime=here.runtime, fault=fault)
    (workspace.folder / "trackers.ini").write_text(text)


def _log(here: Station, preset: str, text: str) -> Path:
    path = log_path(here.runtime, preset)
    with path.open("a") as file:
        file.write(text)
    return path


def test_only_what_this_evaluation_has_logged_is_shown(workspace: Workspace, here: Station) -> None:
    """The log of the tracker's preset, in the folder that its section names."""
    _registry(workspace, here, "raise")
    log = _log(here, "hqtrack-lite", "2026-01-01 ERROR of an evaluation long ago\n" * 3)
    with pytest.raises(VotError) as caught:
        evaluate.evaluate(workspace, "Served")
    shown = str(caught.value).split(f"end of {log}:\n")[1]
    assert "RuntimeError: weights/static.pth is cut short: download it again" in shown
    assert "long ago" not in str(caught.value)
    assert log.read_text().startswith("2026-01-01 ERROR of an evaluation long ago\n")


def test_a_log_of_another_preset_is_shown_where_the_own_has_nothing_new(
    workspace: Workspace, here: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preset may be named on the command line; and others may be evaluating at the same time."""
    _registry(workspace, here, "")
    monkeypatch.setenv("HQTRACK_PRESET", "hqtrack")  # the section goes before the environment
    own = _log(here, "hqtrack-lite", "old\n")
    known = Logs(workspace, "Served")
    assert known.added() == []
    other = _log(here, "hqtrack", "of the other\n")
    assert known.added() == [(other, "    of the other")]
    _log(here, "hqtrack-lite", "new\n")
    _log(here, "hqtrack", "later\n")
    assert known.added() == [(own, "    new")]


def test_a_log_that_began_anew_is_shown_from_its_beginning(
    workspace: Workspace, here: Station
) -> None:
    """The server moves a long log out of the way."""
    _registry(workspace, here, "")
    own = _log(here, "hqtrack-lite", "old\n" * 9)
    known = Logs(workspace, "Served")
    own.write_text("the first line\n")
    assert known.added() == [(own, "    the first line")]


def test_logs_of_earlier_tracker_errors_are_not_shown(workspace: Workspace) -> None:
    """Of the toolkit; even where they are a moment old."""
    for _ in range(2):
        before = set((workspace.folder / "logs").glob("Broken_*.log"))
        with pytest.raises(VotError) as caught:
            evaluate.evaluate(workspace, "Broken")
        (new,) = set((workspace.folder / "logs").glob("Broken_*.log")) - before
        assert f"end of {new}:\n" in str(caught.value)
        assert not any(str(path) in str(caught.value) for path in before)
    assert Logs(workspace, "Broken").added() == []


def test_the_newest_log_of_the_toolkit_is_shown(workspace: Workspace) -> None:
    known = Logs(workspace, "Still")
    for name, time in (("Still_b", 2e9), ("Still_a", 3e9), ("Still_c", 1e9)):
        path = workspace.folder / "logs" / f"{name}.log"
        path.write_text(f"of {name}\n")
        os.utime(path, (time, time))
    assert known.added() == [(workspace.folder / "logs/Still_a.log", "    of Still_a")]


def test_without_a_folder_for_servers_the_logs_of_the_toolkit_are_shown(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HQTRACK_RUNTIME_DIR", str(tmp_path / "file"))
    known = Logs(workspace, "Still")
    new = workspace.folder / "logs" / "Still_a.log"
    new.write_text("why\n")
    assert known.added() == [(new, "    why")]


def test_the_tail_of_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntwo\n\x1b[31mthree\x1b[0m\n@@TRAX:state\n")
    assert toolkit.tail(path, start=4) == "    two\n    three"
    assert toolkit.tail(path, 1, start=4) == "    three"
    assert toolkit.tail(path, start=400) == toolkit.tail(path) == "    one\n    two\n    three"
