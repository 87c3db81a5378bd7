"""What all pages share: the style sheet and the bar at the top."""

from __future__ import annotations

from pathlib import Path

from nicegui import ui

STYLE = Path(__file__).with_name("style.css")


def head() -> None:
    """The style and the colours of the page."""
    ui.add_css(STYLE.read_text(encoding="utf-8"))
    ui.colors(primary="#0b5cad", positive="#1b7f3b", negative="#b3261e", warning="#8a5300")


def top_bar(title: str) -> ui.element:
    """The bar, with the name of the video; further buttons may be put into it."""
    with ui.element("header").classes("hq-bar") as bar:
        ui.label("HQTrack").classes("hq-name")
        ui.label(title).classes("hq-file")
    return bar
