"""What happens when a device has no memory left: less at once, then less quality, then an end.

The refiner gives way first, in stated steps: all objects at once, then half as many, down to one;
then the frame goes without it. The segmenter cannot do with less than it takes: starting a video
is tried once more after unused memory was given back; in mid-video it ends with the remedy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from tracker.prompts import Prompt
from tracker.stages import Refiner, Segmented, Session

logger = logging.getLogger(__name__)

REMEDY = (
    "track fewer objects at once, make frames smaller (--set frame__max_long_edge=720), remember "
    "less (--set memory__capacity=3), take a smaller refiner (--set refiner__model=vit_b, or None),"
    " end other programs on this device, or compute on the CPU (--device cpu); for trackers.ini "
    "these are HQTRACK_SET and HQTRACK_DEVICE=cpu"
)

_Answer = TypeVar("_Answer")


class OutOfMemoryError(RuntimeError):
    """The device has too little memory for what is asked; the text names what would help."""


@dataclass(frozen=True)
class RefinedWithinMemory:
    """masks: [K, H, W] bool, empty where there was no memory to refine."""

    masks: np.ndarray


@dataclass(frozen=True)
class _Encoded:
    """A frame [H, W, 3] and what the refiner made of it: its code, or the frame itself."""

    image: np.ndarray
    code: Any


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def release() -> None:
    """Give memory that PyTorch keeps for later use back to the device."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def with_remedy(what: str, action: Callable[[], _Answer]) -> _Answer:
    """What `action` returns. Raises OutOfMemoryError when there is no memory for `what` it does."""
    try:
        return action()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        cause = str(error).strip().splitlines()[0] if str(error).strip() else "no details"
    release()
    raise OutOfMemoryError(f"the device has no memory left for {what} ({cause}); {REMEDY}")


class RefinerWithinMemory:
    """A refiner that takes fewer objects at once when memory runs out, or leaves a frame out.

    A number of objects that did not fit is not tried again. Masks left out are empty: the gate
    refuses them, and prompts fall back to `tracker.prompts.fallback_mask`.
    """

    def __init__(self, refiner: Refiner) -> None:
        self._refiner = refiner
        self._most: int | None = None

    @property
    def encodes_ahead(self) -> bool:
        """As `Refiner.encodes_ahead`."""
        return self._refiner.encodes_ahead

    def encode(self, image: np.ndarray) -> _Encoded:
        """The frame with its code for `refine`; without it where there is no memory for both."""
        try:
            return _Encoded(image, self._refiner.encode(image))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        release()
        return _Encoded(image, image)

    def refine(self, image: np.ndarray | _Encoded, boxes: np.ndarray) -> RefinedWithinMemory:
        """Masks [K, H, W] bool for boxes [K, 4], as `Refiner.refine`."""
        given = image if isinstance(image, _Encoded) else _Encoded(image, image)
        return self._in_groups(
            boxes, lambda part: self._refiner.refine(given.code, part).masks, given.image
        )

    def segment(self, image: np.ndarray, prompts: Sequence[Prompt]) -> RefinedWithinMemory:
        """Masks [K, H, W] bool for prompts, as `Refiner.segment`."""
        return self._in_groups(
            prompts, lambda part: self._refiner.segment(image, part).masks, image
        )

    def _in_groups(
        self,
        items: np.ndarray | Sequence[Prompt],
        masks_of: Callable[[np.ndarray | Sequence[Prompt]], np.ndarray],
        image: np.ndarray,
    ) -> RefinedWithinMemory:
        masks = np.zeros((len(items), *image.shape[:2]), dtype=bool)
        done = 0
        while done < len(items):
            size = min(len(items) - done, self._most or len(items))
            try:
                masks[done : done + size] = masks_of(items[done : done + size])
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                failed = True
            else:
                failed, done = False, done + size
            if failed:  # outside of `except`: there the error keeps the tensors of its frames
                release()
                if not self._give_way(size):
                    break
        return RefinedWithinMemory(masks)

    def _give_way(self, size: int) -> bool:
        """After `size` objects did not fit: whether fewer shall be tried."""
        self._most = max(1, size // 2)
        if size == 1:
            logger.warning("no memory to refine this frame: it goes without; %s", REMEDY)
            return False
        logger.warning("no memory to refine %d objects at once: %d from now on", size, self._most)
        return True


class SessionWithinMemory:
    """A session whose errors of memory name what would help."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def start(self, image: np.ndarray, labels: np.ndarray, count: int) -> Segmented:
        """As `Session.start`; tried twice, since it begins anew."""
        try:
            return self._session.start(image, labels, count)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        release()
        logger.warning("no memory to start %d objects: tried again with what others gave", count)
        return with_remedy(_what(image), lambda: self._session.start(image, labels, count))

    def step(self, image: np.ndarray) -> Segmented:
        """As `Session.step`."""
        return with_remedy(_what(image), lambda: self._session.step(image))

    def settle(self) -> None:
        """As `Session.settle`."""
        with_remedy("this frame", self._session.settle)

    def step_and_add(self, image: np.ndarray, labels: np.ndarray, count: int) -> Segmented:
        """As `Session.step_and_add`."""
        return with_remedy(_what(image), lambda: self._session.step_and_add(image, labels, count))

    def remove(self, objects: Sequence[int]) -> None:
        """As `Session.remove`."""
        self._session.remove(objects)

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """As `Session.pack`."""
        return self._session.pack()

    def restore(self, tensors: dict[str, Any], record: dict[str, Any]) -> None:
        """As `Session.restore`."""
        with_remedy("what was saved", lambda: self._session.restore(tensors, record))


def _what(image: np.ndarray) -> str:
    height, width = image.shape[:2]
    return f"this frame of {width} x {height} pixels"
