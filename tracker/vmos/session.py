"""VmosSession: one video being segmented. The model is shared; everything that changes is here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tracker.config import TrackerConfig
from tracker.device import upload
from tracker.labels import areas, label_dtype
from tracker.preprocess import labels_to_model, to_model_input
from tracker.saved import StateError
from tracker.vmos.decision import decide, merge_groups, nearest, renumbered
from tracker.vmos.fingerprint import fingerprint
from tracker.vmos.groups import ObjectGroup
from tracker.vmos.memory import FrameMemory
from tracker.vmos.model import ImageFeatures, VmosModel
from tracker.vmos.precision import uses_bfloat16
from tracker.vmos.state import pack_groups, unpack_groups
from tracker.vmos.trace import Trace


@dataclass(frozen=True)
class VmosFrame:
    """Labels [H, W] uint8 (uint16 above 255 objects) and confidence [N] float32 in 0..1.

    The confidence is the mean probability of an object over its pixels, 0 where it has none.
    """

    labels: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class EncodedFrame:
    """An encoded frame; sizes of the frame and of the network's input are (height, width)."""

    features: ImageFeatures
    size: tuple[int, int]
    input_size: tuple[int, int]


@dataclass(frozen=True)
class Prediction:
    """A segmented frame that is not yet remembered: per group, logits and traces.

    Logits are [1, 1 + n, H/4, W/4], background first, then the n objects of the group that are
    tracked; `objects` are their labels, group after group, `count` is how many were ever given.
    """

    frame: EncodedFrame
    group_logits: tuple[Tensor, ...]
    traces: tuple[tuple[Trace, ...], ...]
    objects: tuple[int, ...]
    count: int

    @property
    def logits(self) -> Tensor:
        """[1 + N, H/4, W/4]: all groups merged, at the network's output size."""
        return merge_groups(self.group_logits)[0]

    def decide(self) -> VmosFrame:
        """The label with the largest logit at every pixel of the frame."""
        dtype = label_dtype(self.count)
        if not self.objects:
            return VmosFrame(np.zeros(self.frame.size, dtype), np.zeros(self.count, np.float32))
        labels, confidence = decide(self.group_logits, self.frame.size)
        return VmosFrame(*renumbered(labels, confidence, self.objects, self.count))


