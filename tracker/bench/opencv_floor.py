"""OpenCV's own trackers as a floor for speed: boxes only, one tracker per object.

Only those that need no network file; which there are depends on the installed OpenCV.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from tracker import frames
from tracker.bench.clip import Clip
from tracker.labels import boxes

NAMES = ("TrackerKCF", "TrackerCSRT", "TrackerMIL")


def installed() -> dict[str, Callable[[], Any]]:
    """Name -> what makes a tracker, of those that this OpenCV has."""
    return {name: getattr(cv2, name).create for name in NAMES if hasattr(cv2, name)}


def time_frames(
    make: Callable[[], Any], clip: Clip, objects: int, count: int, limit: float | None = None
) -> list[float]:
    """Seconds per frame from the file to all boxes, `count` frames or until `limit` seconds."""
    image = frames.read_image(clip.frame(0))[..., ::-1].copy()
    found, present = boxes(clip.labels(0, objects), objects)
    trackers = []
    for left, top, right, bottom in found[np.asarray(present)].astype(int).tolist():
        tracker = make()
        tracker.init(image, (left, top, right - left + 1, bottom - top + 1))
        trackers.append(tracker)
    seconds = []
    end = time.monotonic() + limit if limit else None
    for number in range(1, count + 1):
        begin = time.perf_counter()
        image = frames.read_image(clip.frame(number))[..., ::-1].copy()
        for tracker in trackers:
            tracker.update(image)
        seconds.append(time.perf_counter() - begin)
        if end is not None and time.monotonic() > end:
            break
    return seconds
