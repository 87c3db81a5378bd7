"""Which workspace and which tracker a command means.

The default workspace is `vot_workspace`, for the demo data. Other data and challenge stacks get
workspaces of their own in `runs/`, so that results never mix.
"""

from __future__ import annotations

import argparse
import configparser
import os
import re
from pathlib import Path

from tracker.arguments import some_path
from tracker.checkout import DEFAULT_WORKSPACE, REGISTRY, ROOT
from tracker.vot.dataset import is_dataset
from tracker.vot.errors import VotError
from tracker.vot.registry import read_registry, registry_files
from tracker.vot.stacks import (
    LOCAL_STACK,
    POINT_STACKS,
    REFUSED_STACKS,
    STACKS,
    find_stack,
    no_stack,
    repaired_stacks,
)
from tracker.vot.text import read_text
from tracker.vot.workspace import (
    Workspace,
    found,
    plan_workspace,
)

RUNS = ROOT / "runs"
DEFAULT_TRACKER = "HQTrack"
TRACKER_HELP = f"a section of trackers.ini (default {DEFAULT_TRACKER})"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which tracker and which workspace are meant."""
    parser.add_argument("--tracker", default=DEFAULT_TRACKER, help=TRACKER_HELP)
    parser.add_argument(
        "--sequences",
        type=some_path,
        help="own data: a VOT data set, or any folder `convert` reads",
    )
    parser.add_argument("--stack", help="a challenge stack of the toolkit, such as vots2023")
    parser.add_argument("--workspace", type=some_path, help="a workspace of your own")


def workspace_of(args: argparse.Namespace) -> Workspace:
    """The workspace that the arguments mean, as `plan` finds it; VotError when it is not there."""
    return found(plan(args))


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
        raise VotError(no_stack(stack))
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
