"""From identity logits to labels and confidence, and labels to the network's size."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tracker.device import download
from tracker.labels import label_dtype
from tracker.vmos.bands import bands, whole

PROBABILITY_FLOOR = 1e-5
"""Merged probabilities of several groups are kept this far from 0 and 1 (public code)."""


def merge_groups(logits: Sequence[Tensor]) -> Tensor:
    """Logits [1, 1 + n, H, W] of several groups -> [1, 1 + N, H, W], background first.

    The background is the product of the groups' backgrounds; the result is the logit of the
    probabilities (soft aggregation of the public code). One group's logits stay as they are.
    """
    if len(logits) == 1:
        return logits[0]
    shares = [torch.softmax(group, dim=1) for group in logits]
    background = torch.stack([share[:, :1] for share in shares]).prod(dim=0)
    merged = torch.cat([background, *(share[:, 1:] for share in shares)], dim=1)
    return merged.clamp_(PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR).logit_()


def decide(groups: Sequence[Tensor], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Logits [1, 1 + n, h, w] of every group -> labels [H, W] at `size`, confidence [N] float32.

    Logits are enlarged (bilinear, corners aligned). A pixel's label is that of its largest logit
    when all groups are merged, of equal ones the first. An object's confidence is the mean of its
    softmax probability over its pixels, 0 where it has none. Labels are uint8 (uint16 above 255
    objects).
    """
    count = sum(group.shape[1] - 1 for group in groups)
    labels = np.zeros(size, label_dtype(count))
    sums, areas = np.zeros(count + 1), np.zeros(count + 1, np.int64)
    if groups[0].device.type == "cpu":
        parts, tally = bands(groups, size), _tally_in_cache
    else:
        parts, tally = [whole(groups, size)], _tally
    for band in parts:
        labels[band.rows, band.columns], more, pixels = tally(merge_groups(band.groups)[0])
        sums, areas = sums + more, areas + pixels
    return labels, (sums / np.maximum(areas, 1))[1:].astype(np.float32)


Tally = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Labels [H, W]; summed probability and area of every label [1 + N], of use for objects only."""


def _tally(logits: Tensor) -> Tally:
    """Of logits [1 + N, H, W], on any device, which is waited for once."""
    best, labels = logits.max(dim=0)
    probability = torch.exp(best - torch.logsumexp(logits, dim=0))
    own = labels == torch.arange(len(logits), device=labels.device)[:, None, None]
    sums, areas = (own * probability).sum(dim=(1, 2)), own.sum(dim=(1, 2))
    return download(labels.to(torch.uint8 if len(logits) <= 256 else torch.int32), sums, areas)


def _tally_in_cache(logits: Tensor) -> Tally:
    """`_tally` on a CPU; labels that are being made hold the largest number: no object yet."""
    planes = logits.float().numpy()
    narrow = np.dtype(np.uint8 if len(planes) < 256 else np.uint16)
    best = planes.max(axis=0)
    labels = np.full(best.shape, np.iinfo(narrow).max, narrow)
    total, relative = np.zeros_like(best), np.empty_like(best)
    for label, own in enumerate(planes):
        elsewhere = np.negative((own != best).view(np.uint8).astype(narrow, copy=False))
        np.minimum(labels, elsewhere | narrow.type(label), out=labels)
        np.subtract(own, best, out=relative)
        total += cv2.exp(relative, dst=relative)
    found = labels > 0
    places = labels[found].astype(np.intp)
    areas = np.bincount(places, minlength=len(planes))
    return labels, np.bincount(places, 1 / total[found], minlength=len(planes)), areas


def renumbered(
    labels: np.ndarray, confidence: np.ndarray, objects: Sequence[int], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labels 1..n and confidence [n] of these objects -> by their numbers, confidence [count].

    The objects rise. Those that are not among them have no pixels and no confidence.
    """
    if len(objects) == count:
        return labels, confidence
    numbers = np.array([0, *objects], dtype=label_dtype(count))
    everyone = np.zeros(count, np.float32)
    everyone[numbers[1:].astype(np.int64) - 1] = confidence
    return numbers[labels], everyone


def nearest(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Label map [H, W] -> [h, w]: the pixels that `F.interpolate` with mode "nearest" takes."""
    rows, columns = (
        _nearest_places(before, after) for before, after in zip(labels.shape, size, strict=True)
    )
    return labels[rows].take(columns, axis=1)


@functools.lru_cache(maxsize=32)
def _nearest_places(before: int, after: int) -> np.ndarray:
    """Which of `before` places each of `after` places comes from. [after] int64."""
    line = torch.arange(before, dtype=torch.float32)[None, None]
    return F.interpolate(line, after, mode="nearest")[0, 0].long().numpy()
