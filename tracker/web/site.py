"""What the page does, without the page: open a video, mark, track, stop, export, close."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tracker.frames import FrameError
from tracker.prompts import Prompt
from tracker.web.clip import read_clip
from tracker.web.exports import EXPORTS
from tracker.web.follow import follow, start_frame
from tracker.web.jobs import Job, JobQueue
from tracker.web.limits import Limits
from tracker.web.places import VideoFolder
from tracker.web.project import Project, ProjectError
from tracker.web.store import Store, Video

if TYPE_CHECKING:
    from tracker.pipeline import HQTracker


class Site:
    """One tracker and everyone's videos: one video is tracked at a time, one is read at a time."""

    def __init__(
        self, tracker: HQTracker, limits: Limits, folder: VideoFolder | None = None
    ) -> None:
        self.tracker = tracker
        self.limits = limits
        self.folder = folder
        self.store = Store(limits)
        self.readings = JobQueue("web-read")
        self.trackings = JobQueue("web-track")
        self._marking = threading.Lock()

    @property
    def guess_note(self) -> str:
        """What to know about masks made from marks; empty with HQ-SAM's weights."""
        if self.tracker.has_refiner:
            return ""
        return "Without HQ-SAM's weights a mask is a guess; an outline gives an exact one."

    def read(self, video: Video, source: Path | Callable[[], Path]) -> Job:
        """Put the reading of an opened video's frames into the row.

        source: a video file or a folder of pictures, or what makes one. A file in the video's own
        folder is deleted when it is read.
        """
        video.reading = self.readings.submit(lambda job: self._read(video, source, job))
        return video.reading

    def mask_of(self, image: np.ndarray, prompt: Prompt) -> np.ndarray:
        """The mask [H, W] bool of a prompt in a frame; one at a time. Raises PromptError."""
        with self._marking:
            return self.tracker.masks_of(image, [prompt])[0]

    def track(self, video: Video) -> Job:
        """Put a video into the row for tracking. Raises ProjectError when it cannot be."""
        project = _project(video)
        if video.tracking is not None and video.tracking.active:
            raise ProjectError("This video is being tracked already.")
        start_frame(project)
        project.busy = True
        video.tracking = self.trackings.submit(lambda job: self._track(project, job))
        return video.tracking

    def stop(self, video: Video) -> None:
        """Stop reading and tracking of a video; what was found stays."""
        if video.reading is not None and video.reading.active:
            self.readings.stop(video.reading)
        if video.tracking is not None and video.tracking.active:
            self.trackings.stop(video.tracking)
            if not video.tracking.active and video.project is not None:
                video.project.busy = False

    def close_video(self, video: Video) -> None:
        """Stop what runs and delete the video's files."""
        self.stop(video)
        for job in (video.reading, video.tracking):
            if job is not None:
                job.wait(60)
        self.store.drop(video.token)

    def export(self, video: Video, name: str) -> Path:
        """The file of a download, made when it is not there for what stands now.

        Raises KeyError for a name that is none, ProjectError before there are results.
        """
        _, write = EXPORTS[name]
        project = _project(video)
        if project.valid_to is None:
            raise ProjectError("There is nothing to download yet. Track the video first.")
        with video.exporting:
            path = video.folder / f"export-{project.revision}-{name}"
            if not path.is_file():
                for old in video.folder.glob(f"export-*-{name}"):
                    old.unlink()
                part = path.with_name(f"part-{name}")
                write(project, part)
                part.replace(path)
            return path

    def close(self) -> None:
        """Stop everything and delete all files."""
        self.readings.close()
        self.trackings.close()
        self.store.close()

    def _read(self, video: Video, source: Path | Callable[[], Path], job: Job) -> None:
        path = source if isinstance(source, Path) else source()
        try:
            clip = read_clip(path, video.folder, self.limits, job.tell)
        except FrameError as error:  # the text names the path, which says nothing to the user
            raise FrameError(str(error).replace(str(path), video.title)) from error
        finally:
            if path.is_relative_to(video.folder):
                path.unlink(missing_ok=True)
        video.project = Project(clip, video.folder, self.limits)

    def _track(self, project: Project, job: Job) -> None:
        try:
            follow(project, self.tracker, job.tell)
        finally:
            project.busy = False


def _project(video: Video) -> Project:
    if video.project is None:
        raise ProjectError("The video is not read yet.")
    return video.project
