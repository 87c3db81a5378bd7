"""What a session remembers, as named tensors and a record that JSON can hold, and back again.

A session that is restored goes on exactly as the one it was taken from.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from tracker.config import MemoryConfig
from tracker.vmos.groups import ObjectGroup
from tracker.vmos.memory import FrameMemory, LayerMemory

PLACES = "places"


def pack_groups(groups: list[ObjectGroup]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Tensors named group.frame.layer.field, and a record per group."""
    tensors: dict[str, Tensor] = {}
    records = []
    for index, group in enumerate(groups):
        held = {**dict(group.long_term.entries), **dict(group.short_term.entries)}
        for number, memory in held.items():
            tensors[f"{index}.{number}.{PLACES}"] = group.places[number]
            for layer, of_layer in enumerate(memory):
                for name, value in _tensors(of_layer).items():
                    tensors[f"{index}.{number}.{layer}.{name}"] = value.contiguous()
        records.append(
            {
                "objects": list(group.objects),
                "removed": sorted(group.removed),
                "started": list(group.started.items()),
                "grids": {number: [m.grid for m in memory] for number, memory in held.items()},
                "long_term": group.long_term.numbers(),
                "short_term": group.short_term.frames,
            }
        )
    return tensors, records


def unpack_groups(
    tensors: dict[str, Tensor], records: list[dict[str, Any]], config: MemoryConfig
) -> list[ObjectGroup]:
    """The groups that `pack_groups` was given; the records may have been through JSON."""
    groups = []
    for index, record in enumerate(records):
        held = {
            int(number): _memory(tensors, f"{index}.{number}", grids)
            for number, grids in record["grids"].items()
        }
        group = ObjectGroup(config)
        group.objects, group.removed = list(record["objects"]), set(record["removed"])
        group.started = dict(map(tuple, record["started"]))
        group.places = {number: tensors[f"{index}.{number}.{PLACES}"] for number in held}
        group.long_term.restore(held, record["long_term"])
        for number in record["short_term"]:
            group.short_term.push(number, held[number])
        groups.append(group)
    return groups


def _tensors(memory: LayerMemory) -> dict[str, Tensor]:
    values = {field.name: getattr(memory, field.name) for field in dataclasses.fields(memory)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _memory(tensors: dict[str, Tensor], prefix: str, grids: list[list[int]]) -> FrameMemory:
    layers = []
    for layer, grid in enumerate(grids):
        names = [field.name for field in dataclasses.fields(LayerMemory)]
        keys = {name: f"{prefix}.{layer}.{name}" for name in names}
        values = {name: tensors[key] for name, key in keys.items() if key in tensors}
        layers.append(LayerMemory(**values, grid=tuple(grid)))
    return tuple(layers)
