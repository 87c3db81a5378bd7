"""A note beside the results: which code, weights, settings and data made them.

The toolkit keeps results by name only. After a change of one of them it would go on
showing the old ones; the note makes that visible.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracker.checkout import ROOT
from tracker.vot import sums
from tracker.vot.fingerprint import fingerprint
from tracker.vot.text import write_whole
from tracker.vot.workspace import Workspace

_NAME = "made_by.json"
_UNRECORDED = "`vot evaluate` by itself leaves no record of it, `make evaluate` does"
_REMEDY = "FORCE=1 runs all again"


def read_records(workspace: Workspace, tracker: str) -> list[dict[str, Any]]:
    """The runs that made the results, oldest first; an empty list when nothing is known.

    A file that cannot be read counts as one run, of which only that is known: {"unknown": why}.
    """
    path = _path(workspace, tracker)
    try:
        records = json.loads(path.read_text())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        return [{"unknown": f"{path} could not be read: {error}"}]
    if isinstance(records, list) and all(isinstance(record, dict) for record in records):
        return records
    return [{"unknown": f"{path} held no list of runs"}]


@contextlib.contextmanager
def recorded(workspace: Workspace, tracker: str) -> Iterator[None]:
    """Around a run: notes before it what makes the results, so that a killed run is noted too.

    What made no results is taken out again. Results that no record tells of stay unknown. A data
    set that the run has downloaded is noted at the end, and which results there are then: a run
    that is killed leaves no note of them, so nothing is said of those.
    """
    folder = workspace.results(tracker)
    records, before = read_records(workspace, tracker), _results(workspace, tracker)
    if _made_by_others(folder, records):
        _write(_path(workspace, tracker), [*records, {"unknown": _UNRECORDED}])
    add_record(workspace, tracker)
    noted = sums.take(folder)
    try:
        yield
    finally:
        if _results(workspace, tracker) == before:
            sums.put(folder, noted)
            _write(_path(workspace, tracker), records)
        else:
            sums.put(folder, sums.of(folder))
            add_record(workspace, tracker)


def add_record(workspace: Workspace, tracker: str) -> None:
    """Note that the present code, weights, settings and data make results; the same only once."""
    records = read_records(workspace, tracker)
    mark = fingerprint(workspace, tracker)
    last = records[-1] if records else None
    if last and not any(_differs(last, key, mark) for key in mark):
        added = last | {key: value for key, value in mark.items() if value}
        if added == last:
            return
        records[-1] = added
    else:
        now = datetime.datetime.now().isoformat(timespec="seconds")
        records.append(mark | {"commit": commit(), "time": now})
    _write(_path(workspace, tracker), records)


def _path(workspace: Workspace, tracker: str) -> Path:
    return workspace.results(tracker) / _NAME


def _results(workspace: Workspace, tracker: str) -> dict[Path, tuple[int, int]]:
    """Size and time of change of every file of the results but the notes about them."""
    folder, notes = workspace.results(tracker), (_NAME, sums.NAME)
    paths = (path for path in folder.rglob("*") if path.name not in notes and path.is_file())
    return {path: ((stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths}


def _made_by_others(folder: Path, records: list[dict[str, Any]]) -> bool:
    """Whether there are results that no recorded run has left as they are."""
    return bool(sums.others(folder) if records else sums.trajectories(folder))


def _write(path: Path, records: list[dict[str, Any]]) -> None:
    """Whole or not at all: a full disk leaves the old record. No records: no file."""
    if not records:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # nothing was made in it
            path.parent.rmdir()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(records, indent=2) + "\n")


def stale(workspace: Workspace, tracker: str) -> str | None:
    """Why the results may not be those of the present code, weights, settings and data.

    The text ends with the remedy. None when they are, and when there are none.
    """
    records = read_records(workspace, tracker)
    if unknown := [record["unknown"] for record in records if "unknown" in record]:
        return f"what made the results (some or all) is not known: {unknown[0]}; {_REMEDY}"
    if _made_by_others(workspace.results(tracker), records):
        what = "results (some or all)" if records else "results"
        return f"{what} without a record of what made them: {_UNRECORDED}; {_REMEDY}"
    if not records:
        return None
    mark = fingerprint(workspace, tracker)
    changed = [key for key in mark if any(_differs(record, key, mark) for record in records)]
    if not changed:
        return None
    what = " and ".join(changed)
    return f"results (some or all) were made with other {what} than the present; {_REMEDY}"


def _differs(record: dict[str, Any], key: str, mark: dict[str, str]) -> bool:
    """Whether a record says something else; one of before `key` was noted says nothing of it.

    Neither says a mark anything of data or frames that are not there.
    """
    said = record.get(key, "")
    if key in ("data", "frames", "trackers.ini") and not (said and mark[key]):
        return False
    return said != mark[key]


def commit() -> str:
    """The commit of the project, with "+changes" where files differ from it; "" outside git, and
    where git gives no answer.
    """
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(*arguments: str) -> str:
    """What git says of the project's own repository; one around it is not looked for."""
    own = os.environ | {"GIT_CEILING_DIRECTORIES": str(ROOT.parent)}
    told = {"capture_output": True, "text": True, "check": True, "timeout": 30}
    return subprocess.run(["git", *arguments], cwd=ROOT, env=own, **told).stdout.strip()
