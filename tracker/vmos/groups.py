"""A group of objects that are propagated together, with what is remembered of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tracker.config import MemoryConfig
from tracker.device import upload
from tracker.vmos.memory import FrameMemory, LongTermMemory, ShortTermMemory

Embed = Callable[[Tensor, FrameMemory], FrameMemory]
"""The memory of the same frame with other identity shares [1, 1 + n, H, W]."""


class ObjectGroup:
    """Objects of one group and their memories.

    `objects` are labels of the video; inside the group they have the places 1, 2, ... in this
    order. The place of an object that was removed stays empty.
    """

    def __init__(self, memory: MemoryConfig) -> None:
        self.objects: list[int] = []
        self.removed: set[int] = set()
        self.started: dict[int, int] = {}
        self.places: dict[int, Tensor] = {}
        self.long_term = LongTermMemory(
            memory.capacity, memory.interval, memory.eviction, memory.incomplete
        )
        self.short_term = ShortTermMemory(memory.short_term_lag)

    @property
    def live(self) -> list[int]:
        """The objects that were not removed."""
        return [label for label in self.objects if label not in self.removed]

    @property
    def channels(self) -> list[int]:
        """Logits that count: the background's, 0, and the places of the live objects."""
        return [0, *(n for n, o in enumerate(self.objects, start=1) if o not in self.removed)]

    def places_of(self, labels: Tensor) -> Tensor:
        """Label map [H, W] -> places [H, W] uint8 inside the group; other groups are background."""
        last = max(self.objects)
        places = torch.zeros(last + 2, dtype=torch.uint8)
        places[self.objects] = torch.arange(1, len(self.objects) + 1, dtype=torch.uint8)
        return torch.take(upload(places, labels.device), labels.clamp(max=last + 1).long())

    def shares(self, places: Tensor) -> Tensor:
        """Places [H, W] -> one-hot [1, 1 + objects, H, W] float32, background first."""
        shares = torch.empty(len(self.objects) + 1, *places.shape, device=places.device)
        for place, share in enumerate(shares):
            torch.eq(places, place, out=share)
        return shares[None]

    def introduce(self, number: int, places: Tensor, memory: FrameMemory) -> None:
        """Frame `number`, in which the newest objects of the group are given, is a reference."""
        for label in self.objects:
            self.started.setdefault(label, number)
        self.short_term.restart(number, memory)
        self.long_term.add_reference(number, memory)
        self._keep(number, places)

    def remember(self, number: int, places: Tensor, memory: FrameMemory) -> None:
        """Frame `number` is the newest."""
        self.short_term.push(number, memory)
        self.long_term.offer(number, memory, lambda: self._complete(places))
        self._keep(number, places)

    def remove(self, labels: Sequence[int], embed: Embed) -> None:
        """Make the places of these objects background in every frame that is remembered.

        Reference frames in which none but removed objects were given are forgotten.
        """
        empty = [place for place, label in enumerate(self.objects, start=1) if label in labels]
        self.removed |= set(labels)
        needed = {self.started[label] for label in self.live}
        self.long_term.forget_references(needed)
        changed: dict[int, FrameMemory] = {}
        for number, places in self.places.items():
            gone = torch.isin(places, torch.tensor(empty, device=places.device))
            self.places[number] = places.masked_fill(gone, 0)
        held = {**dict(self.long_term.entries), **dict(self.short_term.entries)}
        for number, memory in held.items():
            changed[number] = embed(self.shares(self.places[number]), memory)
        self.long_term.replace(changed)
        self.short_term.replace(changed)
        self._keep_held()

    def _complete(self, places: Tensor) -> bool:
        """Whether all objects that are tracked have pixels."""
        areas = torch.bincount(places.flatten(), minlength=len(self.objects) + 1)
        return bool(areas[self.channels[1:]].all())

    def _keep(self, number: int, places: Tensor) -> None:
        self.places[number] = places
        self._keep_held()

    def _keep_held(self) -> None:
        held = {*self.long_term.frames, *self.short_term.frames}
        self.places = {number: places for number, places in self.places.items() if number in held}
