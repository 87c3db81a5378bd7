"""The same tracker, but every object alone: what joint tracking is compared with.

HQTrack's first finding is that objects are tracked better jointly than one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from tracker.bench.floors import LabelResult
from tracker.labels import masks_to_labels


class Tracker(Protocol):
    """The calls of HQTracker that are used."""

    def initialize(self, image: np.ndarray, masks: Sequence[np.ndarray]) -> LabelResult: ...
    def track(self, image: np.ndarray) -> LabelResult: ...


class OneByOne:
    """A tracker per object, made by `make_tracker`, blind for the others.

    Where two objects are found at one place, the smaller lies on top.
    """

    def __init__(self, make_tracker: Callable[[], Tracker]) -> None:
        self._make_tracker = make_tracker
        self._trackers: list[Tracker] = []

    def initialize(self, image: np.ndarray, masks: Sequence[np.ndarray]) -> LabelResult:
        """Start over. image [H, W, 3] uint8; masks: [H, W] bool, one per object."""
        self._trackers = []
        return self.add_objects(image, masks)

    def track(self, image: np.ndarray) -> LabelResult:
        return self.add_objects(image, [])

    def add_objects(self, image: np.ndarray, masks: Sequence[np.ndarray]) -> LabelResult:
        found = [tracker.track(image).labels > 0 for tracker in self._trackers]
        for mask in masks:
            self._trackers.append(self._make_tracker())
            found.append(self._trackers[-1].initialize(image, [mask]).labels > 0)
        return LabelResult(masks_to_labels(np.stack(found)))
