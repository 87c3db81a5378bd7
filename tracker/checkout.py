"""The folder in which this project lies: trackers.ini, weights/ and vot_workspace/ are in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "weights"
REGISTRY = ROOT / "trackers.ini"
DEFAULT_WORKSPACE = ROOT / "vot_workspace"
WEIGHTS_VARIABLE = "HQTRACK_WEIGHTS"


def in_project(path: str | Path) -> Path:
    """A path as settings name it, made absolute: a relative one begins at the project."""
    return ROOT / Path(path).expanduser()


def chosen_weights() -> Path:
    """The folder that $HQTRACK_WEIGHTS names, as `in_project`; else the project's own."""
    chosen = os.environ.get(WEIGHTS_VARIABLE)
    return in_project(chosen) if chosen else WEIGHTS


def on_python_path(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that finds the project's modules wherever it starts."""
    paths = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths)}
