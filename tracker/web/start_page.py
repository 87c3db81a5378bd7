"""The first page: choose a video by upload, from the folder, or take the sample."""

from __future__ import annotations

import json

from nicegui import ui

from tracker.web.frame_page import head, top_bar
from tracker.web.limits import MEGABYTE, LimitError
from tracker.web.places import VIDEO_SUFFIXES, PlaceError
from tracker.web.routes import TITLE_HEADER
from tracker.web.sample import SAMPLE_TITLE, write_sample
from tracker.web.site import Site

HEADERS = f"files => [{{name: '{TITLE_HEADER}', value: encodeURIComponent(files[0].name)}}]"


def start_page(site: Site) -> None:
    """Build the page."""
    head()
    top_bar("")
    limits = site.limits
    with ui.element("main").classes("hq-start"):
        ui.html("<h1>Track objects in a video</h1>", sanitize=False)
        ui.label(
            "Open a video, mark the objects in one frame, and they are followed through all "
            "the others. Everything stays on this computer."
        )
        _upload_card(site)
        if site.folder is not None:
            _folder_card(site)
        with ui.element("section").classes("hq-card"):
            ui.html("<h2>No video at hand?</h2>", sanitize=False)
            ui.label("A short drawn scene with three objects shows how it works.")
            with ui.row():
                ui.button(
                    "Open the sample", icon="movie", on_click=lambda: _open_sample(site)
                ).props("no-caps")
        ui.label(
            f"At most {limits.frames} frames, {limits.long_side} pixels on the longer side and "
            f"{limits.megabytes} MB. A video nobody looks at is deleted after "
            f"{limits.idle_minutes:g} minutes."
        ).classes("hq-note")
        ui.label(f"Running: {site.tracker.weights_note}.").classes("hq-note")


def _upload_card(site: Site) -> None:
    with ui.element("section").classes("hq-card"):
        ui.html("<h2>Your video</h2>", sanitize=False)
        upload = ui.upload(
            label="Drop a video file here",
            auto_upload=True,
            max_file_size=site.limits.megabytes * MEGABYTE,
            max_files=1,
        )
        upload.classes("hq-uploader").props(f'url=/upload send-raw :headers="{HEADERS}" flat')
        upload.props(f'accept="video/*,{",".join(sorted(VIDEO_SUFFIXES))}" hide-upload-btn')
        upload.on("uploaded", _uploaded, js_handler="e => emit(e.xhr.responseText)")
        upload.on(
            "failed",
            lambda event: _refused(upload, event.args),
            js_handler="e => emit(e.xhr.responseText)",
        )
        upload.on(
            "rejected",
            lambda event: _rejected(site, event.args),
            js_handler="found => emit(found[0].failedPropValidation)",
        )
        with ui.row():
            ui.button("Choose a file", icon="upload_file").props("no-caps").on(
                "click", js_handler=f"() => getElement({upload.id}).$refs.qRef.pickFiles()"
            )


def _folder_card(site: Site) -> None:
    names = site.folder.names()
    with ui.element("section").classes("hq-card"):
        ui.html("<h2>From the folder</h2>", sanitize=False)
        if not names:
            ui.label("There are no videos in the folder that was named at the start.")
            return
        choice = ui.select(names, label="Video", value=names[0]).props("outlined dense")
        choice.classes("hq-wide").style("width: 100%")
        with ui.row():
            ui.button(
                "Open", icon="folder_open", on_click=lambda: _open_named(site, choice.value)
            ).props("no-caps")


def _uploaded(event: object) -> None:
    ui.navigate.to(f"/video/{json.loads(event.args)['token']}")


def _refused(upload: ui.upload, text: str) -> None:
    _warn(text or "The upload was interrupted. Try again.")
    upload.reset()


def _rejected(site: Site, reason: str) -> None:
    if reason == "accept":
        _warn("This is no video file. Videos end in .mp4, .mov, .mkv, .webm, .avi or alike.")
    else:
        _warn(f"The file is larger than {site.limits.megabytes} MB. Cut it, or compress it more.")


def _open_named(site: Site, name: str) -> None:
    try:
        path = site.folder.resolve(name)
        video = site.store.open(name)
    except (PlaceError, LimitError) as error:
        _warn(str(error))
        return
    site.read(video, path)
    ui.navigate.to(f"/video/{video.token}")


def _open_sample(site: Site) -> None:
    try:
        video = site.store.open(SAMPLE_TITLE)
    except LimitError as error:
        _warn(str(error))
        return
    site.read(video, lambda: write_sample(video.folder / "sample.mp4"))
    ui.navigate.to(f"/video/{video.token}")


def _warn(text: str) -> None:
    ui.notify(text, type="negative", multi_line=True, timeout=10000, close_button="OK")
