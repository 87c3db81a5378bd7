"""A synthetic clip: textured objects that move before a moving background, drawn from a seed.

Everything moves periodically, so that a short clip can be played for ever without a jump.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SEED = 7
JPEG_QUALITY = 90
_PAN = 12  # pixels that the background moves to each side
_RADIUS = 0.3  # of an object, in cells of the grid that the objects stand on
_SWING = 0.2  # of an object's path, in cells


@dataclass(frozen=True)
class Clip:
    """Frames (JPEG) and their labels (PNG) in a folder; `period` of them, repeated for ever."""

    folder: Path
    height: int
    width: int
    objects: int
    period: int

    def frame(self, number: int) -> Path:
        """The file of frame `number`, 0 being the first."""
        return self.folder / f"frame-{number % self.period:04d}.jpg"

    def labels(self, number: int, objects: int) -> np.ndarray:
        """The true labels [H, W] uint8 of a frame, of the first `objects` objects only."""
        path = self.folder / f"labels-{number % self.period:04d}.png"
        labels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if labels is None:
            raise OSError(f"cannot read {path}; was the clip removed while it was in use?")
        return np.where(labels <= objects, labels, 0).astype(np.uint8)

    def masks(self, objects: int) -> np.ndarray:
        """The objects [N, H, W] bool in frame 0."""
        labels = self.labels(0, objects)
        return labels[None] == np.arange(1, objects + 1)[:, None, None]


def draw_clip(folder: Path, height: int, width: int, objects: int, period: int) -> Clip:
    """Draw a clip into an existing folder. The same arguments give the same clip."""
    clip = Clip(folder, height, width, objects, period)
    background = _texture(SEED, height + 2 * _PAN, width + 2 * _PAN, 40)
    skins = [_texture(SEED + n, height, width, 9) for n in range(1, objects + 1)]
    for number in range(period):
        image, labels = _draw(clip, background, skins, number)
        options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        written = cv2.imwrite(str(clip.frame(number)), image, options)
        if not (written and cv2.imwrite(str(folder / f"labels-{number:04d}.png"), labels)):
            raise OSError(f"cannot write the frames of the clip to {folder}; is the disk full?")
    return clip


def _draw(
    clip: Clip, background: np.ndarray, skins: list[np.ndarray], number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Frame `number`: image [H, W, 3] uint8 and labels [H, W] uint8; later objects lie on top."""
    turn = 2 * math.pi * number / clip.period
    left, top = (round(_PAN * (1 + wave(turn))) for wave in (math.sin, math.cos))
    image = background[top : top + clip.height, left : left + clip.width].copy()
    labels = np.zeros((clip.height, clip.width), np.uint8)
    for label, skin in enumerate(skins, start=1):
        area, mask = _outline(clip, label, turn)
        image[area][mask] = skin[area][mask]
        labels[area][mask] = label
    return image, labels


def _outline(clip: Clip, label: int, turn: float) -> tuple[tuple[slice, slice], np.ndarray]:
    """The part of the picture around an object and its mask in it: an ellipse with three lobes."""
    columns = max(1, math.ceil(math.sqrt(clip.objects * clip.width / clip.height)))
    rows = math.ceil(clip.objects / columns)
    cell_x, cell_y = clip.width / columns, clip.height / rows
    row, column = divmod(label - 1, columns)
    phase = turn + label
    x = (column + 0.5 + _SWING * math.sin(phase)) * cell_x
    y = (row + 0.5 + _SWING * math.cos(phase)) * cell_y
    left, top = max(0, int(x - cell_x / 2)), max(0, int(y - cell_y / 2))
    right, bottom = math.ceil(x + cell_x / 2), math.ceil(y + cell_y / 2)
    area = np.s_[top : min(bottom, clip.height), left : min(right, clip.width)]
    grid_y, grid_x = np.mgrid[area].astype(np.float32)
    across, down = (grid_x - x) / cell_x, (grid_y - y) / cell_y
    lobes = 1 + 0.15 * np.cos(3 * np.arctan2(down, across) + phase)
    return area, np.hypot(across, down) <= _RADIUS * lobes


def _texture(seed: int, height: int, width: int, cell: int) -> np.ndarray:
    """[height, width, 3] uint8: smooth noise in a colour of its own, with fine grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // cell + 2, width // cell + 2, 3), dtype=np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = rng.random((height, width, 1), dtype=np.float32)
    colour = 0.3 + 0.7 * rng.random(3, dtype=np.float32)
    return (np.clip((0.75 * smooth + 0.25 * grain) * colour, 0, 1) * 255).astype(np.uint8)