class VmosSession:
    """Tracks any number of objects through one video, frame by frame.

    `start` once, then `step` or `step_and_add` per frame; frames are [H, W, 3] uint8 RGB and may
    change their size. Objects are labelled 1, 2, ... in the order they were given, for ever.
    Memory is bounded by the settings, whatever the length of the video.
    """

    def __init__(self, model: VmosModel, config: TrackerConfig, device: torch.device | str) -> None:
        self._model = model
        self._config = config
        self._device = torch.device(device)
        self._bfloat16 = uses_bfloat16(config.compute.precision, self._device)
        self._groups: list[ObjectGroup] = []
        self._number = 0
        self._count = 0
        self._unsettled: tuple[Prediction, Tensor] | None = None

    @property
    def count(self) -> int:
        """How many objects have been given, those that were removed included."""
        return self._count

    @property
    def objects(self) -> tuple[int, ...]:
        """Labels of the objects that are tracked: given and not removed."""
        return tuple(label for group in self._groups for label in group.live)

    @property
    def memory_frames(self) -> tuple[tuple[int, ...], int]:
        """Frames the first group holds: long-term in the bank's order, and the short-term one."""
        self.settle()
        group = self._groups[0]
        return group.long_term.frames, group.short_term.frame

    @torch.inference_mode()
    def start(self, image: np.ndarray, labels: np.ndarray, count: int) -> VmosFrame:
        """Begin a video: its first frame, and its objects as label map [H, W] with ids 1..count."""
        self._groups, self._number, self._count, self._unsettled = [], 0, 0, None
        self._introduce(self._encode(image), labels, count)
        return VmosFrame(labels, _given(labels, count))

    @torch.inference_mode()
    def step(self, image: np.ndarray) -> VmosFrame:
        """Segment the next frame; it is remembered with `settle`, or with the next call at last."""
        prediction = self.predict(image)
        decided = prediction.decide()
        labels = self._model_labels(decided.labels, prediction.frame.input_size)
        self._unsettled = prediction, labels
        return decided

    @torch.inference_mode()
    def settle(self) -> None:
        """Remember the frame of the last `step`: what its answer need not wait for."""
        if self._unsettled is not None:
            (prediction, labels), self._unsettled = self._unsettled, None
            self._remember(prediction, labels, len(self._groups))

    @torch.inference_mode()
    def step_and_add(self, image: np.ndarray, labels: np.ndarray, count: int) -> VmosFrame:
        """Segment the next frame, in which `count` new objects start.

        labels [H, W] numbers the new objects 1..count; where they lie, they win over old ones.
        The frame is a reference for the groups that take new objects, an ordinary one for others.
        Where this fails or is interrupted, the session is as it was.
        """
        before = self.pack()
        try:
            return self._step_and_add(image, labels, count)
        except BaseException:
            self.restore(*before)
            raise

    def _step_and_add(self, image: np.ndarray, labels: np.ndarray, count: int) -> VmosFrame:
        prediction = self.predict(image)
        decided = prediction.decide()
        old, total = self.count, self.count + count
        merged = decided.labels.astype(label_dtype(total))
        merged[labels > 0] = labels[labels > 0].astype(merged.dtype) + old
        full = self._full_groups()
        self._introduce(prediction.frame, merged, total)
        model_labels = self._model_labels(merged, prediction.frame.input_size)
        self._remember(prediction, model_labels, full)
        given = _given(merged, total)
        confidence = np.where(given[:old] > 0, decided.confidence, 0)
        return VmosFrame(merged, np.concatenate([confidence, given[old:]]).astype(np.float32))

    @torch.inference_mode()
    def remove(self, objects: Sequence[int]) -> None:
        """Stop tracking these objects; their labels are not given again, the others keep theirs.

        What is remembered of them becomes background, so that their pixels are free at once.
        """
        self.settle()
        self._groups = [group for group in self._groups if set(group.live) - set(objects)]
        for group in self._groups:
            if own := [label for label in group.live if label in objects]:
                group.remove(own, self._relabelled)

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that changes from frame to frame: named tensors, and a record for JSON."""
        self.settle()
        tensors, groups = pack_groups(self._groups)
        record = {"number": self._number, "count": self._count, "groups": groups}
        return tensors, record | {"weights": fingerprint(self._model)}

    def restore(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Go on where the session of the same model and settings was that this was packed from.

        Raises StateError when the model's weights are others.
        """
        if record["weights"] != (own := fingerprint(self._model)):
            raise StateError(
                f"the state is of other weights (digest {record['weights'][:12]}...) than these "
                f"({own[:12]}...); use the same, or start afresh"
            )
        placed = {name: tensor.to(self._device) for name, tensor in tensors.items()}
        self._groups = unpack_groups(placed, record["groups"], self._config.memory)
        self._number, self._count = record["number"], record["count"]
        self._unsettled = None

    @torch.inference_mode()
    def predict(self, image: np.ndarray) -> Prediction:
        """Segment the next frame without remembering it: `remember` must follow."""
        self.settle()
        self._number += 1
        frame = self._encode(image)
        grids = self._model.grids(frame.features)
        logits, traces = [], []
        for group in self._groups:
            with self._arithmetic():
                decoded, of_group = self._model.segment(
                    frame.features,
                    group.long_term.bank,
                    group.short_term.at(grids),
                    1 + len(group.objects),
                )
            own = decoded.index_select(1, upload(torch.tensor(group.channels), self._device))
            logits.append(own.float().contiguous(memory_format=torch.contiguous_format))
            traces.append(of_group)
        return Prediction(frame, tuple(logits), tuple(traces), self.objects, self.count)

    @torch.inference_mode()
    def remember(self, prediction: Prediction, labels: np.ndarray) -> None:
        """Put the predicted frame into memory with these labels [H, W] of the frame's size."""
        model_labels = self._model_labels(labels, prediction.frame.input_size)
        self._remember(prediction, model_labels, len(self._groups))

    def _remember(self, prediction: Prediction, labels: Tensor, groups: int) -> None:
        """`remember` for the first `groups` groups, with labels of the network's input size."""
        for group, traces in zip(self._groups[:groups], prediction.traces[:groups], strict=True):
            places = group.places_of(labels)
            shares = group.shares(places)
            with self._arithmetic():
                embeddings = self._model.embed_identity(shares, prediction.frame.features)
                memory = self._model.remember(traces, embeddings)
            group.remember(self._number, places, memory)

    def _introduce(self, frame: EncodedFrame, labels: np.ndarray, total: int) -> None:
        """Give out identities to the objects beyond `count`; this frame is their reference."""
        together = self._config.objects_together
        full = self._full_groups()
        for label in range(self.count + 1, total + 1):
            if not self._groups or len(self._groups[-1].objects) == together:
                self._groups.append(ObjectGroup(self._config.memory))
            self._groups[-1].objects.append(label)
        self._count = total
        model_labels = self._uploaded(labels_to_model(labels, frame.input_size))
        for group in self._groups[full:]:
            places = group.places_of(model_labels)
            shares = group.shares(places)
            with self._arithmetic():
                embeddings = self._model.embed_identity(shares, frame.features)
                memory = self._model.introduce(frame.features, embeddings)
            group.introduce(self._number, places, memory)

    def _full_groups(self) -> int:
        """How many groups, the first ones, take no more objects."""
        together = self._config.objects_together
        return sum(len(group.objects) == together for group in self._groups)

    def _relabelled(self, shares: Tensor, memory: FrameMemory) -> FrameMemory:
        with self._arithmetic():
            return self._model.relabel(memory, shares)

    def _encode(self, image: np.ndarray) -> EncodedFrame:
        model_input = upload(to_model_input(image, self._config.frame), self._device)
        with self._arithmetic():
            features = self._model.encode_image(model_input)
        height, width = model_input.shape[2:]
        return EncodedFrame(features, image.shape[:2], (height, width))

    def _arithmetic(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16)

    def _model_labels(self, labels: np.ndarray, size: tuple[int, int]) -> Tensor:
        return self._uploaded(nearest(labels, size))

    def _uploaded(self, labels: np.ndarray) -> Tensor:
        return upload(torch.from_numpy(labels.astype(np.int32)), self._device)


def _given(labels: np.ndarray, count: int) -> np.ndarray:
    """Confidence of objects given by the user: 1 where they have pixels, else 0."""
    return (areas(labels, count) > 0).astype(np.float32)
