"""A tracker without a model, for the tests of the server: it answers the masks it was given
(a box: the ellipse in it; a polygon: filled).

Every frame moves them one pixel to the right (columns leave at the right edge). What the file name
of a frame says happens: raise, cuda, print, exit, hang, slow, noise, lose (object 1 absent), short
(one object too few), unsettled (what is done after the answer fails). STATIC_LOADS names a file
that gets a line per load; STATIC_FAULT is what happens while loading: raise, exit, hang, slow.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.frames_ahead import FramesAhead
from tracker.labels import masks_to_labels
from tracker.prompts import BoxPrompt, ellipse, fallback_mask

_events: list[str] = []
_read = FramesAhead.read


def _remember_name(frames: FramesAhead, path: Path) -> np.ndarray:
    _events[:] = Path(path).stem.split("_")
    return _read(frames, path)


@dataclass(frozen=True)
class Result:
    labels: np.ndarray
    confidence: np.ndarray


class StaticTracker:
    weights_note = "static: no weights"

    def __init__(self) -> None:
        self.masks = np.zeros((0, 1, 1), bool)

    def initialize(self, image: np.ndarray, objects: list) -> Result:
        self.masks = np.zeros((0, *image.shape[:2]), bool)
        return self.add_objects(image, objects)

    def track(self, image: np.ndarray) -> Result:
        return self.add_objects(image, [])

    def add_objects(self, image: np.ndarray, objects: list) -> Result:
        masks = [_mask_of(image, item) for item in objects]
        self.masks[:, :, 1:] = self.masks[:, :, :-1].copy()
        self.masks[:, :, 0] = False
        self.masks = np.concatenate([self.masks, *(m[None] for m in masks)])
        labels = masks_to_labels(self.masks)
        confidence = 1 / np.arange(1, len(self.masks) + 1)
        return _disturb(Result(labels, confidence.astype(np.float32)))

    def settle(self) -> None:
        if "unsettled" in _events:
            raise MemoryError("after the answer")

    def reset(self) -> None:
        self.masks = np.zeros((0, 0, 0), bool)


def _mask_of(image: np.ndarray, item: object) -> np.ndarray:
    if isinstance(item, BoxPrompt):
        return ellipse(item, image.shape[:2])
    return item if isinstance(item, np.ndarray) else fallback_mask(image, item)


def _disturb(result: Result) -> Result:
    labels, confidence = result.labels.copy(), result.confidence
    if "raise" in _events:
        raise RuntimeError('a "quoted" reason with \\ and é\nand a second line')
    if "cuda" in _events:
        raise RuntimeError("CUDA error: device-side assert triggered")
    if "print" in _events:
        print("text without a newline", end="", flush=True)
        os.write(1, b"and from C")
    if "exit" in _events:
        print("the last words", file=sys.stderr, flush=True)
        os._exit(9)
    if "hang" in _events:
        time.sleep(1000)
    if "slow" in _events:
        time.sleep(1)
    if "noise" in _events:
        labels[:] = np.random.default_rng(0).random(labels.shape) < 0.5
    if "lose" in _events:
        labels[labels == 1] = 0
    if "short" in _events:
        confidence = confidence[:-1]
    return Result(labels, confidence)


def make() -> StaticTracker:
    FramesAhead.read = _remember_name
    if loads := os.environ.get("STATIC_LOADS"):
        with Path(loads).open("a") as file:
            file.write(f"{os.getpid()}\n")
    fault = os.environ.get("STATIC_FAULT", "")
    if fault == "raise":
        raise RuntimeError("weights/static.pth is cut short: download it again")
    if fault == "exit":
        os._exit(3)
    if fault in ("hang", "slow"):
        time.sleep(1000 if fault == "hang" else 1.5)
    return StaticTracker()
