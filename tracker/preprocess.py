"""From a frame to the network's input: sizes, resizing, normalising; labels go the same way.

Source: the public code's test-time transform. Frames are [H, W, 3] uint8 RGB.
"""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
import torch
from torch import Tensor

from tracker.config import FrameConfig

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def model_size(height: int, width: int, config: FrameConfig) -> tuple[int, int]:
    """Height and width of the network's input for a frame of this size, in pixels.

    The area is brought between `min_pixels` and `max_pixels`, then the short edge scaled up to
    `min_short_edge`, then the long edge down to `max_long_edge`; sides are cut to whole pixels
    after each step, and last become multiples of the stride plus 1.
    """
    tall, wide = _scaled(height, width, _area_scale(height * width, config))
    short = min(tall, wide)
    if config.min_short_edge is not None and short < config.min_short_edge:
        tall, wide = _scaled(tall, wide, config.min_short_edge / short)
    if config.max_long_edge is not None and max(tall, wide) > config.max_long_edge:
        tall, wide = _scaled(tall, wide, config.max_long_edge / max(tall, wide))
    stride = config.stride
    return (
        max(1, round((tall - 1) / stride)) * stride + 1,
        max(1, round((wide - 1) / stride)) * stride + 1,
    )


def _area_scale(pixels: int, config: FrameConfig) -> float:
    if config.min_pixels is not None and pixels < config.min_pixels:
        return math.sqrt(config.min_pixels / pixels)
    if config.max_pixels is not None and pixels > config.max_pixels:
        return math.sqrt(config.max_pixels / pixels)
    return 1.0


def _scaled(height: int, width: int, scale: float) -> tuple[int, int]:
    return int(height * scale), int(width * scale)


def to_model_input(image: np.ndarray, config: FrameConfig) -> Tensor:
    """[H, W, 3] uint8 RGB -> [1, 3, h, w] float32: bicubic in uint8, then ImageNet normalised."""
    height, width = model_size(*image.shape[:2], config)
    if image.shape[:2] != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    return torch.from_numpy(cv2.LUT(image, _normalised_levels()))[None].permute(0, 3, 1, 2)


def normalise(images: Tensor) -> Tensor:
    """[B, H, W, 3] uint8 RGB -> [B, 3, H, W] float32, ImageNet mean and deviation."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device)
    std = torch.tensor(IMAGENET_STD, device=images.device)
    scaled = images.to(torch.float32) / 255
    return ((scaled - mean) / std).permute(0, 3, 1, 2)


@functools.cache
def _normalised_levels() -> np.ndarray:
    """[256, 1, 3] float32: what `normalise` makes of every level of every channel."""
    levels = torch.arange(256, dtype=torch.uint8)[:, None, None].expand(-1, 1, 3)
    return normalise(levels[None])[0].permute(1, 2, 0).contiguous().numpy()


def labels_to_model(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Label map [H, W] at the network's input size (h, w), by nearest neighbour.

    An object too small to be hit keeps one pixel, where its middle one lies, or the nearest that is
    not the last one of another object. (The public code loses it.)
    """
    if labels.shape == size:
        return labels
    resized = cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    areas = np.bincount(labels.ravel())
    left = np.bincount(resized.ravel(), minlength=len(areas))
    for lost in np.flatnonzero((areas > 0) & (left == 0)):
        rows, columns = np.nonzero(labels == lost)
        middle = len(rows) // 2
        row = rows[middle] * size[0] // labels.shape[0]
        column = columns[middle] * size[1] // labels.shape[1]
        free = np.argwhere((left[resized] > 1) | (resized == 0))
        if len(free) and lost:
            place = tuple(free[np.argmin(((free - (row, column)) ** 2).sum(axis=1))])
            left[[resized[place], lost]] += -1, 1
            resized[place] = lost
    return resized
