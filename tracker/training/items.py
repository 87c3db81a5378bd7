"""What training clips are made of: stills, cut-outs and videos, by their files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Rule = Literal["instances", "union", "partition"]


@dataclass(frozen=True)
class Still:
    """A picture, with a mask of instance ids or (backgrounds) none."""

    name: str
    image: Path
    mask: Path | None = None
    rule: Rule = "instances"
    weight: float = 1.0


@dataclass(frozen=True)
class Sprite:
    """A cut-out with an alpha channel."""

    name: str
    image: Path


@dataclass(frozen=True)
class Video:
    """Frames in order, each with its mask or None; `dense`: neighbours are close in time."""

    name: str
    frames: tuple[Path, ...]
    masks: tuple[Path | None, ...]
    dense: bool = True
    weight: float = 1.0

    @property
    def annotated(self) -> Video:
        """The same video with only the frames that have a mask."""
        pairs = [(f, m) for f, m in zip(self.frames, self.masks, strict=True) if m is not None]
        frames, masks = zip(*pairs, strict=True) if pairs else ((), ())
        return replace(self, frames=tuple(frames), masks=tuple(masks))
