"""Training clips: a few frames with exact masks, made from a seed and a number alone."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from tracker.config import ConfigError
from tracker.training.augment import colour_frames, soften_frames
from tracker.training.errors import DataError, EmptySceneError
from tracker.training.events import other_shot
from tracker.training.layers import draw_scene
from tracker.training.library import Library, Stage
from tracker.training.scenes import composed_scene, static_scene, video_scene

MIN_PIXELS = 40  # of an object in frame 0, on a canvas of 256 x 256
MAX_SHARE = 0.85  # of frame 0: what covers more is no object to track
ATTEMPTS = 20
MAKERS = {"static": static_scene, "video": video_scene, "composed": composed_scene}


@dataclass(frozen=True)
class ClipConfig:
    """What a clip is: its length, side in pixels, and the mixture of kinds (relative weights)."""

    frames: int = 4
    size: int = 257
    static: float = 0.5
    video: float = 0.25
    composed: float = 0.25
    max_gap: int = 8
    max_objects: int = 10

    def __post_init__(self) -> None:
        for key in ("frames", "size", "max_gap", "max_objects"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} of clips is {getattr(self, key)}; it must be 1 or more")


@dataclass(frozen=True)
class Clip:
    """frames [T, S, S, 3] uint8 RGB; labels [T, S, S] uint8, 0 background, objects 1..count.

    Every object has pixels in frame 0; it may be absent later. kind: static, video or composed.
    """

    frames: np.ndarray
    labels: np.ndarray
    count: int
    kind: str


class ClipDataset:
    """Clip number `index` depends on the seed, the settings and the library only.

    Works as a map-style data set for torch's DataLoader; `length` is the nominal size.
    """

    def __init__(
        self, library: Library, config: ClipConfig, seed: int = 0, length: int = 1_000_000
    ) -> None:
        self.library, self.config, self.seed, self.length = library, config, seed, length
        weights = {kind: getattr(config, kind) for kind in MAKERS}
        if not library.stills:
            weights["static"] = 0.0
        if not library.videos:
            weights["video"] = weights["composed"] = 0.0
        if not sum(weights.values()):
            raise DataError(f"no source for any kind of clip asked for: {config}")
        self._kinds = list(weights)
        self._odds = np.array(list(weights.values())) / sum(weights.values())
        noise = np.random.default_rng(0).normal(0, 64, (config.size + 16, config.size + 16, 3))
        self._noise = noise.astype(np.int16)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Clip:
        return self.clip(index)

    def clip(self, index: int) -> Clip:
        """The clip; DataError if many attempts give none with an object in frame 0."""
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng((self.seed, index, attempt))
            kind = str(rng.choice(self._kinds, p=self._odds))
            with contextlib.suppress(EmptySceneError):
                return self._make(rng, kind)
        raise DataError(
            f"clip {index}: no object in frame 0 in {ATTEMPTS} attempts; the masks of the data "
            "mark none that is large enough"
        )

    def _make(self, rng: np.random.Generator, kind: str) -> Clip:
        config = self.config
        stage = Stage(rng, self.library, config.frames, config.size, config.max_gap)
        scene = MAKERS[kind](stage)
        frames, labels = draw_scene(scene.background, scene.layers, config.frames, config.size)
        other_shot(stage, frames, labels)
        limit = min(scene.limit, config.max_objects)
        labels, count = shuffle_ids(rng, labels, limit, config.size)
        if not count:
            raise EmptySceneError("no object in the first frame")
        colour_frames(rng, frames)
        soften_frames(rng, frames, self._noise)
        return Clip(frames, labels, count, kind)


def shuffle_ids(
    rng: np.random.Generator, labels: np.ndarray, limit: int, size: int
) -> tuple[np.ndarray, int]:
    """Keep up to `limit` objects that frame 0 shows well enough, as ids 1..N in random order.

    labels: [T, S, S] uint8. Returns new labels and N; what is not kept becomes background.
    """
    areas = np.bincount(labels[0].ravel(), minlength=256)
    least, most = MIN_PIXELS * (size / 256) ** 2, MAX_SHARE * size * size
    ids = np.flatnonzero((areas[1:] >= least) & (areas[1:] <= most)) + 1
    ids = rng.permutation(ids)[:limit]
    table = np.zeros(256, np.uint8)
    table[ids] = np.arange(1, len(ids) + 1)
    return cv2.LUT(labels.reshape(-1, size), table).reshape(labels.shape), len(ids)


def collate(clips: Sequence[Clip]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(frames [B, T, 3, S, S] uint8, labels [B, T, S, S] uint8, counts [B] int64)."""
    frames = torch.from_numpy(np.stack([c.frames for c in clips])).permute(0, 1, 4, 2, 3)
    labels = torch.from_numpy(np.stack([c.labels for c in clips]))
    return frames, labels, torch.tensor([c.count for c in clips])
