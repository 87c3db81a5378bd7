"""A workspace of the toolkit: a folder, its config.yaml, and what should lie in it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tracker.checkout import REGISTRY
from tracker.vot.dataset import SequenceInfo, read_dataset
from tracker.vot.errors import VotError
from tracker.vot.expected import TrajectoryFile, expected_files
from tracker.vot.stacks import (
    STACKS,
    find_stack,
    load_yaml,
    no_stack,
    place_stack,
    repaired_copy,
    repaired_stacks,
)
from tracker.vot.text import write_whole

_REFERENCE = re.compile("[A-Za-z0-9_-]+(@[A-Za-z0-9_-]*)?")


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
        return load_yaml(path)

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
        if not isinstance(stack, str) or not stack:
            raise VotError(
                f"{self.folder / 'config.yaml'} says stack: {stack}; it is the name of one, such "
                "as vots2023"
            )
        path = find_stack(stack, self.folder)
        if path is None and self.planned is not None:
            path = repaired_stacks().get(stack)
        if path is None:
            raise VotError(no_stack(stack))
        return load_yaml(path)

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


def plan_workspace(folder: Path, sequences: Path, stack: str) -> Workspace:
    """What `folder` would be as a workspace; VotError when it is one that says otherwise."""
    ours = repaired_copy(stack)
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
    place_stack(folder, config["stack"])
    path = folder / "config.yaml"
    if not path.is_file():
        write_whole(path, yaml.safe_dump(dict(config)), keep=True)
    _check_as_planned(workspace)
    return Workspace(folder)


def found(workspace: Workspace) -> Workspace:
    """The workspace as it lies in its folder; VotError when it is only planned."""
    if workspace.planned is not None and not (workspace.folder / "config.yaml").is_file():
        raise VotError(
            f"there is no workspace {workspace.folder} yet; `make evaluate` with the same "
            "variables makes it and its results"
        )
    return Workspace(workspace.folder)


def _check_as_planned(workspace: Workspace) -> None:
    """VotError when the config.yaml that is there says something else than the planned one."""
    found, config = workspace.config(), workspace.planned
    for key in ("sequences", "stack"):
        if found.get(key) != config[key]:
            raise VotError(
                f"{workspace.folder / 'config.yaml'} says {key}: {found.get(key)}, you ask for "
                f"{config[key]}; name another WORKSPACE=folder, or remove this one"
            )
