"""Pictures of a training clip: frames, true masks, predicted masks."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from tracker.preprocess import IMAGENET_MEAN, IMAGENET_STD
from tracker.training.rollout import ClipBatch

MASK_SHARE = 0.6  # of the colour, over the picture
# fmt: off
COLOURS = np.array([
    (0, 0, 0), (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48),
    (145, 30, 180), (70, 240, 240), (240, 50, 230), (210, 245, 60), (250, 190, 212),
], np.float32)
# fmt: on


def mask_picture(clip: ClipBatch, predicted: Tensor) -> np.ndarray:
    """The batch's first clip as [3 * S, T' * S, 3] uint8 RGB: frames, truth, prediction below.

    predicted [B, T' - 1, S, S] int64: labels of the frames after the first, as far as the clip was
    used.
    """
    length = 1 + predicted.shape[1]
    deviation, mean = np.array(IMAGENET_STD), np.array(IMAGENET_MEAN)
    frames = clip.images[0, :length].float().permute(0, 2, 3, 1).cpu().numpy() * deviation + mean
    frames = np.clip(255 * frames, 0, 255)
    truth = clip.labels[0, :length].cpu().numpy()
    answers = np.concatenate([truth[:1], predicted[0].cpu().numpy()])
    rows = [np.concatenate(row, axis=1) for row in (frames, _over(frames, truth))]
    rows.append(np.concatenate(_over(frames, answers), axis=1))
    return np.concatenate(rows, axis=0).round().astype(np.uint8)


def _over(frames: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Frames [T, S, S, 3] with the objects of labels [T, S, S] coloured; colours repeat."""
    objects = len(COLOURS) - 1
    colours = COLOURS[np.where(labels > 0, (labels - 1) % objects + 1, 0)]
    share = MASK_SHARE * (labels > 0)[..., None]
    return (1 - share) * frames + share * colours
