"""`python -m tracker submit`: check the results, run `vot pack`, verify the zip byte by byte.

The toolkit packs empty, truncated and short trajectories without a word. Beside the zip a text
says what is in it: which weights and code made the results, and whether it is a challenge entry.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import zipfile
from pathlib import Path

import yaml

from tracker.vot import beginnings, entry, record, registry, results, toolkit
from tracker.vot.chosen import add_arguments, workspace_of
from tracker.vot.errors import VotError
from tracker.vot.stacks import LOCAL_STACK
from tracker.vot.text import write_text
from tracker.vot.workspace import Workspace

# Sequences of the challenge test sets, to notice a partial data set (VOTS2023 to 2025 share one).
_SEQUENCES = {"vots2023": 144, "vots2024/main": 144, "vots2025/main": 144}
_SECRET = re.compile(r"token|secret|password|passwd|credential|api_?key", re.IGNORECASE)
_SHOWN_PROBLEMS = 12


def check_before(workspace: Workspace, tracker: str) -> list[str]:
    """Raise VotError when the results must not be packed; returns notes that do not forbid it."""
    registry.check_identifier(workspace, tracker)
    problems = results.check_results(workspace, tracker)
    _refuse(
        [problem for problem in problems if problem.fatal],
        "trajectories are missing or unsound",
        "`make evaluate` (with the same variables) runs what is missing",
    )
    _refuse(
        beginnings.check_beginnings(workspace, tracker),
        "trajectories do not show the objects that were given",
        "an entry of them would lose its score; look at them before anything else",
    )
    if "report" in workspace.config():
        raise VotError(
            f"{workspace.folder / 'config.yaml'} has a `report` section: `vot pack` dies of it"
        )
    notes = [f"note: {problem}" for problem in problems]
    stack, count = workspace.stack_name, len(workspace.dataset())
    if stack.endswith(LOCAL_STACK.name) or stack == "inline":
        notes.append("NOT A CHALLENGE ENTRY: packed with the local stack; use STACK=vots2023")
    elif _SEQUENCES.get(stack, count) != count:
        notes.append(f"NOT COMPLETE: {count} sequences, {stack} has {_SEQUENCES[stack]}")
    if reason := record.stale(workspace, tracker):
        notes.append(f"warning: {reason}")
    if len(record.read_records(workspace, tracker)) > 1:
        notes.append(
            "warning: several versions of code, weights, settings or data made these results"
        )
    return notes


def _refuse(problems: list[results.Problem], what: str, remedy: str) -> None:
    if problems:
        text = "\n".join(f"  {problem}" for problem in problems[:_SHOWN_PROBLEMS])
        raise VotError(f"{len(problems)} {what}:\n{text}\n{remedy}")


def pack(workspace: Workspace, tracker: str) -> Path:
    """Run `vot pack`; returns the new zip. VotError when it made none."""
    started = time.time() - 1
    run = entry.pack(workspace, tracker)
    found = [
        path
        for path in workspace.folder.glob(f"{tracker.partition('@')[0]}*.zip")
        if path.stat().st_mtime >= started
    ]
    if not found:
        raise VotError(f"`vot pack` made no zip:\n{run.tail()}\nwhole output: {run.log}")
    return max(found, key=lambda path: path.stat().st_mtime)


def packed_files(workspace: Workspace, tracker: str) -> dict[str, Path]:
    """Name in the zip -> file of the results, for all that must be in it."""
    table = {}
    for file in workspace.expected(tracker):
        values = file.stem.parent.glob(f"{file.stem.name}_*.value")
        for path in [*file.files[:1], *values]:
            table[f"{file.experiment}/{file.sequence.name}/{path.name}"] = path
    return table


def verify_zip(path: Path, workspace: Workspace, tracker: str) -> None:
    """Compare every member with the results, and the manifest with the workspace; or VotError."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            if damaged:
                raise VotError(f"{path}: {damaged} is damaged")
            _compare_members(archive, packed_files(workspace, tracker), path)
            _check_manifest(yaml.safe_load(archive.read("manifest.yml")), workspace, tracker)
    except (zipfile.BadZipFile, KeyError, yaml.YAMLError) as error:
        raise VotError(f"{path} is no sound package: {error}") from error


def _compare_members(archive: zipfile.ZipFile, files: dict[str, Path], path: Path) -> None:
    names = archive.namelist()
    if len(names) != len(set(names)):
        raise VotError(f"{path} holds a name twice")
    differences = {*files, "manifest.yml"} ^ set(names)
    if differences:
        raise VotError(f"{path} and the results differ in {sorted(differences)[:5]}")
    for name, file in files.items():
        if archive.read(name) != file.read_bytes():
            raise VotError(f"{path}: {name} differs from {file}")


def _check_manifest(manifest: dict, workspace: Workspace, tracker: str) -> None:
    identifier = tracker.partition("@")[0]
    if manifest.get("identifier") != identifier:
        raise VotError(f"the manifest names {manifest.get('identifier')!r}, not {identifier!r}")
    if isinstance(manifest.get("stack"), str) and manifest["stack"] != workspace.stack_name:
        raise VotError(
            f"the manifest names stack {manifest['stack']!r}, not {workspace.stack_name!r}"
        )
    settings = manifest.get("configuration", {})
    for part in ("env", "arguments"):
        for key in settings.get(part) or {}:
            if _SECRET.search(key):
                raise VotError(
                    f"the manifest would publish {key} of trackers.ini; take it out there"
                )


def describe(workspace: Workspace, tracker: str, archive: Path, notes: list[str]) -> str:
    """The text beside the zip."""
    weights = results.recorded_weights(workspace, tracker) or ["not stated by the tracker"]
    dataset = workspace.dataset()
    lines = [
        f"package: {archive.name} ({archive.stat().st_size} bytes)",
        f"tracker: {tracker} (must be the short name registered with the challenge)",
        f"stack: {workspace.stack_name}",
        f"sequences: {len(dataset)}, frames: {sum(info.length for info in dataset)}",
        *(f"weights: {text}" for text in weights),
        f"commit now: {record.commit() or 'not a git checkout'}",
    ]
    lines += [_made(made) for made in record.read_records(workspace, tracker)]
    return "\n".join([*lines, *notes]) + "\n"


def _made(made: dict[str, str]) -> str:
    """What a record says of one run."""
    if "unknown" in made:
        return f"results made by what is not known: {made['unknown']}"
    return (
        f"results made {made.get('time')} by commit {made.get('commit') or '?'}, "
        f"code {made.get('code')}, weights {made.get('weights')}, "
        f"settings {made.get('settings') or 'none'}, data {made.get('data') or 'not noted'}, "
        f"frames {made.get('frames') or 'not noted'}"
    )


def submit(workspace: Workspace, tracker: str) -> tuple[Path, str]:
    """Check, pack, verify; returns the zip and the text about it. VotError when anything is wrong.

    A zip that does not verify is removed.
    """
    with toolkit.exclusive(workspace):
        notes = check_before(workspace, tracker)
        archive = pack(workspace, tracker)
        try:
            verify_zip(archive, workspace, tracker)
        except VotError:
            archive.unlink()
            raise
        text = describe(workspace, tracker, archive, notes)
        write_text(archive.with_suffix(".txt"), text)
        return archive, text


def main(argv: list[str]) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tracker submit", description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        archive, text = submit(workspace_of(args), args.tracker)
    except (VotError, OSError) as error:
        print(f"\nsubmit failed: {error}", file=sys.stderr)
        return 1
    print(f"\n{text}\npacked and verified: {archive}")
    return 0
