"""Stacks of the toolkit: where their files are, which are repaired, which cannot be run."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import yaml

from tracker.checkout import DEFAULT_WORKSPACE
from tracker.vot.errors import VotError
from tracker.vot.text import read_text, write_whole

STACKS = DEFAULT_WORKSPACE / "stacks"
LOCAL_STACK = STACKS / "vots-local.yaml"

REFUSED_STACKS = {
    "vots2026/referral": "vot-toolkit 0.9.0 cannot run it with any tracker: TraX carries no texts, "
    "and ReferralExperiment.execute calls runtime.results(), which no runtime has",
    **dict.fromkeys(
        ("vot2015/tir", "vot2016/tir", "vot2019/rgbtir", "vot2020/rgbtir"),
        "its frames are thermal, or colour with thermal; HQTrack is trained on colour",
    ),
    **dict.fromkeys(
        ("vot2019/rgbd", "vot2020/rgbd", "vot2021/rgbd", "vot2022/rgbd", "vot2022/depth"),
        "its frames have depth; HQTrack is trained on colour",
    ),
}
"""Stacks that no tracker of this kind can run, and why."""

POINT_STACKS = ("vots2026/point",)
"""Stacks whose objects are given as points."""


def load_yaml(path: Path) -> dict[str, Any]:
    """The settings of a YAML file; VotError when it holds none."""
    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise VotError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise VotError(f"{path} holds no settings")
    return content


def find_stack(name: str, folder: Path) -> Path | None:
    """The file of a stack: relative to `folder`, or one that comes with the toolkit."""
    spec = importlib.util.find_spec("vot")
    if spec is None or spec.origin is None:
        raise VotError("the VOT toolkit is not installed: run `make setup`")
    integrated = Path(spec.origin).parent / "stack" / f"{name}.yaml"
    candidates = [Path(os.path.normpath(folder / name)), integrated]
    return next((path for path in candidates if path.is_file()), None)


def no_stack(name: str) -> str:
    """What to say where `find_stack` finds none."""
    return f"there is no stack {name!r}; `.venv/bin/vot configure` in an empty folder lists them"


def repaired_stacks() -> dict[str, Path]:
    """Name of a stack's repaired copy in a workspace, `vots2025/realtime.yaml` -> our file."""
    files = (path for path in STACKS.rglob("*.yaml") if path != LOCAL_STACK)
    return {path.relative_to(STACKS).as_posix(): path for path in files}


def repaired_copy(stack: str) -> Path | None:
    """Our copy of a stack that the toolkit has broken, None where it needs none."""
    return repaired_stacks().get(f"{stack.removesuffix('.yaml')}.yaml")


def place_stack(folder: Path, stack: str) -> None:
    """Put a repaired copy into the workspace, under the name that config.yaml has for it."""
    ours = repaired_copy(stack)
    if ours is None:
        return
    place, text = folder / stack, read_text(ours)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_file() or read_text(place) != text:
        write_whole(place, text)  # a toolkit that runs may be about to read it
