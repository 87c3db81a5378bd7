"""Segmenter -> refiner -> gate -> merge: the second half of a frame, where time allows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tracker.config import TrackerConfig
from tracker.labels import areas, boxes, gate, label_dtype, merge
from tracker.realtime import RefineSchedule
from tracker.stages import FrameResult, Refiner


class Refining:
    """Asks the refiner for a mask in the box of every object and takes what the gate lets through.

    refiner may be None: masks stay as they were segmented. clock counts seconds, for a deadline
    (`tracker.realtime`), which is all that is kept from frame to frame.
    """

    def __init__(
        self,
        refiner: Refiner | None,
        config: TrackerConfig,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._refiner = refiner
        self._gate_iou = config.refiner.gate_iou
        self._schedule = RefineSchedule(config.realtime, clock)

    def restart(self) -> None:
        """A video begins."""
        self._schedule.restart()

    def begin(self, image: np.ndarray) -> Any:
        """A frame begins: what `finish` is to be given, the frame or the refiner's code of it."""
        expected = self._schedule.begin()
        if expected and self._refiner is not None and self._refiner.encodes_ahead:
            return self._refiner.encode(image)
        return image

    def finish(self, image: Any, segmented: FrameResult, known: int) -> FrameResult:
        """The answer of a frame, given what `begin` made of it and what was segmented in it.

        The first `known` objects are refined; those after them were given in this frame. Nothing is
        refined where time is short.
        """
        if self._refiner is None:
            return segmented
        found, present = boxes(segmented.labels, segmented.count)
        prompted = np.flatnonzero(present[:known])
        if len(prompted) == 0 or not self._schedule.allows():
            return segmented
        with self._schedule.refining():
            proposals = self._refiner.refine(image, found[prompted]).masks
            return self._gated(segmented, proposals, prompted, known)

    def _gated(
        self, segmented: FrameResult, proposals: np.ndarray, prompted: np.ndarray, known: int
    ) -> FrameResult:
        """The answer with the proposals [K, H, W] for objects `prompted` [K] (from 0) merged in."""
        labels, count = segmented.labels, segmented.count
        refined = np.zeros(count, dtype=bool)
        masks = [labels == number for number in range(1, count + 1)]
        refined[prompted] = gate([masks[i] for i in prompted], proposals, self._gate_iou)
        for index, proposal in zip(prompted, proposals, strict=True):
            masks[index] = proposal
        merged = np.where(labels > known, labels, merge(labels, masks, refined))
        visible = areas(merged, count) > 0
        confidence = np.where(visible, segmented.confidence, 0).astype(np.float32)
        return FrameResult(merged.astype(label_dtype(count)), confidence, refined)
