"""The page that ties the files of all sequences together. Needs Jinja2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from tracker.view.build import SequenceView
from tracker.view.drawing import colour_of
from tracker.view.panels import state
from tracker.view.plots import AXES
from tracker.view.series import Moment, ObjectSeries, sort_key, worst
from tracker.vot.text import write_text

TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class Heading:
    """What stands above the table: title, facts (a line each), links (text, target); and below it.

    start: how the mean takes the frame in which an object was given to the tracker.
    """

    title: str
    facts: Sequence[str]
    links: Sequence[tuple[str, str]]
    start: str


def write_page(path: Path, heading: Heading, views: Iterable[SequenceView]) -> None:
    """Write the page; the sequences with the lowest mean come first."""
    write_text(path, render(heading, views))


def render(heading: Heading, views: Iterable[SequenceView]) -> str:
    """The page as HTML: no scripts, styles or pictures from elsewhere."""
    from jinja2 import Environment, StrictUndefined

    ordered = sorted(views, key=lambda view: sort_key(view.mean, view.name))
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        title=heading.title,
        facts=heading.facts,
        links=heading.links,
        start=heading.start,
        views=[_sequence(view, number) for number, view in enumerate(ordered, start=1)],
        any_truth=any(view.mean is not None for view in ordered),
        axes=AXES,
    )


def _sequence(view: SequenceView, number: int) -> dict[str, Any]:
    return {
        "anchor": f"sequence-{number}",
        "name": view.name,
        "length": view.length,
        "fps": view.fps,
        "mean": view.mean,
        "with_truth": view.with_truth,
        "lost": sum(one.lost for one in view.series),
        "objects": [_object(one, index) for index, one in enumerate(view.series)],
        "plot": _link(view.plot),
        "sheet": _link(view.sheet),
        "video": view.video and _link(view.video),
        "poster": view.poster and _link(view.poster),
        "worst": [_worst(view, moment, picture) for moment, picture in view.worst],
    }


def _object(one: ObjectSeries, index: int) -> dict[str, Any]:
    return {
        "name": one.name,
        "colour": "#{:02x}{:02x}{:02x}".format(*colour_of(index)),
        "mean": one.mean,
        "lowest": next(iter(worst([one], 1)), None),
        "lost": one.lost,
        "absent": one.absent,
        "reported_absent": one.reported_absent,
        "reported": int(np.count_nonzero(one.areas)),
    }


def _worst(view: SequenceView, moment: Moment, picture: Path) -> dict[str, Any]:
    one = view.series[moment.object_index]
    text, _ = state(one, moment.frame)
    number = text.replace(".", "").isdigit()
    return {
        "frame": moment.frame,
        "name": one.name,
        "text": f"IoU {moment.overlap:.3f}" if number else text,
        "picture": _link(picture),
    }


def _link(path: Path) -> str:
    return quote(path.as_posix())
