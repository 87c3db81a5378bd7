"""What decides the results of a tracker: digests of code, weights, settings and data."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from tracker.checkout import ROOT, WEIGHTS_VARIABLE
from tracker.resident.options import DECIDING, VARIABLES
from tracker.vot.converted import noted_digest
from tracker.vot.dataset import frame_files, is_dataset, read_names
from tracker.vot.registry import own_section, variables_of
from tracker.vot.workspace import Workspace

_HASHED_WHOLE = 64 * 2**20
# parts of the package that cannot change an answer of the tracker
_UNRELATED = {"vot", "training", "bench", "cli", "doctor", "view", "web"}
# parts of a section of trackers.ini that cannot change one either, and the variables
_LEFT_OUT = re.compile("(label|timeout|env|env_.*)$")


def fingerprint(workspace: Workspace, tracker: str) -> dict[str, str]:
    """What decides the tracker's results in this workspace.

    code, weights, settings: see `program`. trackers.ini: the rest of the tracker's own section.
    data: the ground truth and the file `sequence` of every sequence, and the frames and masks
    that they were converted from. frames: those that the tracker is shown. Both "" while there
    are none.
    """
    section = own_section(workspace, tracker)
    variables = variables_of(section)
    rest = {name: str(value) for name, value in section.items() if not _LEFT_OUT.match(name)}
    rest |= {name: text for name, text in variables.items() if name not in VARIABLES}
    text = json.dumps(rest, sort_keys=True)
    return program(variables) | {
        "trackers.ini": hashlib.sha256(text.encode()).hexdigest()[:16],
        "data": _data(workspace),
        "frames": _frames(workspace),
    }


def program(variables: Mapping[str, str] | None = None, root: Path = ROOT) -> dict[str, str]:
    """Digests of the tracker's sources and weights; and its settings as they are written: the
    variables that can change an answer.

    variables: those that the tracker's section of trackers.ini sets; they go before the
    environment. The weights are those of $HQTRACK_WEIGHTS (a relative path begins at `root`, as
    for the server) and of `weights/`, which fills up what is not there. A file above 64 MiB counts
    by size and time of change, so that this stays quick.
    """
    chosen = {**os.environ, **(variables or {})}
    sources = [
        path
        for path in sorted((root / "tracker").rglob("*.py"))
        if not _UNRELATED & set(path.relative_to(root / "tracker").parts)
    ]
    folder = chosen.get(WEIGHTS_VARIABLE)
    folders = [root / Path(folder).expanduser()] if folder else []
    weights = {
        path.name: path
        for folder in [root / "weights", *folders]
        for path in sorted(folder.glob("*"))
        if path.suffix in (".pth", ".safetensors") and path.is_file()
    }
    settings = [name for name in DECIDING if name != WEIGHTS_VARIABLE]
    return {
        "code": _digest({path.relative_to(root).as_posix(): path for path in sources}),
        "weights": _digest(weights),
        "settings": " ".join(f"{name}={chosen[name]}" for name in settings if chosen.get(name)),
    }


def _data(workspace: Workspace) -> str:
    folder = workspace.sequences
    if not is_dataset(folder):
        return ""
    files = {"list.txt": folder / "list.txt"}
    for name in read_names(folder):
        for pattern in ("sequence", "groundtruth*.txt", "*.value"):
            found = sorted((folder / name).glob(pattern))
            files |= {f"{name}/{path.name}": path for path in found}
    total = _digest(files) + noted_digest(workspace)
    return hashlib.sha256(total.encode()).hexdigest()[:16]


def _frames(workspace: Workspace) -> str:
    """Over names and contents; above 64 MiB in all over names, sizes and times of change."""
    folder = workspace.sequences
    if not is_dataset(folder):
        return ""
    names = [name for name in read_names(folder) if (folder / name / "sequence").is_file()]
    files = {f"{name}/{file.name}": file for name in names for file in frame_files(folder / name)}
    size = sum(file.stat().st_size for file in files.values())
    return _digest(files, _HASHED_WHOLE if size <= _HASHED_WHOLE else -1) if files else ""


def _digest(paths: Mapping[str, Path | os.DirEntry[str]], whole: int = _HASHED_WHOLE) -> str:
    """Over names and contents; a file above `whole` bytes counts by size and time of change."""
    total = hashlib.sha256()
    for name, path in paths.items():
        total.update(name.encode() + b"\0")
        stat = path.stat()
        if stat.st_size > whole:
            total.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
        else:
            total.update(hashlib.sha256(Path(path).read_bytes()).digest())
    return total.hexdigest()[:16]
