"""Connecting to the resident server; starting it when there is none."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tracker.checkout import ROOT, on_python_path
from tracker.resident.options import ServeOptions
from tracker.resident.places import Place

_BACKLOG = 64
_LONGEST_LOG = 5 << 20


@dataclass
class Link:
    """A connection to a server; `process` is the server when this call has started it.

    `log_start` is where the log ended before that, in bytes.
    """

    connection: socket.socket
    process: subprocess.Popen[bytes] | None
    log_start: int


def connect_or_start(options: ServeOptions, place: Place) -> Link:
    """A connection to the server at this place, which is started when nothing listens there.

    The listening socket is made here and inherited by the server, so the connection stands at
    once, and breaks when the server dies. Raises OSError when sockets do not work here.
    """
    with locked(place.lock):
        connection = connect(place.socket)
        if connection is not None:
            return Link(connection, None, 0)
        with listen(place.socket) as listener:
            log_start = _begin_log(place.log)
            process = _spawn(options, place, listener)
            connection = connect(place.socket)
        if connection is None:
            raise ConnectionError(f"the server at {place.socket} cannot be reached")
        return Link(connection, process, log_start)


def connect(path: Path) -> socket.socket | None:
    """A connection to a server's socket, None when nobody listens there (or it is gone)."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    return connection


def listen(path: Path) -> socket.socket:
    """A listening socket; a stale one in its place is taken away. Hold the lock."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file lock; the system releases it when the process dies."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def last_line(log: Path, start: int = 0) -> str:
    """The last line of a log after byte `start` that is not empty; "" when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _begin_log(log: Path) -> int:
    """Move a long log out of the way; returns where the new one begins."""
    size = log.stat().st_size if log.exists() else 0
    if size > _LONGEST_LOG:
        log.replace(log.with_suffix(".log.old"))
        return 0
    return size


def _spawn(options: ServeOptions, place: Place, listener: socket.socket) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tracker", "serve", *options.to_argv()]
    command += ["--listener", str(listener.fileno()), "--identity", place.identity]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TRAX")}
    kept.pop("HQTRACK_IN_PROCESS", None)
    with place.log.open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=on_python_path(kept),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
