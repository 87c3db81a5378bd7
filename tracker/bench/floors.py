"""Two floors that a segmenter must beat: repeat the first mask, or warp it by dense optical flow.

Both have the calls of HQTracker: `initialize`, `track`, `add_objects`, each for one frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class LabelResult:
    """labels [H, W] uint8, 0 background, objects 1..N in order of arrival."""

    labels: np.ndarray


class RepeatFirstMask:
    """Every frame gets the masks that were given, where they were."""

    def __init__(self) -> None:
        self._labels = np.zeros((0, 0), np.uint8)
        self._count = 0

    def initialize(self, image: np.ndarray, masks: Sequence[np.ndarray]) -> LabelResult:
        """Start over. image [H, W, 3] uint8; masks: [H, W] bool, one per object, disjoint."""
        self._labels, self._count = np.zeros(image.shape[:2], np.uint8), 0
        return self._add(masks)

    def track(self, image: np.ndarray) -> LabelResult:
        return LabelResult(self._labels)

    def add_objects(self, image: np.ndarray, masks: Sequence[np.ndarray]) -> LabelResult:
        self.track(image)
        return self._add(masks)

    def _add(self, masks: Sequence[np.ndarray]) -> LabelResult:
        self._labels = self._labels.copy()
        for mask in masks:
            self._count += 1
            self._labels[mask] = self._count
        return LabelResult(self._labels)


class WarpByFlow(RepeatFirstMask):
    """Labels are carried from frame to frame by optical flow (Kroeger et al., DIS, OpenCV).

    Each pixel of the new frame takes the label of the pixel it came from (flow from the new frame
    to the one before, nearest label; nothing comes from outside the picture).
    """

    def __init__(self) -> None:
        super().__init__()
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._before = np.zeros((0, 0), np.uint8)

    def initialize(self, image: np.ndarray, masks: Sequence[np.ndarray]) -> LabelResult:
        self._before = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return super().initialize(image, masks)

    def track(self, image: np.ndarray) -> LabelResult:
        now = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        flow = self._flow.calc(now, self._before, None)
        height, width = now.shape
        flow[..., 0] += np.arange(width, dtype=np.float32)
        flow[..., 1] += np.arange(height, dtype=np.float32)[:, None]
        self._labels = cv2.remap(self._labels, flow, None, cv2.INTER_NEAREST)
        self._before = now
        return LabelResult(self._labels)
