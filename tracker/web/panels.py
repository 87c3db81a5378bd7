"""The cards beside the picture: marking, tracking, downloading, keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from tracker.web.editor import Editor, Tool
from tracker.web.exports import EXPORTS
from tracker.web.jobs import State
from tracker.web.site import Site
from tracker.web.sketch import colour
from tracker.web.store import Video

Do = Callable[..., Awaitable[None]]

KEYS = (
    ("← →", "frame before, next frame (with Shift: ten)"),
    ("Home End", "first, last frame"),
    ("B P O", "box, points, outline"),
    ("1 ... 9", "choose an object"),
    ("N", "new object"),
    ("Ctrl+Z", "take back the mark in this frame"),
    ("T", "track"),
)
DOWNLOADS = {
    "overlay.mp4": ("Video with masks (mp4)", "movie"),
    "masks.zip": ("Masks (zip of PNG)", "layers"),
    "results.json": ("Table (JSON)", "table_chart"),
}


class MarkPanel:
    """Objects, tools, and what can be done with the chosen object."""

    def __init__(self, editor: Editor, do: Do, note: str) -> None:
        self._editor, self._do = editor, do
        with ui.element("section").classes("hq-card"):
            ui.html("<h2>1. Mark the objects</h2>", sanitize=False)
            self._list = ui.element("div").classes("hq-objects")
            self._new = ui.button(
                "New object", icon="add", on_click=lambda: do(editor.add_object)
            ).props("outline no-caps")
            self._tools = ui.toggle({tool: tool.value for tool in Tool}, value=editor.tool)
            self._tools.props("no-caps spread").style("width: 100%")
            self._tools.on_value_change(self._chosen_tool)
            self._wrong = ui.switch("Clicks mark what is not the object")
            with ui.element("div").classes("hq-row"):
                self._undo = ui.button("Undo mark", icon="undo", on_click=lambda: do(editor.undo))
                self._absent = ui.button(
                    "Not in this frame",
                    icon="visibility_off",
                    on_click=lambda: do(editor.mark_absent),
                )
                for button in (self._undo, self._absent):
                    button.props("flat dense no-caps")
            if note:
                ui.label(note).classes("hq-note")

    @property
    def wrong(self) -> bool:
        """Whether clicks mark what is not the object, as Shift does."""
        return bool(self._wrong.value) and self._editor.tool is Tool.POINTS

    def refresh(self) -> None:
        """Show what stands now."""
        editor = self._editor
        free = not editor.project.busy
        self._tools.set_value(editor.tool)
        self._wrong.set_visibility(editor.tool is Tool.POINTS)
        making = editor.drag is not None or bool(editor.outline)
        marked = editor.number in editor.project.marks_at(editor.frame)
        self._undo.set_enabled(free and (making or marked))
        known = editor.number is not None and editor.project.is_known(
            editor.number, editor.frame - 1
        )
        self._absent.set_enabled(free and known)
        for element in (self._new, self._tools, self._wrong):
            element.set_enabled(free)
        self._list.clear()
        with self._list:
            for number in editor.project.objects:
                self._row(number, free)

    def _row(self, number: int, free: bool) -> None:
        editor = self._editor
        chosen = number == editor.number
        frames = editor.project.marked_frames(number)
        state = f"marked in {_frames(frames)}" if frames else "not marked yet"
        with ui.element("div").classes("hq-object"):
            with ui.button(on_click=lambda: self._do(editor.choose, number)) as button:
                ui.element("span").classes("hq-swatch").style(f"background: {colour(number)}")
                ui.label(f"Object {number}")
                ui.label(state).classes("hq-state")
            button.props(f'flat no-caps text-color=dark aria-pressed="{str(chosen).lower()}"')
            button.classes("hq-chosen" if chosen else "")
            remove = ui.button(
                icon="delete_outline", on_click=lambda: self._do(editor.remove_object, number)
            )
            remove.props(f'flat dense round aria-label="Remove object {number}"')
            remove.set_enabled(free)

    async def _chosen_tool(self, event: Any) -> None:
        if event.value is not self._editor.tool:
            await self._do(self._editor.use, event.value)


class TrackPanel:
    """The button that tracks, and how far it is."""

    def __init__(self, site: Site, video: Video, track: Callable, stop: Callable) -> None:
        self._site, self._video = site, video
        with ui.element("section").classes("hq-card"):
            ui.html("<h2>2. Track them</h2>", sanitize=False)
            with ui.element("div").classes("hq-row"):
                self._track = ui.button("Track", icon="play_circle", on_click=track)
                self._stop = ui.button("Stop", icon="stop", on_click=stop).props("outline")
                for button in (self._track, self._stop):
                    button.props("no-caps")
            self._bar = ui.linear_progress(0, show_value=False).props("instant-feedback")
            self._bar.props('aria-label="Progress of tracking"')
            self._text = ui.label("").classes("hq-note").props("role=status")

    def refresh(self) -> None:
        """Show what stands now."""
        project, job = self._video.project, self._video.tracking
        active = job is not None and job.active
        ready = project.first is not None and not project.complete
        self._track.set_enabled(ready and not project.busy)
        again = ready and not active and project.valid_to is not None
        self._track.set_text(f"Track from frame {project.valid_to + 1}" if again else "Track")
        self._stop.set_visibility(active)
        self._stop.set_enabled(active and not job.stopping)
        self._bar.set_visibility(active and job.state is State.RUNNING)
        if active and job.count:
            self._bar.set_value(job.done / job.count)
        self._text.set_text(self._words())

    def _words(self) -> str:
        project, job = self._video.project, self._video.tracking
        if job is not None and job.state is State.WAITING:
            ahead = self._site.trackings.ahead_of(job)
            return f"In the queue: {ahead} video{'s' if ahead != 1 else ''} before this one."
        if job is not None and job.state is State.RUNNING:
            if job.stopping:
                return "Stopping after this frame."
            if job.count is None:
                return "Starting ..."
            left = job.seconds_left
            rest = "" if left is None else f", {_seconds(left)} left"
            return f"{job.done} of {job.count} frames, {job.rate:.1f} frames/s{rest}"
        if job is not None and job.state is State.FAILED:
            return f"Tracking failed: {job.error}"
        if project.first is None:
            return "First mark an object in the picture."
        if project.complete:
            return "All frames are tracked. To correct an object, go to a frame and mark it again."
        if project.computed is None:
            return f"Starts at frame {project.first + 1}."
        if job is not None and job.state is State.STOPPED and project.valid_to == project.computed:
            return "Stopped. What was tracked is kept."
        return "Earlier frames stay as they are, later ones are tracked again."


class DownloadPanel:
    """The links to the results."""

    def __init__(self, video: Video) -> None:
        self._video = video
        with ui.element("section").classes("hq-card"):
            ui.html("<h2>3. Download</h2>", sanitize=False)
            self._buttons = []
            for name in EXPORTS:
                text, icon = DOWNLOADS[name]
                button = ui.button(text, icon=icon, on_click=lambda name=name: self._load(name))
                self._buttons.append(button.props("outline no-caps align=left"))
            self._note = ui.label("").classes("hq-note")

    def refresh(self) -> None:
        """Show what stands now."""
        project = self._video.project
        ready = project.valid_to is not None and not project.busy
        for button in self._buttons:
            button.set_enabled(ready)
        if not ready:
            self._note.set_text("When the video is tracked.")
        elif project.complete:
            self._note.set_text("Making a file may take a moment.")
        else:
            self._note.set_text(f"Only frames up to {project.valid_to + 1} have masks so far.")

    def _load(self, name: str) -> None:
        ui.download.from_url(f"/videos/{self._video.token}/{name}", filename=name)


def keys_panel(box: Callable[[float, float, float, float], Awaitable[None]]) -> None:
    """What the keyboard does, and a box by numbers for those who do not use a mouse."""
    with ui.expansion("Keyboard", icon="keyboard"):
        rows = "".join(f"<kbd>{key}</kbd><span>{text}</span>" for key, text in KEYS)
        ui.html(f'<div class="hq-keys">{rows}</div>', sanitize=False)
        ui.label("A box by numbers, in pixels from the top left:").classes("hq-note")
        with ui.element("div").classes("hq-row"):
            fields = [
                ui.number(name, value=value, min=0, precision=0).props("dense outlined")
                for name, value in (("Left", 0), ("Top", 0), ("Width", 100), ("Height", 100))
            ]
            for field in fields:
                field.style("width: 130px")
        ui.button(
            "Mark this box", on_click=lambda: box(*(float(field.value or 0) for field in fields))
        ).props("outline no-caps")


def _frames(frames: tuple[int, ...]) -> str:
    if len(frames) == 1:
        return f"frame {frames[0] + 1}"
    return f"{len(frames)} frames"


def _seconds(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
