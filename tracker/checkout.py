"""The folder in which this project lies: trackers.ini, weights/ and vot_workspace/ are in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "weights"
REGISTRY = ROOT / "trackers.ini"
DEFAULT_WORKSPACE = ROOT / "vot_workspace"


def on_python_path(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that finds the project's modules wherever it starts."""
    paths = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths)}
