"""HQTracker: session -> refine -> gate -> merge. One call per frame, one mask per object."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from tracker.build import build_parts
from tracker.config import TrackerConfig
from tracker.frames import check_frame
from tracker.labels import (
    MaskError,
    areas,
    check_masks,
    masks_to_labels,
    object_numbers,
    without,
)
from tracker.presence import NOTHING_YET, Presence, Usual
from tracker.prompts import Prompt, check_prompt, fallback_mask
from tracker.refining import Refining
from tracker.saved import load_state, save_state
from tracker.stages import FrameResult, Objects, Refiner, Segmented, Session, as_list
from tracker.streaming import Stream, StreamObjects

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


class NotInitializedError(RuntimeError):
    """A frame was given before the objects to track."""


class HQTracker:
    """Tracks the objects of one video: `initialize`, then one call per frame.

    Frames are [H, W, 3] uint8 RGB (or what `tracker.frames.check_frame` converts) and may change
    their size; masks are [H, W] at the size of their frame, nonzero on the object. Where masks of
    one call overlap, the smaller object lies on top. Objects are numbered 1, 2, ... in order of
    arrival, for ever; one that leaves keeps its number. An object may be given by a prompt
    (`tracker.prompts`) in place of a mask.

    new_session makes the segmenter's state for a video, refiner may be None, weights_note says in
    words which weights run. Trackers may share models: all that changes is in the session. A
    tracker is called from one thread at a time; threads at once need one tracker each.
    clock counts seconds, for a deadline (`tracker.realtime`).
    """

    def __init__(
        self,
        new_session: Callable[[], Session],
        refiner: Refiner | None,
        config: TrackerConfig,
        weights_note: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.config = config
        self.weights_note = weights_note
        self._new_session = new_session
        self._refiner = refiner
        self._refining = Refining(refiner, config, clock)
        self._session: Session | None = None
        self._presence = self._new_presence()
        self._count = 0
        self._removed: set[int] = set()
        self._video = 0

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

        Raises ConfigError (unknown preset, setting or device), CheckpointError (weights) and
        OutOfMemoryError.
        """
        parts = build_parts(name, weights, device, overrides)
        return cls(parts.new_session, parts.refiner, parts.config, parts.weights_note)

    @property
    def count(self) -> int:
        """How many objects were given, also those removed since; 0 before `initialize`."""
        return self._count

    @property
    def objects(self) -> tuple[int, ...]:
        """Numbers of the objects that are tracked, present or not: given and not removed."""
        return tuple(n for n in range(1, self._count + 1) if n not in self._removed)

    @property
    def video(self) -> int:
        """Counts the videos: another number since `initialize`, `load_state` or `reset`."""
        return self._video

    @property
    def has_refiner(self) -> bool:
        """Whether HQ-SAM refines masks and segments prompts."""
        return self._refiner is not None

    def initialize(self, image: np.ndarray, objects: Objects) -> FrameResult:
        """Begin a video with its first frame and every object in it, as mask or prompt.

        Forgets the video before. The result holds the masks as given, or as `masks_of` the
        prompts (overlaps resolved).
        Raises FrameError, MaskError or PromptError, and then leaves the tracker as it was.
        """
        image, labels, count = self._checked(image, objects)
        session = self._new_session()
        segmented = session.start(image, labels, count)
        self._begin_video(session, count)
        self._presence.begin(labels, count)
        self._refining.restart()
        return FrameResult(segmented.labels, segmented.confidence, np.zeros(count, dtype=bool))

    def track(self, image: np.ndarray) -> FrameResult:
        """The objects in the next frame. Raises NotInitializedError, FrameError."""
        session = self._running()
        image = check_frame(image)
        ahead = self._refining.begin(image)
        segmented = self._without_doubtful(session.step(image))
        return self._refining.finish(ahead, segmented, self._count)

    def settle(self) -> None:
        """Finish what the last answer need not have waited for: the frame enters memory.

        For a time in which nothing else is to be done; without it, the next frame waits for it.
        """
        if self._session is not None:
            self._session.settle()

    def add_objects(self, image: np.ndarray, objects: Objects) -> FrameResult:
        """The next frame, in which new objects appear: in place of `track` for this frame.

        The objects known so far are tracked in it, the new ones start in it with their masks,
        which win over old objects.
        Raises NotInitializedError, FrameError, MaskError, PromptError, and then leaves the tracker
        as it was.
        """
        session = self._running()
        image, labels, count = self._checked(image, objects)
        ahead = self._refining.begin(image)
        segmented = session.step_and_add(image, labels, count)
        known, self._count = self._count, self._count + count
        self._presence.begin(segmented.labels, self._count)
        segmented = self._without_doubtful(segmented)
        return self._refining.finish(ahead, segmented, known)

    def remove_objects(self, numbers: Iterable[int]) -> None:
        """Stop tracking these objects, from the next frame on and for ever.

        They come out absent, their numbers are not given again, the others keep theirs; what is
        remembered of them becomes background, so that their pixels are free at once. Raises
        NotInitializedError, and MaskError for a number that is not tracked; then none is removed.
        """
        session, chosen = self._running(), object_numbers(numbers)
        if unknown := chosen - set(self.objects):
            raise MaskError(
                f"cannot remove {', '.join(map(str, sorted(unknown)))}: the objects that are "
                f"tracked are {', '.join(map(str, self.objects)) or 'none'}"
            )
        session.remove(sorted(chosen))
        self._removed |= chosen

    def stream(
        self,
        frames: Iterable[np.ndarray | torch.Tensor],
        objects: StreamObjects = (),
        output: str | None = None,
    ) -> Stream:
        """Track through frames as they come: `for result in tracker.stream(frames, objects)`.

        See `tracker.streaming.Stream`, which also adds and removes objects on the way.
        """
        return Stream(self, frames, objects, output)

    def masks_of(self, image: np.ndarray, prompts: Sequence[Prompt]) -> np.ndarray:
        """The masks [K, H, W] bool that prompts would start objects with; tracks nothing.

        By HQ-SAM where the tracker has it (where it finds nothing, and without it, by
        `tracker.prompts.fallback_mask`). Raises FrameError, PromptError, MaskError for no list.
        """
        image, prompts = check_frame(image), as_list(prompts)
        for prompt in prompts:
            check_prompt(prompt, image.shape[:2])
        if not prompts:
            return np.zeros((0, *image.shape[:2]), dtype=bool)
        if self._refiner is None:
            return np.stack([fallback_mask(image, prompt) for prompt in prompts])
        masks = self._refiner.segment(image, prompts).masks
        for index in np.flatnonzero(~masks.any(axis=(1, 2))):
            masks[index] = fallback_mask(image, prompts[index])
        return masks

    def save_state(self, path: str | Path) -> None:
        """Write what is remembered of the video so far (some tens of MB) to a safetensors file.

        `load_state` goes on from there, also in another process. Raises NotInitializedError,
        OSError.
        """
        tensors, record = self._running().pack()
        own = {"removed": sorted(self._removed), "usual": self._presence.usual._asdict()}
        save_state(path, tensors, record | own, self._identity)

    def load_state(self, path: str | Path) -> None:
        """Go on with a video whose state was saved, exactly as if it had never stopped.

        Raises StateError when the file is damaged, or was saved with other settings or weights.
        """
        tensors, record = load_state(path, self._identity)
        session = self._new_session()
        session.restore(tensors, record)
        self._begin_video(session, record["count"], set(record["removed"]))
        self._presence = self._new_presence(Usual(**record["usual"]))

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an HQTracker cannot be copied or pickled, as it would have to be for another process: "
            "make one there with HQTracker.from_preset, and to go on with a video use save_state "
            "here and load_state there"
        )

    @property
    def _identity(self) -> str:
        return f"{self.config}; {self.weights_note}"

    def reset(self) -> None:
        """Forget the video and free what was remembered of it."""
        self._begin_video(None, 0)

    def warm_up(self) -> None:
        """Run two blank frames, so that the first real one meets no start-up cost; resets."""
        image = np.zeros((480, 854, 3), dtype=np.uint8)
        mask = np.zeros((480, 854), dtype=bool)
        mask[200:280, 400:480] = True
        self.initialize(image, [mask])
        self.track(image)
        self.reset()

    def _checked(self, image: np.ndarray, objects: Objects) -> tuple[np.ndarray, np.ndarray, int]:
        """The frame, the label map [H, W] of the new objects in it, and how many they are."""
        image, objects = check_frame(image), as_list(objects)
        prompts = {i: o for i, o in enumerate(objects) if isinstance(o, Prompt)}
        if prompts:
            found = dict(zip(prompts, self.masks_of(image, [*prompts.values()]), strict=True))
            objects = [found.get(i, o) for i, o in enumerate(objects)]
        checked = check_masks(objects, image.shape[:2])
        labels = masks_to_labels(checked)
        visible = areas(labels, len(checked)) > 0
        for place in np.flatnonzero(~visible) + 1:
            logger.warning("new object %d lies wholly under smaller ones: it starts absent", place)
        return image, labels, len(checked)

    def _begin_video(
        self, session: Session | None, count: int, removed: Collection[int] = ()
    ) -> None:
        self._session, self._count, self._removed = session, count, set(removed)
        self._presence = self._new_presence()
        self._video += 1

    def _running(self) -> Session:
        if self._session is None:
            raise NotInitializedError(
                "no objects to track yet: call initialize(image, masks) first"
            )
        return self._session

    def _new_presence(self, usual: Usual = NOTHING_YET) -> Presence:
        return Presence(self.config.presence.threshold, usual)

    def _without_doubtful(self, segmented: Segmented) -> FrameResult:
        """The segmenter's answer, without the objects that it is too unsure of."""
        doubtful = self._presence.absent(segmented.labels, segmented.confidence)
        confidence = np.where(doubtful, 0, segmented.confidence).astype(np.float32)
        return FrameResult(
            without(segmented.labels, np.flatnonzero(doubtful) + 1),
            confidence,
            np.zeros(len(confidence), dtype=bool),
        )
