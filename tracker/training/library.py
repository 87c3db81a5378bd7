"""All sources of training clips together, and the cache through which they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from tracker.training import sources
from tracker.training.errors import DataError
from tracker.training.items import Sprite, Still, Video
from tracker.training.reading import Cache

PARTS: dict[str, Callable[[Path], list]] = {
    "train_static": sources.static_folder,
    "train_video": sources.find_videos,
    "sprites": sources.sprites,
    "backgrounds": sources.backgrounds,
}


@dataclass
class Library:
    """Stills, videos (with a mask on every frame), cut-outs and pictures without masks."""

    stills: list[Still] = field(default_factory=list)
    videos: list[Video] = field(default_factory=list)
    sprites: list[Sprite] = field(default_factory=list)
    backgrounds: list[Still] = field(default_factory=list)
    cache: Cache = field(default_factory=Cache)

    @classmethod
    def open(cls, *roots: Path) -> Library:
        """Everything under the folders, each of which is one of these:

        a folder of `train_static`, `train_video`, `sprites`, `backgrounds` (each optional); a
        folder of stills (`images`, `masks`); a folder of videos in one of the known layouts.
        Raises DataError if that gives neither a still nor a video.
        """
        library = cls()
        for root in map(Path, roots):
            library._add(root)
        if not library.stills and not library.videos:
            raise DataError(f"no stills or videos with masks in {', '.join(map(str, roots))}")
        return library

    def _add(self, root: Path) -> None:
        parts = {name: root / name for name in PARTS if (root / name).is_dir()}
        if not parts:
            parts = {"train_static" if (root / "images").is_dir() else "train_video": root}
        found = {name: PARTS[name](folder) for name, folder in parts.items()}
        self.stills += found.get("train_static", [])
        self.videos += [v.annotated for v in found.get("train_video", [])]
        self.sprites += found.get("sprites", [])
        self.backgrounds += found.get("backgrounds", [])

    def preload(self) -> int:
        """Read everything into the cache; returns its size in bytes."""
        for still in [*self.stills, *self.backgrounds]:
            self.cache.rgb(still.image)
            if still.mask is not None:
                self.cache.labels(still.mask)
        for video in self.videos:
            for t in range(len(video.frames)):
                self.frame(video, t)
        for sprite in self.sprites:
            self.cache.sprite(sprite.image)
        return self.cache.used

    def frame(self, video: Video, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame t of a video: [H, W, 3] uint8 RGB, and its labels [H, W] uint8.

        Raises DataError, naming the files, where both differ in size.
        """
        frame, mask = video.frames[t], video.masks[t]
        image, labels = self.cache.rgb(frame), self.cache.labels(mask)
        if labels.shape != image.shape[:2]:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (labels.shape, image.shape)]
            raise DataError(
                f"video {video.name}: mask {mask} and frame {frame} differ in size (read as "
                f"{' and '.join(sizes)}); make the mask as large as its frame"
            )
        return image, labels

    def any_still(self, rng: np.random.Generator) -> Still:
        return self.stills[int(np.searchsorted(self._still_odds, rng.random()))]

    def any_video(self, rng: np.random.Generator) -> Video:
        return self.videos[int(np.searchsorted(self._video_odds, rng.random()))]

    @cached_property
    def _still_odds(self) -> np.ndarray:
        return _cumulative([s.weight for s in self.stills])

    @cached_property
    def _video_odds(self) -> np.ndarray:
        return _cumulative([v.weight for v in self.videos])


@dataclass(frozen=True)
class Stage:
    """What every maker of scenes needs: chance, sources, and the shape of the clip.

    frames: length; size: side of the canvas in pixels; max_gap: frames of a video between two of
    a clip, at most.
    """

    rng: np.random.Generator
    library: Library
    frames: int
    size: int
    max_gap: int


def _cumulative(weights: list[float]) -> np.ndarray:
    total = np.cumsum(weights)
    return total / total[-1]
