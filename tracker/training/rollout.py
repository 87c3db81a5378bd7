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

UNUSED = -1e4
"""Logit of identities that a clip does not use; small enough for bfloat16."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits [B, 1 + objects, H, W], labels [B, H, W] int64) -> a number."""


@dataclass(frozen=True)
class ClipBatch:
    """images [T, B, 3, H, W] normalised; labels [T, B, H, W] int64; used [B, 1 + objects] bool.

    Labels are identities of the model, not necessarily the first ones; 0 is the background.
    """

    images: Tensor
    labels: Tensor
    used: Tensor


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
    """Mean loss over frames 1.., and the predicted labels [T - 1, B, H, W] (no gradient)."""
    length, batch = clip.images.shape[:2]
    encoded = model.encode_image(clip.images.flatten(0, 1))
    frames = [
        ImageFeatures(tuple(m[t * batch : (t + 1) * batch] for m in encoded.maps))
        for t in range(length)
    ]
    identities = clip.used.shape[1]
    shares = _one_hot(clip.labels[0], identities)
    reference = model.introduce(frames[0], model.embed_identity(shares, frames[0]))
    remembered: list[FrameMemory] = [reference]
    long_term = [reference]
    losses, predictions = [], []
    for t in range(1, length):
        short_term = remembered[max(0, t - plan.lag)]
        propagated = model.propagate(frames[t], side_by_side(long_term), short_term)
        logits = model.decode(propagated).float()
        logits = logits.masked_fill(~clip.used[:, :, None, None], UNUSED)
        logits = F.interpolate(
            logits, clip.labels.shape[2:], mode="bilinear", align_corners=True
        )
        losses.append(loss(logits, clip.labels[t]))
        predictions.append(logits.detach().argmax(dim=1))
        if t + 1 < length:
            shares = _one_hot(predictions[-1] if plan.own else clip.labels[t], identities)
            memory = model.remember(propagated.traces, model.embed_identity(shares, frames[t]))
            remembered.append(memory)
            if t in plan.long_term:
                long_term.append(memory)
    return torch.stack(losses).mean(), torch.stack(predictions)


def _one_hot(labels: Tensor, identities: int) -> Tensor:
    return F.one_hot(labels, identities).permute(0, 3, 1, 2).float()
