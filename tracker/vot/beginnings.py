"""Do the first masks of every object lie where the object was given?

Two faults that no other check sees make an entry worthless: masks of the wrong polarity (the
background in place of the object), and objects in another order than they were given. Both show in
the first frames, where an object cannot be far from its initial mask.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from tracker.vot.dataset import groundtruth_files
from tracker.vot.errors import VotError
from tracker.vot.expected import TrajectoryFile
from tracker.vot.regions import MaskRegion, Region, Special, parse_region
from tracker.vot.results import Problem
from tracker.vot.text import read_lines
from tracker.vot.trajectory import read_trajectory
from tracker.vot.workspace import Workspace

FRAMES = 5
"""Frames after the initialisation that are looked at."""

FILLS_FRAME = 0.9
"""Share of the frame from which a mask fills it; no object grows so fast."""

SAME = 0.5
"""IoU from which two masks are taken for the same thing."""


def check_beginnings(workspace: Workspace, tracker: str) -> list[Problem]:
    """Inverted and exchanged masks, over all sequences; trajectories must be readable.

    Runs over part of a sequence (from an anchor, or backwards) are passed over.
    """
    whole = {info.folder: info for info in workspace.dataset()}
    groups: dict[tuple[str, str, int, str], list[TrajectoryFile]] = defaultdict(list)
    for file in workspace.expected(tracker):
        start = file.sequence.starts[file.object_id]
        info = whole[file.sequence.folder]
        if (file.sequence.length, start) != (info.length, info.starts[file.object_id]):
            continue
        repetition = file.stem.name.rpartition("_")[2]
        groups[file.experiment, file.sequence.name, start, repetition].append(file)
    return [problem for files in groups.values() for problem in _check_together(files)]


def _check_together(files: list[TrajectoryFile]) -> list[Problem]:
    """The objects of one sequence that start in the same frame."""
    problems, first_masks, initial_masks = [], [], []
    for file in files:
        initial = initial_mask(file)
        if initial is None:
            continue
        answers = _first_answers(file)
        shapes = [region for region in answers if not isinstance(region, MaskRegion | Special)]
        if shapes:
            problems.append(Problem(file, f"answered by a {shapes[0].kind}, not by a mask"))
            continue
        masks = [r.mask(initial.shape) for r in answers if isinstance(r, MaskRegion) and r.area]
        inverted = sum(looks_inverted(mask, initial) for mask in masks)
        if inverted * 2 > len(masks):
            problems.append(Problem(file, "the masks are inverted: they cover the background"))
        elif masks:
            first_masks.append((file, masks[0]))
            initial_masks.append(initial)
    return problems + _exchanged(first_masks, initial_masks)


def initial_mask(file: TrajectoryFile) -> np.ndarray | None:
    """[H, W] bool, what the object was started with; None when it was no mask."""
    info = file.sequence
    lines = read_lines(groundtruth_files(info.folder)[file.object_id])
    start = info.starts[file.object_id]
    if info.size is None or start >= len(lines):
        return None
    try:
        region = parse_region(lines[start])
    except VotError as error:
        raise VotError(f"{info.folder}, object {file.object_id}: {error}") from error
    if not isinstance(region, MaskRegion) or not region.area:
        return None
    width, height = info.size
    return region.mask((height, width))


def looks_inverted(mask: np.ndarray, initial: np.ndarray) -> bool:
    """Whether a mask [H, W] soon after the start is rather the background of the initial one."""
    if np.count_nonzero(mask & initial) * 2 >= np.count_nonzero(mask):
        return False
    inverted = overlap(~mask, initial) > max(SAME, overlap(mask, initial))
    return inverted or bool(mask.mean() >= FILLS_FRAME)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """IoU of two masks [H, W] bool; 0 when both are empty."""
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 0.0


def _first_answers(file: TrajectoryFile) -> list[Region]:
    start = file.sequence.starts[file.object_id]
    return read_trajectory(file.files[0], most=start + 1 + FRAMES)[start + 1 :]


def _exchanged(
    answers: list[tuple[TrajectoryFile, np.ndarray]], initial: list[np.ndarray]
) -> list[Problem]:
    """Objects whose first mask lies on another object's initial mask, which lies elsewhere too."""
    ious = np.array([[overlap(mask, other) for other in initial] for _, mask in answers])
    if len(ious) < 2:
        return []
    best = ious.argmax(axis=1)
    problems = []
    for index, (file, _) in enumerate(answers):
        other = best[index]
        if other != index and best[other] != other and ious[index, other] > SAME:
            name = answers[other][0].object_id
            problems.append(Problem(file, f"the masks of object {name} stand here: wrong order"))
    return problems
