"""The videos that are open, each under a secret token, in a folder that goes when the page goes."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tracker.web.jobs import Job
from tracker.web.limits import LimitError, Limits
from tracker.web.project import Project

LONGEST_TITLE = 80


@dataclass
class Video:
    """An open video: its name for the eye, the jobs that read and track it, and its project.

    project: None until it is read. track: the last tracking of it.
    """

    token: str
    title: str
    folder: Path
    seen: float
    project: Project | None = None
    reading: Job | None = None
    tracking: Job | None = None
    exporting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def active(self) -> bool:
        """Whether a job of it waits or runs."""
        return any(job is not None and job.active for job in (self.reading, self.tracking))


class Store:
    """Open videos by token. `clock` tells seconds."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._videos: dict[str, Video] = {}
        self._root = tempfile.TemporaryDirectory(prefix="hqtrack-web-", ignore_cleanup_errors=True)

    @property
    def root(self) -> Path:
        """The folder of everything the page keeps."""
        return Path(self._root.name)

    def open(self, title: str) -> Video:
        """A new video with an empty folder. Raises LimitError when too many are open."""
        self.sweep()
        with self._lock:
            if len(self._videos) >= self._limits.videos:
                raise LimitError(
                    f"{len(self._videos)} videos are open, more are not possible. Close one, or "
                    f"wait: unused ones are closed after {self._limits.idle_minutes:g} minutes."
                )
            token = secrets.token_urlsafe(16)
            folder = self.root / token
            folder.mkdir()
            video = Video(token, shown_title(title), folder, self._clock())
            self._videos[token] = video
            return video

    def get(self, token: str) -> Video:
        """An open video, now seen. Raises KeyError for a token that is none."""
        with self._lock:
            video = self._videos[token]
            video.seen = self._clock()
            return video

    def drop(self, token: str) -> None:
        """Close a video and delete its files; nothing happens when it is closed already."""
        with self._lock:
            video = self._videos.pop(token, None)
        if video is not None:
            shutil.rmtree(video.folder, ignore_errors=True)

    def sweep(self) -> list[str]:
        """Close what nobody has looked at for long, unless a job of it runs; their tokens."""
        oldest = self._clock() - 60 * self._limits.idle_minutes
        with self._lock:
            idle = [v.token for v in self._videos.values() if v.seen < oldest and not v.active]
        for token in idle:
            self.drop(token)
        return idle

    def close(self) -> None:
        """Delete everything."""
        with self._lock:
            self._videos.clear()
        self._root.cleanup()


def shown_title(name: str) -> str:
    """A file's name for the eye: no folders, no control characters, not too long."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(letter for letter in last if letter.isprintable()).strip()
    return clean[:LONGEST_TITLE] or "video"
