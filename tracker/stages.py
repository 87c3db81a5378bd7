"""What passes between the stages of a frame: segmenter -> refiner -> answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tracker.labels import MaskError, areas
from tracker.prompts import Prompt

Objects = Sequence[np.ndarray | Prompt] | np.ndarray
"""New objects, one each: masks [H, W], nonzero on the object, and prompts; or masks [N, H, W]."""


def as_list(objects: Objects) -> list[np.ndarray | Prompt]:
    """Masks and prompts one by one. MaskError for what is no collection of them."""
    one_mask = getattr(objects, "ndim", 3) == 2
    if one_mask or isinstance(objects, Prompt | str) or not isinstance(objects, Iterable):
        told = f"a single array of shape {tuple(objects.shape)}" if one_mask else repr(objects)
        raise MaskError(
            f"objects are given as a list of masks and prompts, one each, not as {told}; "
            "write [...] around it"
        )
    return list(objects)


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
        """How many objects were given, present or not, also those that were removed since."""
        return len(self.confidence)

    @property
    def masks(self) -> np.ndarray:
        """[N, H, W] bool, one mask per object in order of arrival; empty where it is absent."""
        ids = np.arange(1, self.count + 1, dtype=self.labels.dtype)
        return self.labels[None] == ids[:, None, None]

    @property
    def present(self) -> np.ndarray:
        """[N] bool, whether the object has at least one pixel."""
        return areas(self.labels, self.count) > 0


class Segmented(Protocol):
    """What a session answers: labels [H, W] with ids 0..N, confidence [N] float32 in 0..1."""

    @property
    def labels(self) -> np.ndarray: ...
    @property
    def confidence(self) -> np.ndarray: ...


class Session(Protocol):
    """One video being segmented, as `tracker.vmos.session.VmosSession` does it.

    `settle` does what the last answer need not have waited for; otherwise the next call does it.
    """

    def start(self, image: np.ndarray, labels: np.ndarray, count: int) -> Segmented: ...
    def step(self, image: np.ndarray) -> Segmented: ...
    def settle(self) -> None: ...
    def step_and_add(self, image: np.ndarray, labels: np.ndarray, count: int) -> Segmented: ...
    def remove(self, objects: Sequence[int]) -> None: ...
    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]: ...
    def restore(self, tensors: dict[str, Any], record: dict[str, Any]) -> None: ...


class Refined(Protocol):
    """What a refiner answers: masks [K, H, W] bool, one per box."""

    @property
    def masks(self) -> np.ndarray: ...


class Refiner(Protocol):
    """Masks for boxes [K, 4] (XYXY, inclusive) or for a user's prompts in a frame.

    As `tracker.refiner.MaskRefiner` does it. `refine` takes a frame, or what `encode` has made of
    it; encodes_ahead: whether the device encodes beside the segmenter, so that it is worth
    calling `encode` first.
    """

    @property
    def encodes_ahead(self) -> bool: ...
    def encode(self, image: np.ndarray) -> Any: ...
    def refine(self, image: Any, boxes: np.ndarray) -> Refined: ...
    def segment(self, image: np.ndarray, prompts: Sequence[Prompt]) -> Refined: ...
