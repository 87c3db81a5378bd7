"""A note beside the results: which code and weights made them.

The toolkit keeps results by name only. After a change of code or weights it would go on showing
the old ones; the note makes that visible.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tracker.vot.workspace import ROOT, Workspace

_NAME = "made_by.json"
_HASHED_WHOLE = 64 * 2**20
# parts of the package that cannot change an answer of the tracker
_UNRELATED = {"vot", "training", "bench", "cli"}


def fingerprint(root: Path = ROOT) -> dict[str, str]:
    """What decides the tracker's answers: digests of its sources, trackers.ini and weights.

    And the settings of $HQTRACK_SET, as they are written.

    The weights are those of $HQTRACK_WEIGHTS (a relative path begins at `root`, as for the server)
    and of `weights/`, which fills up what is not there. A file above 64 MiB counts by size and
    time of change, so that this stays quick.
    """
    sources = [
        path
        for path in sorted((root / "tracker").rglob("*.py"))
        if not _UNRELATED & set(path.relative_to(root / "tracker").parts)
    ]
    sources += [path for path in [root / "trackers.ini"] if path.is_file()]
    chosen = os.environ.get("HQTRACK_WEIGHTS")
    folders = [root / Path(chosen).expanduser()] if chosen else []
    weights = {
        path.name: path
        for folder in [root / "weights", *folders]
        for path in sorted(folder.glob("*"))
        if path.suffix in (".pth", ".safetensors") and path.is_file()
    }
    return {
        "code": _digest({path.relative_to(root).as_posix(): path for path in sources}),
        "weights": _digest(weights),
        "settings": os.environ.get("HQTRACK_SET", ""),
    }


def _digest(paths: dict[str, Path]) -> str:
    """Over names and contents."""
    total = hashlib.sha256()
    for name, path in paths.items():
        total.update(name.encode() + b"\0")
        stat = path.stat()
        if stat.st_size > _HASHED_WHOLE:
            total.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
        else:
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def read_records(workspace: Workspace, tracker: str) -> list[dict[str, Any]]:
    """The runs that made the results, oldest first; an empty list when nothing is known."""
    try:
        records = json.loads((workspace.results(tracker) / _NAME).read_text())
    except (OSError, ValueError):
        return []
    return records if isinstance(records, list) else []


def add_record(workspace: Workspace, tracker: str) -> None:
    """Note that the present code and weights have made results; the same ones only once."""
    folder = workspace.results(tracker)
    if not folder.is_dir():
        return
    records = read_records(workspace, tracker)
    mark = fingerprint()
    if records and all(records[-1].get(key, "") == value for key, value in mark.items()):
        return
    now = datetime.datetime.now().isoformat(timespec="seconds")
    records.append(mark | {"commit": commit(), "time": now})
    (folder / _NAME).write_text(json.dumps(records, indent=2) + "\n")


def stale(workspace: Workspace, tracker: str) -> str | None:
    """Why the results are not those of the present code and weights, None when they are."""
    records = read_records(workspace, tracker)
    if not records:
        return None
    mark = fingerprint()
    changed = [key for key in mark if any(record.get(key, "") != mark[key] for record in records)]
    if not changed:
        return None
    return f"results (some or all) were made with other {' and '.join(changed)} than the present"


def commit() -> str:
    """The commit of the project, with "+changes" where files differ from it; "" outside git."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()
