"""Messages over the Unix socket: one JSON object a line; the first may carry file descriptors.

From a client: {"op": "session"} with descriptors 0 and 1 (TraX over them, or where "folder" names
one a sequence of the folder protocol), {"op": "status"}, {"op": "stop"}.
To the client of a session: "accepted" (phase, ahead, pid, log), "ready" (models are loaded),
"started", then "end" (ok); or "failed" (reason) when loading failed, "lost" (reason) when the
server gives up in the middle of the session.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

_LONGEST = 1 << 16


class WireError(OSError):
    """The other side sent something that is no message."""


def send(connection: socket.socket, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one message. Raises OSError when the other side is gone."""
    data = json.dumps(message).encode() + b"\n"
    if fds:
        sent = socket.send_fds(connection, [data], list(fds))
        data = data[sent:]
    if data:
        connection.sendall(data)


def receive_with_fds(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The first message of a client and the descriptors that came along (not inheritable).

    Raises WireError when it is no message; then no descriptor stays open.
    """
    data, fds, _, _ = socket.recv_fds(connection, _LONGEST, 2)
    try:
        for fd in fds:
            os.set_inheritable(fd, False)
        while data and not data.endswith(b"\n") and len(data) < _LONGEST:
            more = connection.recv(_LONGEST)
            if not more:
                break
            data += more
        return _decode(data), fds
    except OSError:
        for fd in fds:
            os.close(fd)
        raise


class Messages:
    """The messages that arrive on a connection, one at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._pending = b""

    def next(self, timeout: float | None = None) -> dict[str, Any] | None:
        """The next message, or None when the other side is gone.

        Raises TimeoutError after `timeout` seconds (None: waits without a limit).
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._pending:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._connection.settimeout(left or (None if left is None else 1e-3))
            try:
                more = self._connection.recv(_LONGEST)
            except ConnectionError:
                more = b""
            if not more:
                return None
            self._pending += more
        line, _, self._pending = self._pending.partition(b"\n")
        return _decode(line)


def hung_up(connection: socket.socket) -> bool:
    """Whether the other side of a connection that sends nothing more has closed it."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    if not poll.poll(0):
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True


def _decode(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise WireError(f"no message: {line[:80]!r}") from error
    if not isinstance(message, dict):
        raise WireError(f"no message: {line[:80]!r}")
    return message
