"""A note beside the results: which code, weights, settings and data made them.

The toolkit keeps results by name only. After a change of one of them it would go on
showing the old ones; the note makes that visible.
"""

from __future__ import annotations

import datetime
import json
import subprocess
from typing import Any

from tracker.vot.fingerprint import fingerprint
from tracker.vot.workspace import ROOT, Workspace

_NAME = "made_by.json"


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
    mark = fingerprint(workspace, tracker)
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
    mark = fingerprint(workspace, tracker)
    changed = [key for key in mark if any(_differs(record, key, mark) for record in records)]
    if not changed:
        return None
    return f"results (some or all) were made with other {' and '.join(changed)} than the present"


def _differs(record: dict[str, Any], key: str, mark: dict[str, str]) -> bool:
    """Whether a record says something else; one of before `key` was noted says nothing of it."""
    if key in ("data", "trackers.ini"):
        return record.get(key, "") not in ("", mark[key])
    return record.get(key, "") != mark[key]


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
