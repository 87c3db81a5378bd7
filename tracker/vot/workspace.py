"""Workspaces of the toolkit: which one a command means, and what should lie in it.

The default one is `vot_workspace`, for the demo data. Other data and challenge stacks get
workspaces of their own in `runs/`, so that results never mix.
"""

from __future__ import annotations

import argparse
import configparser
import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tracker.vot.dataset import SequenceInfo, is_dataset, read_dataset
from tracker.vot.errors import VotError
from tracker.vot.expected import TrajectoryFile, expected_files
from tracker.vot.text import read_text, write_whole

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_WORKSPACE = ROOT / "vot_workspace"
RUNS = ROOT / "runs"
STACKS = DEFAULT_WORKSPACE / "stacks"
LOCAL_STACK = STACKS / "vots-local.yaml"
REGISTRY = ROOT / "trackers.ini"

_REFERENCE = re.compile("[A-Za-z0-9_-]+(@[A-Za-z0-9_-]*)?")

# Stacks that no tracker of this kind can run, and why.
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

POINT_STACKS = ("vots2026/point",)


@dataclass(frozen=True)
class Workspace:
    """A folder with a config.yaml.

    planned: what config.yaml will say when it is written, see `made`.
    """

    folder: Path
    planned: Mapping[str, Any] | None = field(default=None, compare=False)

    def config(self) -> dict[str, Any]:
        """config.yaml, or what is planned for it; VotError when there is neither."""
        path = self.folder / "config.yaml"
        if not path.is_file():
            if self.planned is not None:
                return dict(self.planned)
            raise VotError(f"{self.folder} is no workspace: there is no config.yaml")
        return _load_yaml(path)

    @property
    def sequences(self) -> Path:
        """The folder of the data set."""
        named = self.config().get("sequences", "sequences")
        if not isinstance(named, str):
            raise VotError(
                f"{self.folder / 'config.yaml'} says sequences: {named}; it must be one folder"
            )
        return self.folder / named

    def dataset(self) -> list[SequenceInfo]:
        """The sequences of the data set; VotError when it is missing."""
        return read_dataset(self.sequences)

    @property
    def stack_name(self) -> str:
        """The stack as config.yaml names it, "inline" when it is written there.

        A repaired copy of a stack of the toolkit has that stack's name.
        """
        stack = self.config().get("stack", "")
        if not isinstance(stack, str):
            return "inline"
        return stack.removesuffix(".yaml") if self.is_repaired else stack

    @property
    def is_repaired(self) -> bool:
        """Whether the stack is the repaired copy of one that comes with the toolkit."""
        stack = self.config().get("stack", "")
        return isinstance(stack, str) and stack in repaired_stacks()

    def stack(self) -> dict[str, Any]:
        """The stack's text as a mapping; VotError when it does not exist."""
        stack = self.config().get("stack")
        if isinstance(stack, dict):
            return stack
        if not stack:
            raise VotError(f"{self.folder / 'config.yaml'} names no stack")
        path = find_stack(stack, self.folder)
        if path is None and self.planned is not None:
            path = repaired_stacks().get(stack)
        if path is None:
            raise VotError(_no_stack(stack))
        return _load_yaml(path)

    def results(self, tracker: str) -> Path:
        """The folder of a tracker's results; VotError for what cannot name a tracker."""
        if not _REFERENCE.fullmatch(tracker):
            raise VotError(
                f"{tracker!r} names no tracker: letters, digits, `-`, `_`, and @version after them"
            )
        return self.folder / "results" / tracker

    def expected(self, tracker: str) -> list[TrajectoryFile]:
        """All trajectories that a complete evaluation leaves."""
        return expected_files(self.results(tracker), self.stack(), self.dataset())


def _load_yaml(path: Path) -> dict[str, Any]:
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


def _no_stack(name: str) -> str:
    return f"there is no stack {name!r}; `.venv/bin/vot configure` in an empty folder lists them"


def make_workspace(folder: Path, sequences: Path, stack: str) -> Workspace:
    """The workspace that `plan_workspace` plans, made."""
    return made(plan_workspace(folder, sequences, stack))


def plan_workspace(folder: Path, sequences: Path, stack: str) -> Workspace:
    """What `folder` would be as a workspace; VotError when it is one that says otherwise."""
    ours = _repaired(stack)
    config = {
        "registry": [os.path.relpath(REGISTRY, folder)],
        "sequences": os.path.relpath(sequences, folder),
        "stack": stack if ours is None else ours.relative_to(STACKS).as_posix(),
    }
    workspace = Workspace(folder, config)
    _check_as_planned(workspace)
    return workspace


def made(workspace: Workspace) -> Workspace:
    """The workspace, its config.yaml written if it was only planned.

    Of two commands at once that ask for different things one gets the folder, the other VotError.
    """
    config, folder = workspace.planned, workspace.folder
    if config is None:
        return workspace
    folder.mkdir(parents=True, exist_ok=True)
    _place_stack(folder, config["stack"])
    path = folder / "config.yaml"
    if not path.is_file():
        write_whole(path, yaml.safe_dump(dict(config)), keep=True)
    _check_as_planned(workspace)
    return Workspace(folder)


