"""The sessions that wait for their turn, and what the server is doing."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracker.resident import wire


@dataclass
class Job:
    """One session to be run: the client's connection, and its pipes of the TraX protocol.

    folder: that of a sequence of the folder protocol, None for a session of TraX.
    """

    connection: socket.socket
    input_fd: int
    output_fd: int
    folder: str | None = None

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send the client a message; a client that is gone is not told."""
        with contextlib.suppress(OSError):
            wire.send(self.connection, message)

    def close(self) -> None:
        """Close the pipes, then the connection."""
        os.close(self.input_fd)
        os.close(self.output_fd)
        self.connection.close()


class Jobs:
    """The queue of sessions, and the phase of the server: loading, idle, busy, leaving.

    Used by the thread that accepts clients and by the main thread.
    """

    def __init__(self) -> None:
        self._waiting: list[Job] = []
        self._change = threading.Condition()
        self._stop_reason: str | None = None
        self.phase = "loading"
        self.current: Job | None = None
        self.finished = 0

    @property
    def stop_reason(self) -> str | None:
        """Why the server shall leave, None while it shall not."""
        return self._stop_reason

    @property
    def waiting(self) -> int:
        """How many sessions wait."""
        return len(self._waiting)

    def add(self, job: Job, about: Mapping[str, Any]) -> bool:
        """Queue a session and tell its client `about` the server; False: the server is leaving."""
        with self._change:
            if self.phase == "leaving" or self._stop_reason:
                return False
            ahead = len(self._waiting) + (self.current is not None)
            job.tell({"event": "accepted", "phase": self.phase, "ahead": ahead, **about})
            if self.phase != "loading":
                job.tell({"event": "ready"})
            self._waiting.append(job)
            self._change.notify_all()
            return True

    def loaded(self) -> None:
        """Loading has ended well: tell everybody who waits."""
        with self._change:
            self.phase = "idle"
            for job in self._waiting:
                job.tell({"event": "ready"})

    def take(self, idle_seconds: float) -> Job | None:
        """The next session, marked as the current one.

        None when none came within `idle_seconds` (0: no limit) or the server shall stop: then it
        is leaving and takes no more.
        """
        with self._change:
            self._change.wait_for(
                lambda: self._waiting or self._stop_reason or self.phase == "leaving",
                timeout=idle_seconds or None,
            )
            if not self._waiting or self._stop_reason or self.phase == "leaving":
                self.phase = "leaving"
                return None
            self.phase = "busy"
            self.current = self._waiting.pop(0)
            return self.current

    def done(self, job: Job, reason: str | None) -> None:
        """The current session has ended, badly for a reason: close it and tell its client."""
        with self._change:
            self.current = None
            self.finished += 1
            self.phase = "idle"
        job.tell({"event": "end", "ok": reason is None, "reason": reason})
        job.close()

    def leave(self) -> None:
        """Take no more sessions; the clients who wait find the connection closed and try anew."""
        with self._change:
            self.phase = "leaving"

    def stop(self, reason: str) -> None:
        """Ask the server to leave; a session that runs sees it before its next frame."""
        with self._change:
            self._stop_reason = reason
            self._change.notify_all()

    def abandon(self, reason: str) -> None:
        """Leave: tell everybody who waits, and the client of the current session, why."""
        with self._change:
            self.phase = "leaving"
            for job in self._waiting:
                job.tell({"event": "failed", "reason": reason})
            self._waiting.clear()
            if self.current is not None:
                self.current.tell({"event": "lost", "reason": reason})
