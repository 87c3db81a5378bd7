"""The resident server: loads once, runs one session after another, leaves when it is idle.

The main thread loads and runs the sessions; a second thread accepts clients, so that those who
wait, ask for the state or want the server to stop are answered at any time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracker.resident import wire
from tracker.resident.jobs import Job, Jobs
from tracker.resident.launch import locked
from tracker.resident.loading import TrackerLike, explain, give_up, load, log_failure, time_limit
from tracker.resident.options import ServeOptions
from tracker.resident.places import Place

logger = logging.getLogger(__name__)
_CLIENT_SECONDS = 5.0
_STOP_SECONDS = 10.0
_RETRY_SECONDS = 0.5
# After such an error every later call of the process fails as well; running out of memory is none.
_LOST_DEVICE = "CUDA error"

# Runs a session and returns None after a good end, else the reason; the path is that of the log. It
# calls the last argument while it waits: a text means that the session shall end.
SessionRunner = Callable[[TrackerLike, Job, Path, Callable[[], str | None]], str | None]


class ResidentServer:
    """Serves the sessions that arrive on a listening socket."""

    def __init__(
        self, listener: socket.socket, options: ServeOptions, place: Place, runner: SessionRunner
    ) -> None:
        self._listener = listener
        self._options = options
        self._place = place
        self._run_session = runner
        self._jobs = Jobs()
        self._begin = time.time()
        self._note = ""
        self._socket_file = place.socket.stat().st_ino

    def run(self) -> int:
        """Load, serve, leave; returns the exit status of the process."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop("stopped by a signal"))
        threading.Thread(target=self._accept, name="accept", daemon=True).start()
        try:
            with time_limit(self._options.start_seconds, self._jobs.abandon):
                tracker = load(self._options)
        except BaseException as error:
            log_failure(error)
            self._leave(explain(error))
            return 1
        self._note = str(getattr(tracker, "weights_note", ""))
        self._jobs.loaded()
        while (job := self._jobs.take(self._options.idle_seconds)) is not None:
            reason = self._serve(tracker, job)
            if reason is not None and _LOST_DEVICE in reason:
                self._jobs.leave()
                logger.error("the accelerator is lost to this process; leaving")
        logger.info("leaving: %s", self._jobs.stop_reason or "nothing to do")
        self._leave(self._jobs.stop_reason)
        return 0

    def _serve(self, tracker: TrackerLike, job: Job) -> str | None:
        """One session, from "started" to "end"; returns the reason when it ended badly."""
        if wire.hung_up(job.connection):
            logger.info("a client left before its turn")
            self._jobs.done(job, "the client left before its turn")
            return None
        job.tell({"event": "started"})
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(job, ended), name="watch", daemon=True)
        watch.start()
        reason: str | None = "the session was not run"
        try:
            reason = self._run_session(tracker, job, self._place.log, lambda: self._shall_end(job))
        except Exception:
            logger.exception("session failed")
        finally:
            ended.set()
            logger.info("session ended: %s", reason or "well")
            self._jobs.done(job, reason)
        return reason

    def _shall_end(self, job: Job) -> str | None:
        if self._jobs.stop_reason:
            return self._jobs.stop_reason
        return "the client's process is gone" if wire.hung_up(job.connection) else None

    def _watch(self, job: Job, ended: threading.Event) -> None:
        """Give the process up when a session does not notice that its client is gone."""
        while not ended.wait(1.0):
            if not wire.hung_up(job.connection):
                continue
            if not ended.wait(self._options.hangup_seconds):
                give_up(
                    f"the client left {self._options.hangup_seconds:g} s ago and the session "
                    "still computes; giving this server up (see HQTRACK_HANGUP_SECONDS)"
                )
            return

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self._listener.fileno() < 0:
                    return
                logger.warning("a client has to wait: %s", error)  # Too many files are open.
                time.sleep(_RETRY_SECONDS)
                continue
            try:
                connection.settimeout(_CLIENT_SECONDS)
                if not self._receive(connection):
                    connection.close()
            except OSError as error:
                logger.warning("a client was not understood: %s", error)
                connection.close()

    def _receive(self, connection: socket.socket) -> bool:
        """Answer one client; whether its connection is kept."""
        message, fds = wire.receive_with_fds(connection)
        if message.get("op") == "session" and len(fds) == 2:
            job = Job(connection, *fds, folder=message.get("folder"))
            about = {"pid": os.getpid(), "log": str(self._place.log)}
            if not self._jobs.add(job, about):
                job.close()
            return True
        for fd in fds:
            os.close(fd)
        wire.send(connection, self._state())
        if message.get("op") == "stop":
            self._stop(str(message.get("reason", "asked to stop")))
            return True  # closed by the end of the process: that is what the client waits for
        return False

    def _state(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "preset": self._options.preset,
            "phase": self._jobs.phase,
            "waiting": self._jobs.waiting,
            "sessions": self._jobs.finished,
            "seconds": round(time.time() - self._begin),
            "weights": self._note,
            "log": str(self._place.log),
        }

    def _stop(self, reason: str) -> None:
        """Leave soon: at once while loading, else when the session has ended, or by force."""
        loading = self._jobs.phase == "loading"
        self._jobs.stop(reason)
        logger.info("stopping: %s", reason)
        timer = threading.Timer(0 if loading else _STOP_SECONDS, self._stop_now, (reason,))
        timer.daemon = True
        timer.start()

    def _stop_now(self, reason: str) -> None:
        self._leave(reason)
        os._exit(0)

    def _leave(self, reason: str | None) -> None:
        """Take the socket away, so that the next client starts a new server."""
        with contextlib.suppress(OSError), locked(self._place.lock):  # The folder may be gone.
            if self._place.socket.stat().st_ino == self._socket_file:
                self._place.socket.unlink()
        if reason is not None:
            self._jobs.abandon(reason)
        self._listener.close()
