"""Running the `vot` command: output shown live, a copy kept, one run a workspace at a time.

The exit status of `vot` says little (it is 0 after a tracker error, and 0 when packing is refused),
so callers look at the files it should have made.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tracker.alone import OccupiedError, alone_in, in_turn
from tracker.checkout import ROOT, on_python_path
from tracker.vot.errors import VotError
from tracker.vot.text import naming
from tracker.vot.workspace import Workspace

_SHOWN_LINES = 15
_SHOWN_COLUMNS = 300
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PROTOCOL = re.compile(r"@+TRAX:(?!quit)")


@dataclass(frozen=True)
class ToolkitRun:
    """What a run of `vot` left: exit status and the path of the copy of its output."""

    status: int
    log: Path

    def tail(self, lines: int = _SHOWN_LINES) -> str:
        """The last lines of the output, made readable."""
        return tail(self.log, lines)


def tail(path: Path, lines: int = _SHOWN_LINES, start: int = 0) -> str:
    """The last `lines` of a log after byte `start`, indented, for a person to read.

    A log that is shorter than `start` has begun anew. Left out: colours, earlier states of a
    progress bar, the protocol's own lines; long lines are cut.
    """
    content = path.read_bytes() if path.is_file() else b""
    text = content[start if start < len(content) else 0 :].decode(errors="replace")
    kept = [_COLOUR.sub("", line.rstrip().split("\r")[-1]) for line in text.rstrip().split("\n")]
    kept = [line for line in kept if not _PROTOCOL.match(line)]
    return "\n".join(f"    {line[:_SHOWN_COLUMNS]}" for line in kept[-lines:])


def run_toolkit(workspace: Workspace, command: str, *arguments: str) -> ToolkitRun:
    """Run `vot COMMAND --workspace ... ARGUMENTS`; raises KeyboardInterrupt as it comes.

    An error ends the toolkit too. PYTHONPATH gets the project's folder, so that trackers.ini and
    stacks may name its modules.
    """
    log = workspace.folder / "logs" / f"vot_{command}.log"
    log.parent.mkdir(exist_ok=True)
    line = [sys.executable, "-m", "vot", command, "--workspace", str(workspace.folder), *arguments]
    environment = on_python_path(os.environ) | {"PYTHONUNBUFFERED": "1"}
    with (
        log.open("wb", buffering=0) as copy,
        subprocess.Popen(
            line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=ROOT
        ) as process,
    ):
        try:
            _forward(process, copy, log)
            return ToolkitRun(process.wait(), log)
        except BaseException as error:
            # on Ctrl-C the terminal has sent the signal to the toolkit too; it ends its tracker
            if not isinstance(error, KeyboardInterrupt):
                process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
            process.kill()
            raise


def _forward(process: subprocess.Popen, copy: BinaryIO, log: Path) -> None:
    while data := process.stdout.read1(65536):
        with naming(log):
            copy.write(data)
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()


@contextlib.contextmanager
def analysing(workspace: Workspace) -> Iterator[None]:
    """Hold the cache of analyses and what is made of it; waits while another process has them."""
    folder = workspace.folder / "analysis"
    folder.mkdir(exist_ok=True)
    with in_turn(folder):
        yield


def clear_cache(workspace: Workspace) -> None:
    """Remove cached analyses: the toolkit does not notice that results have changed.

    Only within `analysing`: another process may be filling it.
    """
    remove_folder(workspace.folder / "cache")


def remove_folder(folder: Path) -> None:
    """Remove it with all that it holds; a missing one is fine. VotError when something stays."""
    if not os.path.lexists(folder):
        return
    if folder.is_symlink():
        raise VotError(f"{folder} cannot be removed: it is a symbolic link; remove it yourself")
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise VotError(f"{folder} cannot be removed: {error}; remove it yourself") from error


@contextlib.contextmanager
def exclusive(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace for one writer; VotError when another process has it."""
    folder = workspace.folder / "logs"
    folder.mkdir(exist_ok=True)
    try:
        with alone_in(folder):
            yield
    except OccupiedError as error:
        raise VotError(f"another evaluation is running in {workspace.folder}") from error
