"""One training clip through the model: the same verbs as a session, with gradients.

Frame 0 is the reference; every later frame is predicted from it, from the frames remembered since
and from a short-term frame, then remembered itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tracker.training.losses import matching_loss
from tracker.vmos.identity import IDENTITY_STRIDE, mean_shares
from tracker.vmos.maps import to_tokens
from tracker.vmos.memory import FrameMemory, side_by_side
from tracker.vmos.model import ImageFeatures, VmosModel
from tracker.vmos.propagation import Propagated

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
    """How a rollout remembers, and what is learned from; drawn anew for every step.

    own: a frame enters memory with the model's own prediction instead of the truth.
    lag: the short-term memory is this many frames back (or the first frame).
    long_term: frames (beside the reference) that join the long-term memory.
    learned: frames with a loss, one after another, from 1 on at the earliest. Those before them are
    only tracked, without gradients; the clip ends with them.
    matching: weight of `losses.matching_loss` of the long-term attention, beside the frame's loss.
    """

    own: bool
    lag: int
    long_term: frozenset[int]
    learned: range
    matching: float = 0.0


def rollout(
    model: VmosModel, clip: ClipBatch, plan: RolloutPlan, loss: Loss
) -> tuple[Tensor, Tensor]:
    """Mean loss over the learned frames, and the predicted labels [B, T' - 1, S, S] (no gradient).

    T': as far as the clip is used.
    """
    length, learned = plan.learned.stop, plan.learned
    frames = _encode(model, clip.images, learned)
    asked_for = clip.identities[:, : int(clip.counts.max()) + 1]
    reference = _embed(model, frames[0], clip.labels[:, 0], clip.identities)
    memory = model.introduce(frames[0], reference)
    remembered: list[FrameMemory] = [memory]
    long_term = [memory]
    losses, predictions = [], []
    for t in range(1, length):
        short_term = remembered[max(0, t - plan.lag)]
        with torch.set_grad_enabled(t in learned and torch.is_grad_enabled()):
            propagated = model.propagate(frames[t], side_by_side(long_term), short_term)
            logits = _in_clip_order(model.decode(propagated).float(), asked_for)
            size = clip.labels.shape[2:]
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=True)
            predictions.append(_predicted(logits.detach(), clip.counts))
            if t in learned:
                losses.append(loss(logits, clip.labels[:, t], clip.counts))
                if plan.matching:
                    losses[-1] = losses[-1] + plan.matching * _matching(propagated, clip, t)
            if t + 1 == length:
                break
            labels = predictions[-1] if plan.own else clip.labels[:, t]
            embeddings = _embed(model, frames[t], labels, clip.identities)
            memory = model.remember(propagated.traces, embeddings)
        remembered.append(memory)
        if t in plan.long_term:
            long_term.append(memory)
    return torch.stack(losses).mean(), torch.stack(predictions, dim=1)


def _encode(model: VmosModel, images: Tensor, learned: range) -> dict[int, ImageFeatures]:
    """The frames of all clips by their number: the reference and those learned in one batch."""
    with torch.no_grad():
        encoded = _encode_frames(model, images, range(1, learned.start))
    return encoded | _encode_frames(model, images, (0, *learned))


def _encode_frames(
    model: VmosModel, images: Tensor, numbers: Sequence[int]
) -> dict[int, ImageFeatures]:
    if not numbers:
        return {}
    chosen = images[:, list(numbers)]
    encoded = model.encode_image(chosen.flatten(0, 1))
    maps = [image.unflatten(0, chosen.shape[:2]) for image in encoded.maps]
    together = enumerate(numbers)
    return {t: ImageFeatures(tuple(m[:, place] for m in maps)) for place, t in together}


def _embed(
    model: VmosModel, frame: ImageFeatures, labels: Tensor, identities: Tensor
) -> tuple[Tensor, ...]:
    return model.embed_identity(_shares(labels, identities), frame)


def _shares(labels: Tensor, identities: Tensor) -> Tensor:
    """Labels of the clip [B, H, W] -> shares of the model's identities [B, I, H, W], 0 or 1."""
    of_model = identities.gather(1, labels.flatten(1)).view_as(labels)
    return F.one_hot(of_model, identities.shape[1]).permute(0, 3, 1, 2).float()


def _matching(propagated: Propagated, clip: ClipBatch, t: int) -> Tensor:
    long_term = propagated.readout[:, 0]
    grid = (long_term.shape[2], long_term.shape[3])
    truth = mean_shares(_shares(clip.labels[:, t], clip.identities), grid, IDENTITY_STRIDE)
    return matching_loss(to_tokens(long_term), truth)


def _in_clip_order(logits: Tensor, identities: Tensor) -> Tensor:
    """Logits of the model's identities -> of the batch's objects, background first."""
    index = identities[:, :, None, None].expand(-1, -1, *logits.shape[2:])
    return logits.gather(1, index)


def _predicted(logits: Tensor, counts: Tensor) -> Tensor:
    unused = torch.arange(logits.shape[1], device=logits.device)[None] > counts[:, None]
    return logits.masked_fill(unused[:, :, None, None], -torch.inf).argmax(dim=1)
