"""The Makefile: every target, what it passes on, and that set-up is not repeated."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TARGETS = [
    "setup",
    "evaluate",
    "analysis",
    "report",
    "view",
    "pictures",
    "submit",
    "test",
    "demo",
    "weights",
    "bench",
    "train",
    "eval-vos",
    "parity",
    "web",
    "lint",
    "clean",
    "stop",
    "help",
]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


def _make(*arguments: str, folder: Path = ROOT) -> str:
    own = ("ARGS", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")  # of a `make test` that runs this
    environment = {name: value for name, value in os.environ.items() if name not in own}
    command = ["make", "--no-print-directory", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_view_names_a_tracker_for_results_only_when_one_was_given() -> None:
    assert "tracker view" in (bare := _make("-n", "view", "RESULTS=out/"))
    assert '"out/"' in bare and "--tracker" not in bare
    assert '--tracker "HQTrack"' in _make("-n", "view")
    assert '"out/" --tracker "Toy"' in _make("-n", "view", "RESULTS=out/", "TRACKER=Toy")


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_exists(target: str) -> None:
    _make("-n", target)


def test_help_is_the_default_and_names_every_target() -> None:
    text = _make()
    assert text == _make("help")
    assert [t for t in TARGETS if t != "help" and f"make {t} " not in text] == []


def test_variables_reach_the_command() -> None:
    line = _make("-n", "evaluate", "TRACKER=HQTrackLite", "SEQUENCES=my data", "FORCE=1")
    command = line.strip().splitlines()[-1]
    assert '--tracker "HQTrackLite" --sequences "my data"' in command
    assert command.split()[-1] == "--force"
    for target in ("submit", "analysis", "report", "view", "pictures"):
        line = _make("-n", target, "TRACKER=A", "STACK=vots2023", "WORKSPACE=my space")
        assert '--tracker "A"  --stack "vots2023" --workspace "my space"' in line
    assert 'tracker parity "my case.npz"' in _make("-n", "parity", "CASE=my case.npz")


@pytest.mark.parametrize("value", ["", "0", "no", "false", "False"])
def test_results_are_not_thrown_away_by_a_force_that_says_no(value: str) -> None:
    assert "--force" not in _make("-n", "evaluate", f"FORCE={value}")
    assert "--force" in _make("-n", "evaluate", "FORCE=yes")


def test_every_command_is_known() -> None:
    from tracker.__main__ import COMMANDS

    text = (ROOT / "Makefile").read_text()
    used = set(re.findall(r"-m tracker (\w+)", text))
    assert used and used <= set(COMMANDS)


def test_set_up_runs_once_and_again_when_the_requirements_change(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".venv").mkdir()
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    requirements = tmp_path / ".ci" / "requirements.txt"
    requirements.write_text("numpy\n")
    assert "pip install" in _make("-n", "demo", folder=tmp_path)
    stamp = tmp_path / ".venv" / ".ready"
    stamp.write_text("")
    assert "pip install" not in _make("-n", "demo", folder=tmp_path)
    later = stamp.stat().st_mtime + 5
    os.utime(requirements, (later, later))
    assert "pip install" in _make("-n", "demo", folder=tmp_path)


def test_clean_keeps_what_cannot_be_made_again(tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    for name in ("tracker/__pycache__", "tests", "weights", "runs/a", "vot_workspace/results/T"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "vot_workspace/config.yaml").write_text("")
    _make("clean", folder=tmp_path)
    left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*"))
    assert left == sorted(
        [
            "Makefile",
            "runs",
            "runs/a",
            "tests",
            "tracker",
            "vot_workspace",
            "vot_workspace/config.yaml",
            "weights",
        ]
    )
