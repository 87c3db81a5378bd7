"""`python -m tracker stop`: list and stop the resident servers of this user."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tracker.resident import wire
from tracker.resident.launch import connect, locked
from tracker.resident.places import PlaceError, lock_path, runtime_folder

_ANSWER_SECONDS = 5.0
_STOP_SECONDS = 15.0


def main(argv: list[str]) -> int:
    """Returns 0 when every server found has stopped (or there was none), else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tracker stop",
        description="Stop all resident servers of this user. A session that runs is ended, "
        "and the toolkit is told why.",
    )
    parser.add_argument("--list", action="store_true", help="only say which servers run")
    arguments = parser.parse_args(argv)
    try:
        folder = runtime_folder()
    except PlaceError as error:
        print(error, file=sys.stderr)
        return 1
    outcomes = [_visit(path, stop=not arguments.list) for path in sorted(folder.glob("*.sock"))]
    seen = [outcome for outcome in outcomes if outcome is not None]
    if not seen:
        print(f"no resident server runs (looked in {folder})")
    return 0 if all(seen) else 1


def _visit(path: Path, stop: bool) -> bool | None:
    """Report, and stop, the server behind one socket; None when there is none, False: it stays."""
    try:
        with locked(lock_path(path.parent)):
            connection = connect(path)
            if connection is None:
                path.unlink(missing_ok=True)
                return None
    except OSError as error:
        print(f"{path}: {error}", file=sys.stderr)
        return False
    with connection:
        messages = wire.Messages(connection)
        try:
            request = {"op": "stop", "reason": "stopped by `python -m tracker stop`"}
            wire.send(connection, request if stop else {"op": "status"})
            state = messages.next(_ANSWER_SECONDS)
            if state is not None:
                print(_line(state), end="" if stop else "\n", flush=True)
            if stop:
                messages.next(_STOP_SECONDS)
                print(" -> stopped")
        except TimeoutError:
            print(f"\n{path}: does not answer; end its process by hand", file=sys.stderr)
            return False
        except OSError:
            print(" -> gone")
    return True


def _line(state: dict[str, Any]) -> str:
    waiting = f", {state['waiting']} waiting" if state.get("waiting") else ""
    return (
        f"process {state.get('pid')}: {state.get('preset')}, {state.get('phase')}{waiting}, "
        f"{state.get('sessions')} sessions in {state.get('seconds')} s, log {state.get('log')}"
    )