def _check_as_planned(workspace: Workspace) -> None:
    """VotError when the config.yaml that is there says something else than the planned one."""
    found, config = workspace.config(), workspace.planned
    for key in ("sequences", "stack"):
        if found.get(key) != config[key]:
            raise VotError(
                f"{workspace.folder / 'config.yaml'} says {key}: {found.get(key)}, you ask for "
                f"{config[key]}; name another WORKSPACE=folder, or remove this one"
            )


def repaired_stacks() -> dict[str, Path]:
    """Name of a stack's repaired copy in a workspace, `vots2025/realtime.yaml` -> our file."""
    files = (path for path in STACKS.rglob("*.yaml") if path != LOCAL_STACK)
    return {path.relative_to(STACKS).as_posix(): path for path in files}


def _repaired(stack: str) -> Path | None:
    """Our copy of a stack that the toolkit has broken, None where it needs none."""
    return repaired_stacks().get(f"{stack.removesuffix('.yaml')}.yaml")


def _place_stack(folder: Path, stack: str) -> None:
    """Put a repaired copy into the workspace, under the name that config.yaml has for it."""
    ours = _repaired(stack)
    if ours is None:
        return
    place, text = folder / stack, read_text(ours)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_file() or read_text(place) != text:
        write_whole(place, text)  # a toolkit that runs may be about to read it


DEFAULT_TRACKER = "HQTrack"
TRACKER_HELP = f"a section of trackers.ini (default {DEFAULT_TRACKER})"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which tracker and which workspace are meant."""
    parser.add_argument("--tracker", default=DEFAULT_TRACKER, help=TRACKER_HELP)
    parser.add_argument(
        "--sequences", type=Path, help="own data: a VOT data set, or any folder `convert` reads"
    )
    parser.add_argument("--stack", help="a challenge stack of the toolkit, such as vots2023")
    parser.add_argument("--workspace", type=Path, help="a workspace of your own")


def workspace_of(args: argparse.Namespace) -> Workspace:
    """The workspace that the arguments mean, as `plan` finds it; made when it is not there."""
    return made(plan(args))


def plan(args: argparse.Namespace) -> Workspace:
    """The workspace that the arguments mean; nothing is written yet.

    Data that are not in VOT format are expected, converted, in the workspace's `sequences`.
    Data that are there are looked through: VotError for what would fail in the midst of a run.
    """
    if args.stack in REFUSED_STACKS:
        raise VotError(f"cannot run {args.stack}: {REFUSED_STACKS[args.stack]}")
    if args.stack in POINT_STACKS and "trax" in _protocol(args.tracker):
        raise VotError(
            f"{args.stack} gives points, which TraX cannot carry: name a tracker of the folder "
            "protocol, TRACKER=HQTrackPoint"
        )
    workspace = _chosen(args)
    check_version(workspace, args.tracker)
    if is_dataset(workspace.sequences):
        workspace.expected(args.tracker)
    return workspace


def check_version(workspace: Workspace, tracker: str) -> None:
    """VotError when the registry gives a tracker a version, and `tracker` names none.

    The toolkit writes the results of such a tracker to NAME@VERSION.
    """
    from tracker.vot.registry import read_registry, registry_files

    for path in registry_files(workspace):
        version = read_registry(path).get(tracker, {}).get("version")
        if version is not None:
            raise VotError(
                f"{path} gives [{tracker}] version = {version}, and its results lie in "
                f"{tracker}@{version}; ask for TRACKER={tracker}@{version}"
            )


def _chosen(args: argparse.Namespace) -> Workspace:
    """The workspace of `workspace_of`, whatever its data are."""
    if args.workspace is not None and args.sequences is None and args.stack is None:
        return _known(Workspace(args.workspace.resolve()))
    if args.sequences is None and args.stack is None:
        return Workspace(DEFAULT_WORKSPACE)
    folder = (args.workspace or RUNS / _run_name(args.sequences, args.stack)).resolve()
    sequences = folder / "sequences"
    if args.sequences is not None:
        if not args.sequences.exists():
            raise VotError(f"there is no {args.sequences}")
        if is_dataset(args.sequences):
            sequences = args.sequences.resolve()
    stack = args.stack or os.path.relpath(LOCAL_STACK, folder)
    if find_stack(stack, folder) is None:
        raise VotError(_no_stack(stack))
    return plan_workspace(folder, sequences, stack)


def _protocol(tracker: str) -> str:
    """The protocol of a section of trackers.ini, "" where there is none."""
    registry = configparser.ConfigParser(interpolation=None)
    registry.read_string(read_text(REGISTRY))
    return registry.get(tracker.partition("@")[0], "protocol", fallback="")


def _known(workspace: Workspace) -> Workspace:
    """A workspace that is there; VotError when its stack cannot be run as it is."""
    stack = workspace.config().get("stack")
    if isinstance(stack, str) and f"{stack}.yaml" in repaired_stacks():
        raise VotError(
            f"vot-toolkit 0.9.0 cannot run {stack}: write `stack: {stack}.yaml` into "
            f"{workspace.folder / 'config.yaml'} and copy {STACKS / stack}.yaml to "
            f"{workspace.folder / stack}.yaml"
        )
    return workspace


def _run_name(sequences: Path | None, stack: str | None) -> str:
    parts = [stack or ""] if sequences is None else [sequences.resolve().name, stack or ""]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(part for part in parts if part)) or "run"
