"""One job at a time, the others wait in a row: each tells its place, how far it is, and its end."""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

logger = logging.getLogger(__name__)


class State(enum.Enum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


class Stopped(Exception):  # noqa: N818 - not an error
    """Raised inside a job that was asked to stop."""


class Job:
    """A piece of work. `work(job)` calls `job.tell(done, count)` often, which ends it on `stop`."""

    def __init__(self, work: Callable[[Job], None]) -> None:
        self.state = State.WAITING
        self.error = ""
        self.done = 0
        self.count: int | None = None
        self._work = work
        self._stop = threading.Event()
        self._began = 0.0
        self._finished = threading.Event()

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in (State.WAITING, State.RUNNING)

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    @property
    def rate(self) -> float:
        """Steps per second so far; 0 before the first."""
        elapsed = time.monotonic() - self._began
        return self.done / elapsed if self.done and elapsed > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long it will take by the rate so far, None when that cannot be told."""
        if self.count is None or not self.rate:
            return None
        return (self.count - self.done) / self.rate

    def tell(self, done: int, count: int | None) -> None:
        """Say how far the work is. Raises Stopped after `stop`."""
        self.done, self.count = done, count
        if self._stop.is_set():
            raise Stopped

    def stop(self) -> None:
        """Ask it to end at its next step; one that waits does not begin."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Block until it has ended; False when it has not after `seconds`."""
        return self._finished.wait(seconds)

    def _run(self) -> None:
        self._began = time.monotonic()
        self.state = State.RUNNING
        try:
            self._work(self)
            ended = State.DONE
        except Stopped:
            ended = State.STOPPED
        except ValueError as error:  # of the tracker: their texts are for the user
            ended, self.error = State.FAILED, str(error)
        except Exception as error:
            logger.exception("a job failed")
            ended, self.error = State.FAILED, f"{type(error).__name__}: {error}"
        self.state = ended
        self._finished.set()


class JobQueue:
    """Runs jobs one after the other in a thread of its own, in the order they came."""

    def __init__(self, name: str) -> None:
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Job], None]) -> Job:
        """Put work at the end of the row. Raises RuntimeError after `close`."""
        job = Job(work)
        with self._changed:
            if self._closed:
                raise RuntimeError("the queue is closed")
            self._waiting.append(job)
            self._changed.notify()
        return job

    def ahead_of(self, job: Job) -> int:
        """How many jobs are served before this one; 0 when it runs or is not in the row."""
        with self._changed:
            if job not in self._waiting:
                return 0
            return self._waiting.index(job) + (self._running is not None)

    def stop(self, job: Job) -> None:
        """Stop a job: one that waits leaves the row at once."""
        job.stop()
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                job.state = State.STOPPED
                job._finished.set()

    def close(self) -> None:
        """Stop all jobs and wait for the one that runs."""
        with self._changed:
            self._closed = True
            jobs = [*self._waiting, *([self._running] if self._running else [])]
            self._changed.notify()
        for job in jobs:
            self.stop(job)
        self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._running = None
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                job = self._running = self._waiting.popleft()
            job._run()
