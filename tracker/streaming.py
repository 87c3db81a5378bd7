"""Tracking through frames as they come: NumPy or PyTorch in and out, objects that come and go."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tracker.frames import FrameError
from tracker.prompts import Prompt
from tracker.stages import FrameResult, Objects, as_list

if TYPE_CHECKING:
    import torch

StreamObjects = Objects | Mapping[int, Objects]
"""The objects of the first frame; or {frame: objects}, frames counted from 0."""

logger = logging.getLogger(__name__)

OUTPUTS = (None, "numpy", "torch")


class Tracker(Protocol):
    """What a stream drives: `tracker.pipeline.HQTracker`."""

    @property
    def count(self) -> int: ...
    @property
    def video(self) -> int: ...
    def initialize(self, image: np.ndarray, objects: Objects) -> FrameResult: ...
    def track(self, image: np.ndarray) -> FrameResult: ...
    def add_objects(self, image: np.ndarray, objects: Objects) -> FrameResult: ...
    def remove_objects(self, numbers: Iterable[int]) -> None: ...
    def reset(self) -> None: ...


@dataclass(frozen=True)
class StreamResult:
    """The answer for frame `number`, counted from 0; all arrays NumPy, or all PyTorch.

    labels: [H, W] uint8 (above 255 objects uint16, in PyTorch int32), 0 background, 1..N objects.
    masks: [N, H, W] bool. present, refined: [N] bool. confidence: [N] float32 in 0..1.
    """

    number: int
    labels: np.ndarray | torch.Tensor
    masks: np.ndarray | torch.Tensor
    present: np.ndarray | torch.Tensor
    confidence: np.ndarray | torch.Tensor
    refined: np.ndarray | torch.Tensor

    @property
    def count(self) -> int:
        """How many objects were given so far, also those that were removed since."""
        return len(self.confidence)


class StreamError(RuntimeError):
    """A stream whose tracker has been given another video."""


class Stream(Iterator[StreamResult]):
    """Answers frame by frame; iterate once. One frame at a time is held.

    Frames: arrays as `HQTracker` takes them, or tensors [3, H, W], [1, H, W] or [H, W] on any
    device, uint8 or floats in 0..1. Before the first object the answers have none. Objects are
    numbered in the order in which they come; `add` and `remove` count from the next frame on. When
    a frame is refused (FrameError), what should have started in it starts in the next. A start
    named for a frame that never comes is told in the log.

    output: "numpy", "torch" (on the device of the frame), or None: what the frame is.
    Raises what the tracker's methods raise, ValueError for another output or a start in no frame,
    and StreamError once the tracker was given another video: every stream needs its own.
    """

    def __init__(
        self,
        tracker: Tracker,
        frames: Iterable[np.ndarray | torch.Tensor],
        objects: StreamObjects = (),
        output: str | None = None,
    ) -> None:
        if output not in OUTPUTS:
            raise ValueError(f"output is {output!r}; it is 'numpy', 'torch' or None")
        starts = objects if isinstance(objects, Mapping) else {0: objects}
        for number in starts:
            if not isinstance(number, int | np.integer) or number < 0:
                raise ValueError(f"objects start in frame {number!r}; frames are numbered from 0")
        tracker.reset()
        self._tracker, self._frames, self._output = tracker, iter(frames), output
        self._starts = {int(number): as_list(new) for number, new in starts.items()}
        self._number, self._video = 0, tracker.video

    def add(self, objects: Objects) -> None:
        """Start objects, masks or prompts, in the next frame."""
        self._starts.setdefault(self._number, []).extend(as_list(objects))

    def remove(self, numbers: Iterable[int]) -> None:
        """Stop tracking these objects, see `HQTracker.remove_objects`."""
        self._check_video()
        self._tracker.remove_objects(numbers)

    def __next__(self) -> StreamResult:
        self._check_video()
        try:
            frame = next(self._frames)
        except StopIteration:
            self._tell_late_starts()
            raise
        number, self._number = self._number, self._number + 1
        new = [_marked(one) for one in self._starts.pop(number, ())]
        try:
            result = follow(self._tracker, _image(frame), new)
        except FrameError:
            self._starts[number + 1] = new + self._starts.get(number + 1, [])
            raise
        self._video = self._tracker.video
        place = frame.device if _is_tensor(frame) else None
        as_torch = _is_tensor(frame) if self._output is None else self._output == "torch"
        return _answer(number, result, place or "cpu") if as_torch else _answer(number, result)

    def _check_video(self) -> None:
        if self._tracker.video != self._video:
            raise StreamError(
                f"after {self._number} frames of this stream its tracker was given another video "
                "(initialize, load_state, reset, or another stream); give every stream a tracker "
                "of its own"
            )

    def _tell_late_starts(self) -> None:
        if late := sorted(number for number, new in self._starts.items() if new):
            logger.warning(
                "the frames ended after %d; the objects of frame %s did not start",
                self._number,
                ", ".join(map(str, late)),
            )
            self._starts.clear()


def follow(
    tracker: Tracker, image: np.ndarray, objects: Sequence[np.ndarray | Prompt]
) -> FrameResult:
    """The next frame, in which these objects start (or none); no object at all is an answer too."""
    if objects:
        begin = tracker.add_objects if tracker.count else tracker.initialize
        return begin(image, objects)
    if tracker.count:
        return tracker.track(image)
    none = np.zeros(0, np.float32)
    return FrameResult(np.zeros(image.shape[:2], np.uint8), none, none.astype(bool))


def _answer(number: int, result: FrameResult, device: Any = None) -> StreamResult:
    """The answer as arrays, or as tensors on a device."""
    arrays = (result.labels, result.masks, result.present, result.confidence, result.refined)
    if device is None:
        return StreamResult(number, *arrays)
    import torch

    whole = [a.astype(np.int32) if a.dtype == np.uint16 else a for a in arrays]
    return StreamResult(number, *(torch.from_numpy(a).to(device) for a in whole))


def _image(frame: np.ndarray | torch.Tensor) -> np.ndarray:
    if not _is_tensor(frame):
        return frame
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[0] not in (1, 3)):
        raise FrameError(
            f"a frame as tensor is [3, H, W], [1, H, W] or [H, W], not {tuple(frame.shape)}; "
            "frame.permute(2, 0, 1) brings the channels to the front"
        )
    frame = frame.detach()
    if frame.is_floating_point() and frame.numel():
        low, high = float(frame.min()), float(frame.max())
        if not 0 <= low <= high <= 1:
            raise FrameError(f"floats in a frame go from 0 to 1, not from {low:g} to {high:g}")
        frame = (frame * 255).round().byte()
    image = (frame if frame.numel() else frame.byte()).cpu().numpy()
    return np.ascontiguousarray(image.transpose(1, 2, 0)) if image.ndim == 3 else image


def _marked(one: np.ndarray | torch.Tensor | Prompt) -> np.ndarray | Prompt:
    if not _is_tensor(one):
        return one
    one = one.detach().cpu()
    return (one.float() if one.is_floating_point() else one).numpy()


def _is_tensor(value: object) -> bool:
    return hasattr(value, "is_floating_point")
