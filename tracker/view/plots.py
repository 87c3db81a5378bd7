"""Plots over time: overlap per object, or area where there is no truth. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tracker.view.drawing import colour_of
from tracker.view.series import Kind, Moment, ObjectSeries
from tracker.vot.text import naming

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = (0.065, 0.17, 0.925, 0.70)
"""Left, bottom, width and height of the plot's axes, in shares of the picture: the page turns a
click into a frame with them."""

_SIZE = (11, 3.2)
_BAND = 0.07  # height of a band of absence, in units of IoU
_LEGEND_COLUMNS = 8
_LEGEND_MOST = 16


def plot_overlaps(
    series: Sequence[ObjectSeries], moments: Sequence[Moment], path: Path, title: str = ""
) -> None:
    """Draw the overlap of every object over the frames, numbered from 1, and mark the worst.

    Bands below the axis: frames in which an object is known to be absent. The same values make the
    same file.
    """
    with _style():
        figure, axes = _figure(len(series[0].kinds), title)
        absent = [index for index, one in enumerate(series) if one.absent]
        for index, one in enumerate(series):
            _draw_series(axes, one, index)
        for row, index in enumerate(absent):
            _draw_absence(axes, series[index], index, row)
        for rank, moment in enumerate(moments, start=1):
            place = (moment.frame + 1, moment.overlap)
            axes.plot(*place, "o", color="black", markerfacecolor="none", markersize=9)
            axes.annotate(str(rank), place, (7, 4), textcoords="offset points", fontsize=9)
        axes.set_ylim(-0.03 - _BAND * len(absent), 1.04)
        axes.set_yticks(np.arange(0, 1.01, 0.25))
        axes.set_ylabel("IoU")
        _finish(figure, axes, path)


def plot_areas(series: Sequence[ObjectSeries], path: Path, title: str = "") -> None:
    """Draw the area that was reported of every object over the frames, numbered from 1."""
    with _style():
        figure, axes = _figure(len(series[0].kinds), title)
        for index, one in enumerate(series):
            unsaid = (one.kinds == Kind.GIVEN) & (one.areas == 0)
            areas = np.where(unsaid, np.nan, one.areas)
            frames = np.arange(1, len(areas) + 1)
            axes.plot(frames, areas, color=_hex(index), linewidth=1.6, label=one.name)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("area, pixels")
        _finish(figure, axes, path)


def _style() -> AbstractContextManager[None]:
    import matplotlib

    return matplotlib.rc_context({"svg.hashsalt": "tracker", "font.size": 10})


def _figure(length: int, title: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE)
    axes = figure.add_axes(AXES)
    axes.set_xlim(0.5, length + 0.5)
    axes.set_xlabel("frame")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(alpha=0.3)
    return figure, axes


def _draw_series(axes: Axes, one: ObjectSeries, index: int) -> None:
    frames = np.arange(1, len(one.kinds) + 1)
    seen = np.where(one.kinds == Kind.VISIBLE, one.overlaps, np.nan)
    label = one.name if one.mean is None else f"{one.name}: {one.mean:.3f}"
    alone = _alone(~np.isnan(seen))
    axes.plot(frames, seen, color=_hex(index), linewidth=1.6, label=label)
    axes.plot(frames[alone], seen[alone], ".", color=_hex(index))
    given = np.flatnonzero(one.kinds == Kind.GIVEN) + 1
    axes.plot(given, np.ones(len(given)), marker="v", color=_hex(index), linestyle="")


def _alone(known: np.ndarray) -> np.ndarray:
    """[T] bool: frames that a line does not reach, as neither neighbour is known."""
    padded = np.pad(known, 1)
    return known & ~padded[:-2] & ~padded[2:]


def _draw_absence(axes: Axes, one: ObjectSeries, index: int, row: int) -> None:
    """A band over the frames of absence; filled where the tracker reported the object."""
    absent, bottom = one.kinds == Kind.ABSENT, -0.02 - _BAND * (row + 1)
    for mask, face in ((absent & (one.areas == 0), "white"), (absent & (one.areas > 0), None)):
        spans = [(start + 0.5, end - start) for start, end in _spans(mask)]
        axes.broken_barh(
            spans, (bottom, 0.75 * _BAND), facecolor=face or _hex(index), edgecolor=_hex(index)
        )
    if row == 0:
        axes.text(
            1.0, -0.21, "bands: object absent (filled: but reported)",
            transform=axes.transAxes, ha="right", fontsize=8, color="#555555",
        )  # fmt: skip


def _spans(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and past-the-last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.pad(mask.astype(np.int8), 1)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _hex(index: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour_of(index))


def _finish(figure: Figure, axes: Axes, path: Path) -> None:
    handles, labels = axes.get_legend_handles_labels()
    more = len(labels) - _LEGEND_MOST
    if more > 0:
        labels[_LEGEND_MOST - 1 :] = [f"and {more + 1} more"]
    axes.legend(
        handles[: len(labels)], labels,
        loc="lower right", bbox_to_anchor=(1.01, 1.0), ncols=_LEGEND_COLUMNS, frameon=False,
        fontsize=9, borderaxespad=0.2, handlelength=1.4, columnspacing=1.2,
    )  # fmt: skip
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    with naming(path):
        figure.savefig(path, dpi=120, metadata=metadata)
