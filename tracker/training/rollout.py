"""One training clip through the model: the same verbs as a session, with gradients.

Frame 0 is the reference; every later frame is predicted from it, from the frames remembered since
and from a short-term frame, then remembered itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tracker.vmos.memory import FrameMemory, side_by_side
from tracker.vmos.model import ImageFeatures, VmosModel

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits [B, 1 + most objects, H, W], labels [B, H, W] int64, counts [B]) -> a number."""


@dataclass(frozen=True)
class ClipBatch:
    """images [B, T, 3, S, S] normalised; labels [B, T, S, S] int64, 0 and 1..counts[b]; counts [B].

    identities [B, 1 + M]: a permutation per sample with 0 in front; object k is given the model's
    identity identities[b, k].
    """

    images: Tensor
    labels: Tensor
    counts: Tensor
    identities: Tensor


@dataclass(frozen=True)
class RolloutPlan:
    """How a rollout remembers, drawn anew for every step.

    own: a frame enters memory with the model's own prediction instead of the truth.
    lag: the short-term memory is this many frames back (or the first frame).
    long_term: frames (beside the reference) that join the long-term memory.
    """

    own: bool
    lag: int
    long_term: frozenset[int]


def rollout(
    model: VmosModel, clip: ClipBatch, plan: RolloutPlan, loss: Loss
) -> tuple[Tensor, Tensor]:
    """Mean loss over frames 1.., and the predicted labels [B, T - 1, S, S] (no gradient)."""
    length = clip.images.shape[1]
    frames = _encode_all(model, clip.images)
    asked_for = clip.identities[:, : int(clip.counts.max()) + 1]
    reference = _embed(model, frames[0], clip.labels[:, 0], clip.identities)
    memory = model.introduce(frames[0], reference)
    remembered: list[FrameMemory] = [memory]
    long_term = [memory]
    losses, predictions = [], []
    for t in range(1, length):
        short_term = remembered[max(0, t - plan.lag)]
        propagated = model.propagate(frames[t], side_by_side(long_term), short_term)
        logits = _in_clip_order(model.decode(propagated).float(), asked_for)
        logits = F.interpolate(logits, clip.labels.shape[2:], mode="bilinear", align_corners=True)
        losses.append(loss(logits, clip.labels[:, t], clip.counts))
        predictions.append(_predicted(logits.detach(), clip.counts))
        if t + 1 == length:
            break
        labels = predictions[-1] if plan.own else clip.labels[:, t]
        embeddings = _embed(model, frames[t], labels, clip.identities)
        memory = model.remember(propagated.traces, embeddings)
        remembered.append(memory)
        if t in plan.long_term:
            long_term.append(memory)
    return torch.stack(losses).mean(), torch.stack(predictions, dim=1)


def _encode_all(model: VmosModel, images: Tensor) -> list[ImageFeatures]:
    """All frames of all clips in one batch; a list over time."""
    encoded = model.encode_image(images.flatten(0, 1))
    maps = [image.unflatten(0, images.shape[:2]) for image in encoded.maps]
    return [ImageFeatures(tuple(m[:, t] for m in maps)) for t in range(images.shape[1])]


def _embed(
    model: VmosModel, frame: ImageFeatures, labels: Tensor, identities: Tensor
) -> tuple[Tensor, ...]:
    of_model = identities.gather(1, labels.flatten(1)).view_as(labels)
    shares = F.one_hot(of_model, identities.shape[1]).permute(0, 3, 1, 2).float()
    return model.embed_identity(shares, frame)


def _in_clip_order(logits: Tensor, identities: Tensor) -> Tensor:
    """Logits of the model's identities -> of the batch's objects, background first."""
    index = identities[:, :, None, None].expand(-1, -1, *logits.shape[2:])
    return logits.gather(1, index)


def _predicted(logits: Tensor, counts: Tensor) -> Tensor:
    unused = torch.arange(logits.shape[1], device=logits.device)[None] > counts[:, None]
    return logits.masked_fill(unused[:, :, None, None], -torch.inf).argmax(dim=1)
