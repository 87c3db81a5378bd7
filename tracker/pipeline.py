"""HQTracker: session -> refine -> gate -> merge. One call per frame, one mask per object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FrameResult:
    """The answer for one frame.

    labels: [H, W] uint8 (uint16 above 255 objects), 0 background, objects 1..N in order of arrival.
    confidence: [N] float32 in 0..1, mean probability of the object over its mask, 0 when absent.
    refined: [N] bool, whether the refiner's mask was taken.
    """

    labels: np.ndarray
    confidence: np.ndarray
    refined: np.ndarray

    @property
    def count(self) -> int:
        """How many objects are tracked (present or not)."""
        return len(self.confidence)

    @property
    def masks(self) -> np.ndarray:
        """[N, H, W] bool, one mask per object in order of arrival; empty where it is absent."""
        ids = np.arange(1, self.count + 1, dtype=self.labels.dtype)
        return self.labels[None] == ids[:, None, None]

    @property
    def present(self) -> np.ndarray:
        """[N] bool, whether the object has at least one pixel."""
        return np.bincount(self.labels.ravel(), minlength=self.count + 1)[1:] > 0
