"""Losses of the segmenter: bootstrapped cross entropy and soft Jaccard, as AOT and DeAOT use them.

Logits are [B, 1 + M, H, W]: background, then M identities (10 in a group) of which sample b uses
the first counts[b]. The unused ones take no part: their probability is 0 and they get no gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from tracker.vmos.identity import evidence_of

HARD_SHARE = 0.15  # share of the pixels that counts in the end (AOT: top_k_percent_pixels)
UNUSED = -1e4  # a logit whose probability is exactly 0 in float32
SMOOTH = 1.0  # pixels added above and below the line of the Jaccard index


class SegmentationLoss(NamedTuple):
    """Scalars with gradients; total = 0.5 * (cross_entropy + jaccard), AOT's weights."""

    total: torch.Tensor
    cross_entropy: torch.Tensor
    jaccard: torch.Tensor


def hard_share(step: int, ramp_steps: int, final: float = HARD_SHARE) -> float:
    """Share of the hardest pixels at a step: 1 at first, falling linearly to `final`.

    AOT reaches `final` at half of its steps.
    """
    if ramp_steps <= 0:
        return final
    done = min(max(step / ramp_steps, 0.0), 1.0)
    return 1.0 - done * (1.0 - final)


def mask_unused(logits: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """float32 logits with those of identities above counts[b] set to UNUSED."""
    identities = torch.arange(logits.shape[1], device=logits.device)
    unused = identities[None] > counts.to(logits.device)[:, None]
    return logits.float().masked_fill(unused[:, :, None, None], UNUSED)


def bootstrapped_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, share: float
) -> torch.Tensor:
    """Mean over samples of the mean cross entropy of the `share` hardest pixels of each.

    logits [B, C, H, W] float, unused identities masked; labels [B, H, W] int64; share in (0, 1].
    """
    losses = F.cross_entropy(logits, labels, reduction="none").flatten(1)
    if share >= 1:
        return losses.mean()
    count = max(int(share * losses.shape[1]), 1)
    return losses.topk(count, dim=1, sorted=False).values.mean()


def soft_jaccard(logits: torch.Tensor, labels: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """1 - soft Jaccard index, mean over background and the sample's objects, then over samples.

    Differs from AOT in SMOOTH: an object that is absent costs nothing when its probability is 0
    everywhere, and about 1 when as little as a few pixels of it are predicted.
    """
    shares = logits.softmax(1).flatten(2)
    truth = F.one_hot(labels.flatten(1), logits.shape[1]).transpose(1, 2).to(shares.dtype)
    common = (shares * truth).sum(2)
    union = shares.sum(2) + truth.sum(2) - common
    losses = 1 - (common + SMOOTH) / (union + SMOOTH)
    identities = torch.arange(logits.shape[1], device=logits.device)
    used = (identities[None] <= counts.to(logits.device)[:, None]).to(shares.dtype)
    return ((losses * used).sum(1) / used.sum(1)).mean()


def matching_loss(shares: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """How far attention is from bringing every place the identities that are there.

    shares, truth [B, N, I] in 0 to 1: what attention brings to a place, and what the truth has
    around it. The mean cross entropy over samples and places, with FLOOR added to every share.
    Where every object is matched by itself, the embeddings need not tell objects apart.
    """
    return -(truth * evidence_of(shares)).sum(-1).mean()


def segmentation_loss(
    logits: torch.Tensor, labels: torch.Tensor, counts: torch.Tensor, share: float = 1.0
) -> SegmentationLoss:
    """Both losses of one frame.

    logits [B, 1 + M, H, W] any float type (computed in float32), labels [B, H, W] int64 with
    values 0..counts[b], counts [B] int64, share: see `hard_share`.
    """
    with torch.autocast(logits.device.type, enabled=False):
        masked = mask_unused(logits, counts)
        entropy = bootstrapped_cross_entropy(masked, labels, share)
        jaccard = soft_jaccard(masked, labels, counts)
    return SegmentationLoss(0.5 * (entropy + jaccard), entropy, jaccard)
