"""The files of one sequence: plot, contact sheet, worst frames, video."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tracker.view.footage import Footage
from tracker.view.panels import GAP, Painter
from tracker.view.plots import plot_areas, plot_overlaps
from tracker.view.series import Kind, Moment, ObjectSeries, mean_of, measure, worst
from tracker.view.sheets import even_frames, sheet
from tracker.view.timeline import Timeline

SHEET_FRAMES, SHEET_COLUMNS, SHEET_WIDTH = 12, 2, 400
"""Frames of a contact sheet, pairs of panels side by side, and the width of a panel."""
WORST_FRAMES = 6
WORST_APART = 12
"""The worst frames lie at least this part of the sequence from each other."""
WORST_WIDTH = 640
VIDEO_WIDTH = 640
"""Width of each of the two panels of a video."""
FINE = 0.9
"""Only the worst frame of a sequence is shown with an overlap above this."""

_QUALITY = 90

Progress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True)
class SequenceView:
    """What was made of a sequence; paths are relative to the page.

    mean: of its objects' means, None without ground truth. worst: moments and their pictures, the
    worst first. video and its poster: None when none was asked for.
    """

    name: str
    length: int
    fps: float
    series: tuple[ObjectSeries, ...]
    mean: float | None
    with_truth: bool
    plot: Path
    sheet: Path
    worst: tuple[tuple[Moment, Path], ...]
    video: Path | None
    poster: Path | None


def build_sequence(
    footage: Footage, out: Path, folder: str, videos: bool, progress: Progress = iter
) -> SequenceView:
    """Write the files of a sequence into out/folder, reading its frames once.

    progress: wraps the numbers of the frames that are read.
    """
    (out / folder).mkdir(parents=True, exist_ok=True)
    for old in (out / folder).glob("worst-*.jpg"):
        old.unlink()
    series = measure(footage)
    moments = _shown_moments(series, footage.length)
    known = np.array([one.kinds for one in series]) >= Kind.VISIBLE
    if known.any():
        plot_overlaps(series, moments, out / folder / "plot.svg", footage.name)
    else:
        plot_areas(series, out / folder / "plot.svg", footage.name)
    pictures = tuple(
        (moment, Path(folder, f"worst-{rank}.jpg")) for rank, moment in enumerate(moments, start=1)
    )
    view = SequenceView(
        name=footage.name,
        length=footage.length,
        fps=footage.fps,
        series=series,
        mean=mean_of(series),
        with_truth=bool(known.any()),
        plot=Path(folder, "plot.svg"),
        sheet=Path(folder, "sheet.jpg"),
        worst=pictures,
        video=Path(folder, "video.mp4") if videos else None,
        poster=Path(folder, "poster.jpg") if videos else None,
    )
    _draw(view, footage, out, progress)
    return view


def folder_name(number: int, name: str) -> str:
    """The folder of a sequence: its number keeps names apart that differ in odd characters."""
    return f"{number:03d}-{re.sub(r'[^A-Za-z0-9_-]+', '_', name)}"


def _shown_moments(series: tuple[ObjectSeries, ...], length: int) -> list[Moment]:
    moments = worst(series, WORST_FRAMES, apart=max(2, length // WORST_APART))
    return [m for rank, m in enumerate(moments) if rank == 0 or m.overlap < FINE]


def _draw(view: SequenceView, footage: Footage, out: Path, progress: Progress) -> None:
    """One pass over the frames that pictures need, or over all for a video."""
    small, large = (Painter(footage, view.series, width) for width in (SHEET_WIDTH, WORST_WIDTH))
    wide = Painter(footage, view.series, VIDEO_WIDTH)
    on_sheet = even_frames(view.length, SHEET_FRAMES)
    bad = {moment.frame: (moment, out / path) for moment, path in view.worst}
    wanted = range(view.length) if view.video else sorted({*on_sheet, *bad})
    cells = []
    with contextlib.ExitStack() as stack:
        writer = None
        if view.video:
            from tracker.media.video import VideoWriter

            writer = stack.enter_context(VideoWriter(out / view.video, view.fps))
            timeline = Timeline(view.series, 2 * VIDEO_WIDTH + GAP)
        for number, image in zip(progress(wanted), footage.images(wanted), strict=True):
            if number in on_sheet:
                cells.append(small.pair(number, image))
            if number in bad:
                moment, path = bad[number]
                save(path, large.errors(moment, image))
            if writer is not None:
                writer.add(timeline.under(wide.pair(number, image), number))
            if number == view.length // 2 and view.poster:
                save(out / view.poster, timeline.under(wide.pair(number, image), number))
    save(out / view.sheet, sheet(cells, SHEET_COLUMNS))


def save(path: Path, picture: np.ndarray) -> None:
    """Write a picture [H, W, 3] uint8 RGB as JPEG or WebP; OSError where it cannot be written."""
    kind = cv2.IMWRITE_WEBP_QUALITY if path.suffix == ".webp" else cv2.IMWRITE_JPEG_QUALITY
    if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [kind, _QUALITY]):
        raise OSError(f"cannot write {path}; is the disk full?")
