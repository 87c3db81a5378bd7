"""Numbers from series of measurements: median and 95th percentile, flatness over a long run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SETTLE = 400
"""Frames after which time and memory should not grow any more."""

WINDOW = 200
"""Frames whose median is compared: those after SETTLE, and the last ones."""


@dataclass(frozen=True)
class Summary:
    """Of a series of durations in seconds; `per_second` is their number over their sum."""

    count: int
    median: float
    p95: float
    per_second: float


@dataclass(frozen=True)
class Flatness:
    """How a long run changes: ratio of medians, growth of the peaks (0.01: one per cent).

    `early` and `late` are medians in seconds, over the `window` frames after frame `settle` and
    over the last `window`. `paced_ratio` is that of the medians of frame time over yardstick, so
    that it is free of the machine's own changes. None where something was not measured.
    """

    frames: int
    settle: int
    window: int
    early: float
    late: float
    time_ratio: float
    paced_ratio: float | None
    rss_growth: float | None
    cuda_growth: float | None


def summary(seconds: Sequence[float]) -> Summary:
    """Median and 95th percentile (linear between neighbours). ValueError when there are none."""
    if len(seconds) == 0:
        raise ValueError("no durations to summarise; measure at least one frame")
    values = np.asarray(seconds, dtype=np.float64)
    median, p95 = np.percentile(values, [50, 95])
    total = float(values.sum())
    return Summary(len(values), float(median), float(p95), len(values) / total if total else 0.0)


def flatness(
    seconds: Sequence[float],
    rss_peaks: Sequence[int | None],
    cuda_peaks: Sequence[int | None],
    yardstick: Sequence[float] = (),
) -> Flatness:
    """Frames 400-600 against the last 200, and what the peaks gain after frame 400.

    One entry per frame; peaks in bytes, as they stand after that frame; the yardstick may be left
    out. A run shorter than 800 frames is judged by the same shares of its length (a fifth, a
    tenth). ValueError below ten.
    """
    frames = len(seconds)
    if frames < 10:
        raise ValueError(f"{frames} frames are too few to judge flatness; run at least 10")
    whole = frames >= SETTLE + 2 * WINDOW
    settle, window = (SETTLE, WINDOW) if whole else (frames // 5, frames // 10)
    early, late = _ends(seconds, settle, window)
    paced = None
    if len(yardstick):
        before, after = _ends(np.divide(seconds, yardstick), settle, window)
        paced = after / before
    return Flatness(
        frames, settle, window, early, late, late / early, paced,
        growth(rss_peaks, settle), growth(cuda_peaks, settle),
    )  # fmt: skip


def _ends(values: Sequence[float] | np.ndarray, settle: int, window: int) -> tuple[float, float]:
    """Medians of the `window` values after the first `settle`, and of the last `window`."""
    return float(np.median(values[settle : settle + window])), float(np.median(values[-window:]))


def growth(peaks: Sequence[int | None], settle: int) -> float | None:
    """What the largest of the first `settle` values gains after them, as a share of it."""
    if any(peak is None for peak in peaks) or not 0 < settle < len(peaks):
        return None
    before = max(peaks[:settle])
    return max(0.0, max(peaks) / before - 1) if before else None


def added_object_cost(one: float, many: float, count: int) -> float:
    """What each object beyond the first adds, as a share of the time for one object."""
    if count < 2:
        raise ValueError(f"{count} objects say nothing about an added one; measure at least 2")
    return (many - one) / (count - 1) / one
