"""HQTracker: session -> refine -> gate -> merge. One call per frame, one mask per object."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tracker.config import ConfigError, TrackerConfig, preset
from tracker.frames import check_frame
from tracker.labels import boxes, check_masks, gate, label_dtype, masks_to_labels, merge

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

WEIGHTS_VARIABLE = "HQTRACK_WEIGHTS"
"""Environment variable that names the folder of weights; default: `weights/` of the checkout."""


class NotInitializedError(RuntimeError):
    """A frame was given before the objects to track."""


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


class Segmented(Protocol):
    """What a session answers: labels [H, W] with ids 0..N, confidence [N] float32 in 0..1."""

    @property
    def labels(self) -> np.ndarray: ...
    @property
    def confidence(self) -> np.ndarray: ...


class Session(Protocol):
    """One video being segmented, as `tracker.vmos.session.VmosSession` does it."""

    def start(self, image: np.ndarray, labels: np.ndarray, count: int) -> Segmented: ...
    def step(self, image: np.ndarray) -> Segmented: ...
    def step_and_add(self, image: np.ndarray, labels: np.ndarray, count: int) -> Segmented: ...


class Refined(Protocol):
    """What a refiner answers: masks [K, H, W] bool, one per box."""

    @property
    def masks(self) -> np.ndarray: ...


class Refiner(Protocol):
    """Masks for boxes [K, 4] (XYXY, inclusive) of a frame, as `tracker.refiner.MaskRefiner`."""

    def refine(self, image: np.ndarray, boxes: np.ndarray) -> Refined: ...


class HQTracker:
    """Tracks the objects of one video: `initialize`, then one call per frame.

    Frames are [H, W, 3] uint8 RGB (or what `tracker.frames.check_frame` converts) and may change
    their size; masks are [H, W] at the size of their frame, nonzero on the object. Where masks of
    one call overlap, the smaller object lies on top. Objects are numbered 1, 2, ... in order of
    arrival, for ever; one that leaves keeps its number.

    new_session makes the segmenter's state for a video, refiner may be None, weights_note says in
    words which weights run. Trackers may share models: all that changes is in the session.
    """

    def __init__(
        self,
        new_session: Callable[[], Session],
        refiner: Refiner | None,
        config: TrackerConfig,
        weights_note: str,
    ) -> None:
        gate_iou = config.refiner.gate_iou
        if not isinstance(gate_iou, int | float) or not 0 <= gate_iou <= 1:
            raise ConfigError(f"refiner__gate_iou is {gate_iou!r}, it goes from 0 to 1")
        self.config = config
        self.weights_note = weights_note
        self._new_session = new_session
        self._refiner = refiner
        self._session: Session | None = None
        self._count = 0

    @classmethod
    def from_preset(
        cls,
        name: str = "hqtrack",
        weights: str | Path | None = None,
        device: str | torch.device | None = None,
        **overrides: Any,
    ) -> HQTracker:
        """A tracker with weights from a folder, on a device ("cpu", "cuda", "cuda:1").

        `hqtrack` runs the official segmenter where its file is in the folder, else the bundled
        light one, with a warning; `weights_note` tells which. The refiner of a preset runs where
        its file is present; one asked for by `refiner__model=...` must be.
        weights: default $HQTRACK_WEIGHTS, else `weights/` of the checkout. device: default CUDA
        where there is one. Overrides: see `tracker.config.preset`.

        Raises ConfigError (unknown preset, setting or device) and CheckpointError (weights).
        """
        config = preset(name, **overrides)
        folder = weights_folder(weights)
        place = _device(device)
        config, vmos_note = _with_available_weights(config, folder, overrides)
        refiner, refiner_note = _refiner(config, folder, place, "refiner__model" in overrides)
        new_session = _session_maker(config, folder, place)
        return cls(new_session, refiner, config, f"{vmos_note}; {refiner_note}")

    @property
    def count(self) -> int:
        """How many objects are tracked, present or not; 0 before `initialize`."""
        return self._count

    def initialize(
        self, image: np.ndarray, masks: Sequence[np.ndarray] | np.ndarray
    ) -> FrameResult:
        """Begin a video with its first frame and the mask of every object in it.

        Forgets the video before. The result holds the masks as given (overlaps resolved).
        Raises FrameError or MaskError, and then leaves the tracker as it was.
        """
        image, labels, count = _checked(image, masks)
        session = self._new_session()
        segmented = session.start(image, labels, count)
        self._session, self._count = session, count
        return FrameResult(segmented.labels, segmented.confidence, np.zeros(count, dtype=bool))

    def track(self, image: np.ndarray) -> FrameResult:
        """The objects in the next frame. Raises NotInitializedError, FrameError."""
        session = self._running()
        image = check_frame(image)
        return self._refine(image, session.step(image), self._count)

    def add_objects(
        self, image: np.ndarray, masks: Sequence[np.ndarray] | np.ndarray
    ) -> FrameResult:
        """The next frame, in which new objects appear: in place of `track` for this frame.

        The objects known so far are tracked in it, the new ones start in it with the masks given,
        which win over old objects. Raises NotInitializedError, FrameError, MaskError.
        """
        session = self._running()
        image, labels, count = _checked(image, masks)
        segmented = session.step_and_add(image, labels, count)
        known, self._count = self._count, self._count + count
        return self._refine(image, segmented, known)

    def reset(self) -> None:
        """Forget the video and free what was remembered of it."""
        self._session, self._count = None, 0

    def warm_up(self) -> None:
        """Run two blank frames, so that the first real one meets no start-up cost; resets."""
        image = np.zeros((480, 854, 3), dtype=np.uint8)
        mask = np.zeros((480, 854), dtype=bool)
        mask[200:280, 400:480] = True
        self.initialize(image, [mask])
        self.track(image)
        self.reset()

    def _running(self) -> Session:
        if self._session is None:
            raise NotInitializedError(
                "no objects to track yet: call initialize(image, masks) first"
            )
        return self._session

    def _refine(self, image: np.ndarray, segmented: Segmented, known: int) -> FrameResult:
        """Refine the first `known` objects; those after them were given in this frame."""
        labels, count = segmented.labels, len(segmented.confidence)
        refined = np.zeros(count, dtype=bool)
        found, present = boxes(labels, count)
        prompted = np.flatnonzero(present[:known])
        if self._refiner is None or len(prompted) == 0:
            return FrameResult(labels, segmented.confidence, refined)
        proposals = self._refiner.refine(image, found[prompted]).masks
        own = labels[None] == (prompted + 1).astype(labels.dtype)[:, None, None]
        refined[prompted] = gate(own, proposals, self.config.refiner.gate_iou)
        masks = np.zeros((count, *labels.shape), dtype=bool)
        masks[prompted] = proposals
        merged = np.where(labels > known, labels, merge(labels, masks, refined))
        visible = np.bincount(merged.ravel(), minlength=count + 1)[1:] > 0
        confidence = np.where(visible, segmented.confidence, 0).astype(np.float32)
        return FrameResult(merged.astype(label_dtype(count)), confidence, refined)


def weights_folder(folder: str | Path | None = None) -> Path:
    """The folder of weights: as given, else $HQTRACK_WEIGHTS, else `weights/` of the checkout.

    Raises CheckpointError when it does not exist.
    """
    from tracker.checkpoints import CheckpointError

    chosen = Path(
        folder or os.environ.get(WEIGHTS_VARIABLE) or Path(__file__).parents[1] / "weights"
    )
    if not chosen.is_dir():
        raise CheckpointError(
            f"no weights folder {chosen}; name one (weights=..., or ${WEIGHTS_VARIABLE}), "
            "`make weights` fills it"
        )
    return chosen


def _checked(
    image: np.ndarray, masks: Sequence[np.ndarray] | np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    image = check_frame(image)
    checked = check_masks(masks, image.shape[:2])
    labels = masks_to_labels(checked)
    visible = np.bincount(labels.ravel(), minlength=len(checked) + 1)[1:] > 0
    for place in np.flatnonzero(~visible) + 1:
        logger.warning("new object %d lies wholly under smaller ones: it starts absent", place)
    return image, labels, len(checked)


def _device(device: str | torch.device | None) -> torch.device:
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {str(device)!r} cannot be used here ({str(error).splitlines()[0]}); "
            "device='cpu' always can"
        ) from error
    return chosen


def _with_available_weights(
    config: TrackerConfig, folder: Path, overrides: dict[str, Any]
) -> tuple[TrackerConfig, str]:
    """The settings that the weights in the folder allow, and a note on which weights they are."""
    from tracker.vmos.loading import OFFICIAL_VMOS

    if config.name != "hqtrack":
        return config, f"{config.name} bundled"
    if (folder / OFFICIAL_VMOS).is_file():
        return config, f"hqtrack official ({OFFICIAL_VMOS})"
    light = preset("hqtrack-lite", **overrides)
    note = "hqtrack-lite bundled (official hqtrack weights not found)"
    logger.warning("%s is not in %s: running %s", OFFICIAL_VMOS, folder, note)
    return dataclasses.replace(light, refiner=config.refiner), note


def _refiner(
    config: TrackerConfig, folder: Path, device: torch.device, required: bool
) -> tuple[Refiner | None, str]:
    model = config.refiner.model
    if model is None:
        return None, "no refiner"
    from tracker.refiner import build_refiner, checkpoint_path

    path = checkpoint_path(model, folder)
    if not path.is_file() and not required:
        logger.warning("%s is not in %s: running without a refiner", path.name, folder)
        return None, f"no refiner ({path.name} not found)"
    return build_refiner(model, folder, device), f"refiner {path.name}"


def _session_maker(
    config: TrackerConfig, folder: Path, device: torch.device
) -> Callable[[], Session]:
    from tracker.vmos.loading import load_vmos
    from tracker.vmos.session import VmosSession

    model = load_vmos(config, folder).to(device).eval()
    return lambda: VmosSession(model, config, device)
