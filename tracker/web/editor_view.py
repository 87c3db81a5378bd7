"""The editor of one video: the frame with its marks, the line of frames, and what can be done.

Only shows and passes on: `Editor` knows what the person is doing, `Site` does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import run, ui

from tracker.prompts import BoxPrompt
from tracker.web.editor import Editor, Tool
from tracker.web.jobs import Job, State
from tracker.web.panels import DownloadPanel, MarkPanel, TrackPanel, keys_panel
from tracker.web.project import Project
from tracker.web.site import Site
from tracker.web.sketch import sketch
from tracker.web.store import Video
from tracker.web.timeline import timeline

TICK_SECONDS = 0.25
"""How often the page looks how far the jobs are."""

PLAY_SECONDS = 1 / 12
"""Between frames when the result is played."""

POINTER = "e => { if (e.mouse_event_type !== 'pointermove' || e.buttons) emit(e) }"
"""Hovering is of no interest."""

CAPTURE = "e => { if (e.target.setPointerCapture) e.target.setPointerCapture(e.pointerId) }"
"""A drag goes on outside the picture."""


class EditorView:
    """The widgets of an open video."""

    def __init__(self, site: Site, video: Video, project: Project) -> None:
        self._site, self._video, self._project = site, video, project
        self._editor = Editor(project, site.mask_of)
        self._working = False
        self._shown: tuple[Any, ...] = ()
        self._following = True
        self._build()
        ui.keyboard(on_key=self._key, ignore=["input", "select", "textarea"])
        self._player = ui.timer(PLAY_SECONDS, self._play_on, active=False)
        ui.timer(TICK_SECONDS, self._tick)
        self._refresh()

    def _build(self) -> None:
        clip = self._project.clip
        with ui.element("div").classes("hq-stage"):
            self._hint = ui.label("").classes("hq-hint").props("role=status")
            self._picture = ui.interactive_image(
                events=["pointerdown", "pointermove", "pointerup"], sanitize=False
            ).classes("hq-picture")
            self._picture.style(f"max-width: calc(68vh * {clip.width / clip.height:.4f})")
            self._picture.on("mouse", self._pointer, js_handler=POINTER)
            self._picture.on("pointerdown", js_handler=CAPTURE)
            with ui.element("div").classes("hq-frames"):
                self._slider = ui.slider(min=0, max=max(clip.count - 1, 1), value=0)
                self._slider.on_value_change(lambda event: self._slid(event.value))
                self._slider.props('aria-label="Frame"')
                self._slider.on("keydown", js_handler="e => e.stopPropagation()")
                self._line = ui.html("", sanitize=False)
            with ui.element("div").classes("hq-steps"):
                self._step_button("first_page", "First frame", lambda: 0)
                self._step_button("chevron_left", "Frame before", lambda: self._editor.frame - 1)
                self._play = ui.button(icon="play_arrow", on_click=self._toggle_play).props(
                    'flat round dense aria-label="Play or pause"'
                )
                self._step_button("chevron_right", "Next frame", lambda: self._editor.frame + 1)
                self._step_button("last_page", "Last frame", lambda: clip.count - 1)
                self._where = ui.label("").classes("hq-where")
                self._about = ui.label("").classes("hq-note")
        with ui.element("aside").classes("hq-side"):
            self._marks = MarkPanel(self._editor, self._do, self._site.guess_note)
            self._tracks = TrackPanel(self._site, self._video, self._track, self._stop)
            self._downloads = DownloadPanel(self._video)
            keys_panel(self._box)

    def _step_button(self, icon: str, name: str, target: Callable[[], int]) -> None:
        button = ui.button(icon=icon, on_click=lambda: self._go(target()))
        button.props(f'flat round dense aria-label="{name}"').tooltip(name)

    # what the person does

    async def _do(self, action: Callable[..., Any], *arguments: Any) -> None:
        """One action of the editor, beside the event loop; its errors are shown."""
        if self._working:
            return
        self._working = True
        try:
            await run.io_bound(action, *arguments)
        except ValueError as error:
            ui.notify(str(error), type="warning", multi_line=True, close_button="OK")
        finally:
            self._working = False
        self._refresh()

    async def _pointer(self, event: Any) -> None:
        kind = event.args["mouse_event_type"]
        x, y = event.args["image_x"], event.args["image_y"]
        if kind == "pointermove":
            if self._editor.move(x, y):
                self._picture.set_content(sketch(self._editor))
        elif kind == "pointerdown" and event.args["button"] == 0:
            await self._do(self._editor.press, x, y, event.args["shiftKey"] or self._marks.wrong)
        elif kind == "pointerup" and self._editor.drag is not None:
            await self._do(self._editor.release, x, y)

    async def _key(self, event: Any) -> None:
        if not event.action.keydown or event.modifiers.alt or event.modifiers.meta:
            return
        key, editor = event.key, self._editor
        if event.modifiers.ctrl:
            if key.name.lower() == "z":
                await self._do(editor.undo)
            return
        step = 10 if event.modifiers.shift else 1
        moves = {
            "ArrowLeft": editor.frame - step,
            "ArrowRight": editor.frame + step,
            "Home": 0,
            "End": self._project.clip.count - 1,
        }
        tools = {tool.value[0].lower(): tool for tool in Tool}
        name = key.name if len(key.name) > 1 else key.name.lower()
        if name in moves:
            self._go(moves[name])
        elif name in tools:
            await self._do(editor.use, tools[name])
        elif key.number:
            await self._do(editor.choose, key.number)
        elif name == "n":
            await self._do(editor.add_object)
        elif name in ("Delete", "Backspace"):
            await self._do(editor.undo)
        elif name == "Escape":
            await self._do(editor.cancel)
        elif name == "Enter" and editor.outline:
            await self._do(editor.close_outline)
        elif name == "t":
            await self._track()

    async def _box(self, x: float, y: float, width: float, height: float) -> None:
        await self._do(self._editor.mark, BoxPrompt(x, y, width, height))

    def _go(self, frame: int) -> None:
        """Show another frame, unless an action is at work in this one."""
        if not self._working:
            self._following = False
            self._editor.go(frame)
            self._refresh()

    def _slid(self, value: float) -> None:
        if int(value) != self._editor.frame:  # else the page has moved the slider
            self._go(int(value))

    async def _track(self) -> None:
        self._following = True
        self._player.deactivate()
        await self._do(self._site.track, self._video)

    async def _stop(self) -> None:
        await self._do(self._site.stop, self._video)

    def _toggle_play(self) -> None:
        if self._player.active:
            self._player.deactivate()
        else:
            if self._editor.frame == self._project.clip.count - 1:
                self._go(0)
            self._player.activate()
        self._refresh()

    def _play_on(self) -> None:
        self._go(self._editor.frame + 1)
        if self._editor.frame == self._project.clip.count - 1:
            self._player.deactivate()
            self._refresh()

    # what the page shows

    def _tick(self) -> None:
        """See to the jobs; being looked at keeps the video open."""
        try:
            self._site.store.get(self._video.token)
        except KeyError:
            ui.navigate.to("/")
            return
        job, project = self._video.tracking, self._project
        if job is not None and job.state is not State.WAITING and self._following:
            self._editor.go(self._editor.frame if project.computed is None else project.computed)
        self._refresh()

    def _refresh(self) -> None:
        """Bring every widget to what stands now; nothing is sent where nothing changed."""
        editor, project, job = self._editor, self._project, self._video.tracking
        self._tracks.refresh()
        seen = (
            *(editor.frame, editor.number, editor.tool, editor.drag, tuple(editor.outline)),
            *(project.revision, project.busy, project.objects, self._player.active),
            _state(job),
        )
        if seen == self._shown:
            return
        self._shown = seen
        self._picture.set_source(
            f"/videos/{self._video.token}/frames/{editor.frame}.jpg?at={project.revision}"
        )
        self._picture.set_content(sketch(editor))
        if project.busy:
            self._picture.classes(add="hq-idle")
        else:
            self._picture.classes(remove="hq-idle")
        self._hint.set_text(editor.hint)
        self._slider.set_value(editor.frame)
        self._where.set_text(f"Frame {editor.frame + 1} of {project.clip.count}")
        self._line.set_content(timeline(project, editor.frame))
        self._about.set_text(_about(project, editor.frame))
        self._play.props(f"icon={'pause' if self._player.active else 'play_arrow'}")
        self._marks.refresh()
        self._downloads.refresh()


def _state(job: Job | None) -> State | None:
    return None if job is None else job.state


def _about(project: Project, frame: int) -> str:
    """What the shown frame's masks are."""
    valid_to, computed = project.valid_to, project.computed
    if project.first is None:
        return "No object is marked yet."
    if frame < project.first:
        return "The objects start in a later frame."
    if valid_to is not None and frame <= valid_to:
        return "This frame is tracked. Mark an object again to correct it."
    if computed is not None and frame <= computed and not project.busy:
        return "These masks are from before your correction. Track again to renew them."
    return "This frame is not tracked yet."
