"""The registry of a workspace: which trackers its trackers.ini files name, and how."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tracker.checkout import REGISTRY
from tracker.vot.errors import VotError
from tracker.vot.text import read_text
from tracker.vot.workspace import Workspace


def registry_files(workspace: Workspace) -> list[Path]:
    """The files that the toolkit would read, in its order; missing ones are left out.

    Those that config.yaml names, those of $VOT_REGISTRY, and the workspace's own.
    """
    named = workspace.config().get("registry") or []
    named = named.split(",") if isinstance(named, str) else named
    found = []
    for name in [*named, *os.environ.get("VOT_REGISTRY", "").split(os.pathsep), "."]:
        path = (workspace.folder / str(name).strip()).resolve()
        found += [path / "trackers.yaml", path / "trackers.ini"] if path.is_dir() else [path]
    return [path for path in dict.fromkeys(found) if path.is_file()]


def read_registry(path: Path) -> dict[str, dict[str, Any]]:
    """Identifier -> settings of every tracker in one file; VotError when it cannot be read.

    Values of YAML are texts, as the toolkit takes them: `version: 1.10` is no number, `yes` is yes.
    """
    try:
        if path.suffix == ".yaml":
            return _checked(dict(yaml.load(read_text(path), Loader=yaml.BaseLoader) or {}))
        parser = configparser.ConfigParser()
        parser.read_string(read_text(path))
        return {section: dict(parser.items(section, raw=True)) for section in parser.sections()}
    except (configparser.Error, yaml.YAMLError, ValueError, TypeError) as error:
        raise VotError(f"{path} cannot be read: {error}") from error


def _checked(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """ValueError for a tracker without settings, of which the toolkit dies."""
    for name, section in table.items():
        if not isinstance(section, dict):
            raise ValueError(f"the tracker {name!r} has no settings, such as `command: ...`")
    return table


def own_section(workspace: Workspace, tracker: str) -> dict[str, Any]:
    """What the registry says of a tracker, in the file that the toolkit takes; {} if nothing."""
    identifier = tracker.partition("@")[0]
    tables = (read_registry(path) for path in registry_files(workspace))
    return dict(next((table[identifier] for table in tables if identifier in table), {}))


def variables_of(section: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables that a section sets, as the toolkit reads them."""
    listed = section.get("env")
    found = dict(listed) if isinstance(listed, dict) else {}
    for name, value in section.items():
        if name.startswith("env_") and len(name) > len("env_"):
            found[name.removeprefix("env_").upper()] = value
    return {name: os.path.expandvars(str(value)) for name, value in found.items()}


def check_known(workspace: Workspace, tracker: str) -> str:
    """The identifier of a tracker; VotError when no registry file has exactly this section."""
    identifier = tracker.partition("@")[0]
    if workspace.config().get("registry") is None:
        raise VotError(
            f"{workspace.folder / 'config.yaml'} names no registry, and the toolkit needs one; "
            f"add `registry: [{REGISTRY}]`"
        )
    files = registry_files(workspace)
    known = [name for path in files for name in read_registry(path)]
    if identifier not in known:
        where = ", ".join(map(str, files)) or f"{workspace.folder / 'config.yaml'}: registry"
        raise VotError(
            f"no tracker {identifier!r} in {where}; there are: {', '.join(known) or 'none'}"
        )
    return identifier


def check_identifier(workspace: Workspace, tracker: str) -> str:
    """The identifier of an entry, as registry and manifest must have it.

    VotError as `check_known`, and when it holds an underscore, which the evaluation server does
    not take.
    """
    identifier = check_known(workspace, tracker)
    if "_" in identifier:
        raise VotError(
            f"the identifier {identifier!r} holds an underscore, which a challenge does not take; "
            "rename its section of trackers.ini and its folder in results"
        )
    return identifier
