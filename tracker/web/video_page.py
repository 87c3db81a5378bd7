"""The page of one video: its editor, before that how far its reading is."""

from __future__ import annotations

from nicegui import run, ui

from tracker.web.editor_view import TICK_SECONDS, EditorView
from tracker.web.frame_page import head, top_bar
from tracker.web.jobs import State
from tracker.web.site import Site
from tracker.web.store import Video


def video_page(site: Site, token: str) -> None:
    """Build the page of a video: its editor, or how far its reading is."""
    head()
    try:
        video = site.store.get(token)
    except KeyError:
        _gone()
        return
    bar = top_bar(video.title)
    with bar:
        ui.button("Close video", icon="close", on_click=lambda: _close(site, video)).props(
            "flat no-caps color=white"
        )
    body = ui.element("main").classes("hq-page")
    if video.project is None:
        _ReadingView(site, video, body)
    else:
        with body:
            EditorView(site, video, video.project)


class _ReadingView:
    """How far the reading is; the editor takes its place."""

    def __init__(self, site: Site, video: Video, body: ui.element) -> None:
        self._site, self._video, self._body = site, video, body
        with body, ui.element("section").classes("hq-card"):
            self._title = ui.html("<h2>Reading the video</h2>", sanitize=False)
            self._text = ui.label("")
            self._bar = ui.linear_progress(0, show_value=False).props("instant-feedback")
            self._back = ui.link("Choose another video", "/")
        self._timer = ui.timer(TICK_SECONDS, self._look)

    def _look(self) -> None:
        video, job = self._video, self._video.reading
        if video.project is not None:
            self._timer.cancel()
            self._body.clear()
            with self._body:
                EditorView(self._site, video, video.project)
        elif job.state in (State.FAILED, State.STOPPED):
            self._timer.cancel()
            self._title.set_content("<h2>This video cannot be opened</h2>")
            self._text.set_text(job.error or "Reading was stopped.")
            self._bar.set_visibility(False)
        else:
            ahead = self._site.readings.ahead_of(job)
            count = f" of about {job.count}" if job.count else ""
            waiting = f"Waiting for {ahead} other video{'s' if ahead > 1 else ''}."
            done = f"{job.done}{count} frames" if job.done else "Preparing ..."
            self._text.set_text(waiting if ahead else done)
            self._bar.set_value(job.done / job.count if job.count else 0)


def _gone() -> None:
    top_bar("")
    with ui.element("main").classes("hq-start"), ui.element("section").classes("hq-card"):
        ui.html("<h2>This video is closed</h2>", sanitize=False)
        ui.label("It was closed, or nobody looked at it for a long time.")
        ui.link("Open a video", "/")


async def _close(site: Site, video: Video) -> None:
    await run.io_bound(site.close_video, video)
    ui.navigate.to("/")
