"""From identity logits to labels and confidence, and labels to the network's size."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tracker.labels import label_dtype

NOT_HERE = 255
"""In a label map of bytes that is being made: no object yet."""


def decide(logits: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """logits [1 + N, H, W], background first -> labels [H, W], confidence [N] float32.

    A pixel's label is that of its largest logit, of equal ones the first. An object's confidence
    is the mean of its softmax probability over its pixels, 0 where it has none. Labels are uint8
    (uint16 above 255 objects).
    """
    count = len(logits) - 1
    if logits.device.type == "cpu" and count < NOT_HERE:
        return _decide_on_cpu(logits.float().numpy())
    best, labels = logits.max(dim=0)
    probability = torch.exp(best - torch.logsumexp(logits, dim=0))
    areas = torch.bincount(labels.flatten(), minlength=count + 1)
    sums = torch.bincount(labels.flatten(), probability.flatten(), minlength=count + 1)
    confidence = (sums / areas.clamp(min=1))[1:].float()
    narrow = labels.to(torch.uint8 if count <= 255 else torch.int32)
    return narrow.cpu().numpy().astype(label_dtype(count), copy=False), confidence.cpu().numpy()


def _decide_on_cpu(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`decide` for less than NOT_HERE objects, in bytes."""
    best = logits.max(axis=0)
    labels = np.full(best.shape, NOT_HERE, np.uint8)
    total = np.zeros_like(best)
    for label, own in enumerate(logits):
        elsewhere = np.negative((own != best).view(np.uint8))
        np.minimum(labels, elsewhere | np.uint8(label), out=labels)
        total += cv2.exp(own - best).reshape(best.shape)
    confidence = np.zeros(len(logits) - 1, np.float32)
    for index in range(len(confidence)):
        mask = labels == index + 1
        left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
        if width:
            box = np.s_[top : top + height, left : left + width]
            confidence[index] = np.mean(1 / total[box][mask[box]], dtype=np.float64)
    return labels, confidence


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
