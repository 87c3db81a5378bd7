"""One sequence by the toolkit's folder protocol: a batch run, which also takes points.

The folder holds `frames_color.txt` (one path a line) and, for every object, `query_<id>.txt`: the
frame it starts in (from 0), its region, and lines key=value. Left there are `output_<id>.txt` (one
region a line), `output_<id>_confidence.txt` and `output_<id>_weights.txt`. Answers are of the kind
that started the object.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tracker.frames import FrameError, read_image
from tracker.labels import MaskError, labels_to_masks
from tracker.prompts import (
    BoxPrompt,
    PointPrompt,
    PolygonPrompt,
    Prompt,
    PromptError,
    check_prompt,
)
from tracker.regions import Region, regions_of, rotated_box, upright_box
from tracker.resident.loading import ResultLike, TrackerLike, explain
from tracker.vot.errors import VotError
from tracker.vot.regions import (
    ABSENT_LINE,
    MaskRegion,
    Shape,
    Special,
    encode_mask,
    format_mask,
    parse_region,
)
from tracker.vot.regions import Region as State
from tracker.vot.text import read_lines

logger = logging.getLogger(__name__)

NOT_THERE = "0"
"""The line for an object that is absent, or has not started yet."""

OVER_EDGE = 0.02
"""Share of the frame's side: so far outside it a point is moved onto its edge. Rounding and
scaling put annotated points there."""


class FolderError(Exception):
    """The folder holds nothing that can be run; the message says why."""


EXPECTED = (FolderError, VotError, FrameError, MaskError)
"""Errors of what lies in the folder: the message says it all, a traceback nothing more."""


@dataclass(eq=False)
class Query:
    """One object: where it starts, and what has been answered for it."""

    name: str
    offset: int
    state: State
    lines: list[str] = field(default_factory=list)
    confidence: list[str] = field(default_factory=list)
    weights: list[str] = field(default_factory=list)
    anchor: PointAnchor | None = None

    def prompt(self, shape: tuple[int, int]) -> np.ndarray | Prompt:
        """What the tracker is given in a frame of `shape` = (H, W).

        A point on or just over the edge is moved to the nearest pixel. Raises FolderError for
        what marks nothing in the frame.
        """
        if isinstance(self.state, MaskRegion):
            return self.state.mask(shape)
        try:
            prompt = _prompt(self.state, shape)
            check_prompt(prompt, shape)
        except PromptError as error:
            raise FolderError(f"query_{self.name}.txt: {error}") from error
        return prompt


def _prompt(state: Shape, shape: tuple[int, int]) -> Prompt:
    numbers = state.values
    if state.kind == "rectangle":
        return BoxPrompt(*numbers)
    if state.kind == "point":
        return PointPrompt((_inside(numbers, shape),))
    corners = zip(numbers[::2], numbers[1::2], strict=True)
    return PolygonPrompt(tuple((x + 0.5, y + 0.5) for x, y in corners))


def _inside(point: tuple[float, ...], shape: tuple[int, int]) -> tuple[float, float]:
    """The prompt of a point, whose whole numbers are middles of pixels, in a frame (H, W)."""
    moved = []
    for value, size in zip(point, shape[::-1], strict=True):
        reach = max(1.0, OVER_EDGE * size)
        if not -reach <= value + 0.5 <= size + reach:
            x, y = point
            raise PromptError(
                f"point ({x:g}, {y:g}) lies outside the frame of {shape[1]} x {shape[0]} pixels"
            )
        moved.append(min(max(value, 0), size - 1) + 0.5)
    return moved[0], moved[1]


@dataclass(frozen=True)
class PointAnchor:
    """Where a point lies on its object: from the middle of its mask, in roots of its area."""

    dx: float
    dy: float

    @classmethod
    def of(cls, point: tuple[float, float], mask: np.ndarray) -> PointAnchor:
        """The anchor of a point (x, y) on a mask [H, W] bool that is not empty."""
        x, y, size = _middle(mask)
        return cls((point[0] - x) / size, (point[1] - y) / size)

    def on(self, mask: np.ndarray) -> tuple[float, float]:
        """The point (x, y) on the mask [H, W] bool of a later frame."""
        x, y, size = _middle(mask)
        return x + self.dx * size, y + self.dy * size


def _middle(mask: np.ndarray) -> tuple[float, float, float]:
    rows, columns = np.nonzero(mask)
    return float(columns.mean()), float(rows.mean()), float(np.sqrt(len(rows)))


def run_folder(
    tracker: TrackerLike,
    folder: Path,
    shall_end: Callable[[], str | None] | None = None,
) -> str | None:
    """Track the sequence of a folder and write the answers.

    Returns None, or why nothing was written. `shall_end` is asked before every frame: a text ends
    the run with that reason.
    """
    try:
        frames, queries = read_frames(folder), read_queries(folder)
        _check_offsets(queries, len(frames))
        _track(tracker, frames, queries, shall_end)
        for query in queries:
            _write(folder, query)
        return None
    except (Exception, KeyboardInterrupt) as error:
        expected = isinstance(error, EXPECTED)
        logger.error("folder session failed: %s", explain(error), exc_info=not expected)
        return str(error) if expected else explain(error)
    finally:
        tracker.reset()


def read_frames(folder: Path) -> list[Path]:
    """The colour frames, in order; FolderError or VotError when there are none."""
    path = folder / "frames_color.txt"
    lines = read_lines(path) if path.is_file() else []
    if not lines:
        raise FolderError(f"{folder} has no frames_color.txt with frames: HQTrack needs colour")
    return [folder / line for line in lines]


def read_queries(folder: Path) -> list[Query]:
    """The objects, in the order of their numbers; FolderError or VotError when one cannot start."""
    paths = sorted(folder.glob("query_*.txt"), key=lambda path: (len(path.name), path.name))
    if not paths:
        raise FolderError(f"{folder} has no query_<id>.txt: there is nothing to track")
    return [_read_query(path) for path in paths]


def _read_query(path: Path) -> Query:
    lines = read_lines(path)
    name = path.stem.removeprefix("query_")
    if len(lines) < 2 or not re.fullmatch("[0-9]{1,9}", lines[0].strip()):
        raise FolderError(f"{path.name}: a frame number and a region are needed, got {lines[:2]}")
    try:
        state = parse_region(lines[1])
    except VotError as error:
        raise FolderError(f"{path.name}: {error}") from error
    if isinstance(state, Special) and "," in lines[1]:
        raise FolderError(f"{path.name}: {lines[1]!r}: coordinates must be finite numbers")
    if not isinstance(state, (MaskRegion, Shape)):
        told = "; ".join(lines[2:]) or "no text either"
        raise FolderError(
            f"{path.name} gives no region ({told}): HQTrack follows what it is shown in a frame, "
            "and does not find objects by a text; start it by a point, box, polygon or mask"
        )
    return Query(name, int(lines[0]), state)


def _check_offsets(queries: list[Query], count: int) -> None:
    late = [query for query in queries if query.offset >= count]
    if late:
        raise FolderError(
            f"query_{late[0].name}.txt starts in frame {late[0].offset}, the sequence has "
            f"{count}, counted from 0; correct its first line"
        )


def _track(
    tracker: TrackerLike,
    frames: list[Path],
    queries: list[Query],
    shall_end: Callable[[], str | None] | None,
) -> None:
    note = str(getattr(tracker, "weights_note", ""))
    started: list[Query] = []
    for number, path in enumerate(frames):
        if shall_end is not None and (reason := shall_end()) is not None:
            raise FolderError(reason)
        new = [query for query in queries if query.offset == number]
        if started or new:
            image = read_image(path)
            prompts = [query.prompt(image.shape[:2]) for query in new]
            if not started:
                result = tracker.initialize(image, prompts)
            else:
                result = tracker.add_objects(image, prompts) if new else tracker.track(image)
            started += new
            _answer(started, new, result)
        for query in queries:
            query.weights.append(note if query in new else "")
            if len(query.lines) == number:
                query.lines.append(NOT_THERE)
                query.confidence.append("0")


def _answer(started: list[Query], new: list[Query], result: ResultLike) -> None:
    count = len(started)
    masks = labels_to_masks(result.labels, count)
    regions = regions_of(result.labels, count)
    for query, mask, region, value in zip(started, masks, regions, result.confidence, strict=True):
        if query in new and _is_point(query) and mask.any():
            query.anchor = PointAnchor.of(query.state.values, mask)
        query.lines.append(_line(query, mask, region))
        query.confidence.append(f"{float(value):.4f}")


def _is_point(query: Query) -> bool:
    return isinstance(query.state, Shape) and query.state.kind == "point"


def _line(query: Query, mask: np.ndarray, region: Region) -> str:
    if isinstance(query.state, MaskRegion):
        return format_mask(encode_mask(mask)) if mask.any() else ABSENT_LINE
    if not mask.any() or (_is_point(query) and query.anchor is None):
        return NOT_THERE if _is_point(query) else "0,0,0,0"
    if _is_point(query):
        numbers = query.anchor.on(mask)
    elif query.state.kind == "rectangle":
        numbers = upright_box(region)
    else:
        numbers = [number for corner in rotated_box(region) for number in corner]
    return ",".join(f"{number:.3f}" for number in numbers)


def _write(folder: Path, query: Query) -> None:
    said = {"": query.lines, "_confidence": query.confidence, "_weights": query.weights}
    for suffix, lines in said.items():
        (folder / f"output_{query.name}{suffix}.txt").write_text("\n".join(lines) + "\n")
