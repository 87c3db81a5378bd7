"""What a session remembers of past frames: plain objects, no weights.

A LayerMemory is one propagation layer's view of one frame (or of several, side by side). The
long-term memory of a group of objects keeps the frames in which objects were given and the newest
others; the short-term memory is the frame a few steps back.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]


@dataclass(frozen=True)
class LayerMemory:
    """Keys [B, M, D] and values [B, M, V] of M positions.

    A value holds the visual and the identity value, one behind the other, so that attention takes
    it as it lies. `grid` is (height, width) when the positions are those of one frame, row by row;
    None for several frames side by side. `identity` [B, M, C] is the identity branch that the
    frame was seen with (None in the first layer): with it the frame can be remembered with other
    identities.
    """

    key: Tensor
    value: Tensor
    grid: Grid | None = None
    identity: Tensor | None = None

    def resized(self, grid: Grid) -> LayerMemory:
        """The same frame on another grid (bilinear), for a video whose frame size changes."""
        if self.grid == grid:
            return self
        key, value = (_resize(m, self.grid, grid) for m in (self.key, self.value))
        return LayerMemory(key, value, grid)


FrameMemory = tuple[LayerMemory, ...]
"""One frame as all propagation layers see it, coarse scale first."""


def side_by_side(frames: Sequence[FrameMemory]) -> FrameMemory:
    """Several frames as one memory, position after position."""
    if len(frames) == 1:
        return frames[0]
    return tuple(
        LayerMemory(
            torch.cat([m.key for m in layer], dim=1),
            torch.cat([m.value for m in layer], dim=1),
        )
        for layer in zip(*frames, strict=True)
    )


class LongTermMemory:
    """Keeps every reference frame, and `capacity - 1` of the frames offered in between.

    A frame is taken when at least `interval` frames have passed since the last one taken. With
    one reference frame it never holds more than `capacity` frames. References are the frames in
    which objects were given: at most one per object of a group. What makes room, and what becomes
    of frames in which an object is absent: see `tracker.config.MemoryConfig`.
    """

    def __init__(
        self, capacity: int, interval: int, eviction: str = "age", incomplete: str = "take"
    ) -> None:
        self._between: list[tuple[int, FrameMemory]] = []
        self._references: list[tuple[int, FrameMemory]] = []
        self._room = capacity - 1
        self._interval = interval
        self._oldest_goes = eviction == "age"
        self._patience = interval if incomplete == "skip" else 0
        self._last = 0
        self._bank: FrameMemory | None = None

    @property
    def frames(self) -> tuple[int, ...]:
        """Numbers of the frames held: the newest first, then the references, newest first."""
        return tuple(number for number, _ in self.entries)

    @property
    def entries(self) -> list[tuple[int, FrameMemory]]:
        """The frames held with their numbers, in the order of `frames`."""
        return [*reversed(self._between), *reversed(self._references)]

    @property
    def bank(self) -> FrameMemory:
        """All frames side by side, in the order of `frames`."""
        if self._bank is None:
            self._bank = side_by_side([memory for _, memory in self.entries])
        return self._bank

    def add_reference(self, number: int, memory: FrameMemory) -> None:
        """Keep this frame for ever."""
        self._references.append((number, memory))
        self._taken(number)

    def offer(
        self, number: int, memory: FrameMemory, complete: Callable[[], bool] = lambda: True
    ) -> None:
        """Take this frame if it is due; `complete`, asked when it matters: no object is absent."""
        late = number - self._last - self._interval
        if self._room and late >= 0 and (late >= self._patience or complete()):
            if len(self._between) == self._room:
                del self._between[self._least_needed(memory)]
            self._between.append((number, memory))
            self._taken(number)

    def _least_needed(self, coming: FrameMemory) -> int:
        """Which of the frames in between makes room for the one that is coming."""
        if self._oldest_goes:
            return 0
        frames = [*(memory for _, memory in self._between), coming]
        alike = [likeness(*pair) for pair in itertools.pairwise(frames)]
        return alike.index(max(alike))

    def forget_references(self, needed: set[int]) -> None:
        """Keep only the reference frames with these numbers."""
        self._references = [(n, memory) for n, memory in self._references if n in needed]
        self._bank = None

    def replace(self, memories: Mapping[int, FrameMemory]) -> None:
        """Exchange what is held of frames, by their numbers."""
        self._references = [(n, memories[n]) for n, _ in self._references]
        self._between = [(n, memories[n]) for n, _ in self._between]
        self._bank = None

    def numbers(self) -> dict[str, list[int] | int]:
        """Which frames are held as what, the oldest first: what `restore` needs beside them."""
        return {
            "between": [number for number, _ in self._between],
            "references": [number for number, _ in self._references],
            "last": self._last,
        }

    def restore(self, memories: Mapping[int, FrameMemory], numbers: Mapping[str, Any]) -> None:
        """Hold what another memory of the same settings held."""
        self._between = [(n, memories[n]) for n in numbers["between"]]
        self._references = [(n, memories[n]) for n in numbers["references"]]
        self._last, self._bank = numbers["last"], None

    def _taken(self, number: int) -> None:
        self._last = number
        self._bank = None


def likeness(one: FrameMemory, other: FrameMemory) -> float:
    """Mean cosine between the coarsest keys at the same places, -1 to 1.

    Frames of different sizes count as unlike (-1).
    """
    a, b = one[0].key, other[0].key
    if a.shape != b.shape:
        return -1.0
    return float(F.cosine_similarity(a.float(), b.float(), dim=-1).mean())


class ShortTermMemory:
    """The frame `lag` steps back; before there is one, the oldest since the last reference."""

    def __init__(self, lag: int) -> None:
        self._recent: deque[tuple[int, FrameMemory]] = deque(maxlen=lag)

    @property
    def frame(self) -> int:
        """Number of the frame in use."""
        return self._recent[0][0]

    @property
    def frames(self) -> tuple[int, ...]:
        """Numbers of the frames held, the oldest first."""
        return tuple(number for number, _ in self._recent)

    @property
    def entries(self) -> list[tuple[int, FrameMemory]]:
        """The frames held with their numbers, the oldest first."""
        return list(self._recent)

    def at(self, grids: Sequence[Grid]) -> FrameMemory:
        """The frame in use, each layer on its grid."""
        return tuple(m.resized(g) for m, g in zip(self._recent[0][1], grids, strict=True))

    def restart(self, number: int, memory: FrameMemory) -> None:
        """Forget all but this frame."""
        self._recent.clear()
        self._recent.append((number, memory))

    def push(self, number: int, memory: FrameMemory) -> None:
        """Add the newest frame; the oldest beyond `lag` is forgotten."""
        self._recent.append((number, memory))

    def replace(self, memories: Mapping[int, FrameMemory]) -> None:
        """Exchange what is held of frames, by their numbers."""
        self._recent = deque([(n, memories[n]) for n, _ in self._recent], self._recent.maxlen)


def _resize(tokens: Tensor, grid: Grid, target: Grid) -> Tensor:
    image = tokens.transpose(1, 2).unflatten(2, grid)
    image = F.interpolate(image, target, mode="bilinear", align_corners=True)
    return image.flatten(2).transpose(1, 2)
