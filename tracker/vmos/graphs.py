"""CUDA graphs: what the network does with tensors of known shapes, recorded once, then replayed.

A replay starts all kernels of a frame with one launch; without it a light network waits for Python.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from tracker.config import VmosConfig
from tracker.vmos.model import VmosModel

logger = logging.getLogger(__name__)

Recorder = Callable[[Callable[[], Any]], tuple[Callable[[], None], Any]]
"""Runs a function -> how to run it again, and its results, which every replay overwrites."""

FAMILIAR = 3
"""A shape is recorded when it comes for this time: by then kernels are chosen and loaded."""

RECORDINGS = 4
"""Recordings kept, those used last: the long-term memory grows, and its last shape stays."""

SEEN = 64
"""Shapes that are counted at a time."""

TOLERANCE = 1e-3
"""Largest distance of a replay from the function itself, as a share of the result's norm."""


def record_on_cuda(function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """A `Recorder` on the current CUDA device; other threads may go on using it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        results = function()
    return graph.replay, results


class GraphedVmos(VmosModel):
    """VMOS whose image encoder, and whose way from memory to logits, are replayed."""

    def __init__(self, config: VmosConfig, record: Recorder = record_on_cuda) -> None:
        super().__init__(config)
        self.encode_image = Replayed("image encoder", super().encode_image, record)
        self.segment = Replayed("propagation", super().segment, record)

    @property
    def replaying(self) -> bool:
        """Whether both have been recorded and no recording has failed."""
        return self.encode_image.replaying and self.segment.replaying


class Replayed:
    """A function of tensors (in tuples and dataclasses, beside plain values) by its recordings.

    Called for inference only, by one thread at a time. Where a recording fails, or differs from the
    function, a line is logged and the function itself is called from then on.
    """

    def __init__(self, name: str, function: Callable[..., Any], record: Recorder) -> None:
        self._name = name
        self._function = function
        self._record: Recorder | None = record
        self._seen: Counter[object] = Counter()
        self._recordings: OrderedDict[object, Recording] = OrderedDict()

    @property
    def replaying(self) -> bool:
        """Whether there is a recording."""
        return bool(self._recordings)

    def __call__(self, *arguments: Any) -> Any:
        if self._record is None:
            return self._function(*arguments)
        key = shape_of(arguments), torch.is_autocast_enabled(_device_type(arguments))
        if key in self._recordings:
            self._recordings.move_to_end(key)
            return self._recordings[key](arguments)
        results = self._function(*arguments)
        if len(self._seen) > SEEN:
            self._seen.clear()
        self._seen[key] += 1
        if self._seen[key] >= FAMILIAR:
            self._take_on(key, arguments, results)
        return results

    def _take_on(self, key: object, arguments: tuple[Any, ...], expected: Any) -> None:
        try:
            recording = Recording(self._function, arguments, self._record)
            difference = recording.distance(arguments, expected)
        except Exception as failure:  # whatever CUDA raises, the function itself still works
            return self._give_up(str(failure))
        if not difference < TOLERANCE:
            return self._give_up(f"a replay differs by {difference:g}")
        self._recordings[key] = recording
        if len(self._recordings) > RECORDINGS:
            forgotten, _ = self._recordings.popitem(last=False)
            self._seen.pop(forgotten, None)

    def _give_up(self, reason: str) -> None:
        logger.warning("CUDA graphs of the %s are off: %s", self._name, reason)
        self._record = None
        self._recordings.clear()


class Recording:
    """One function at one shape: places for its arguments, and a replay into those of its results.

    Autocast is entered anew without its cache: what is cast while recording must be cast again in
    every replay.
    """

    def __init__(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], record: Recorder
    ) -> None:
        kind = _device_type(arguments)
        autocast = torch.autocast(
            kind,
            torch.get_autocast_dtype(kind),
            enabled=torch.is_autocast_enabled(kind),
            cache_enabled=False,
        )
        places = copied(arguments)

        def run() -> Any:
            with autocast:
                return function(*places)

        self._places = list(tensors_of(places))
        self._replay, self._results = record(run)

    def __call__(self, arguments: tuple[Any, ...]) -> Any:
        """The results for these arguments, in tensors of their own."""
        for place, given in zip(self._places, tensors_of(arguments), strict=True):
            place.copy_(given)
        self._replay()
        return copied(self._results)

    def distance(self, arguments: tuple[Any, ...], expected: Any) -> float:
        """Largest distance from the expected results, as a share of each one's norm."""
        for place in (*self._places, *tensors_of(self._results)):
            place.zero_()
        pairs = zip(tensors_of(self(arguments)), tensors_of(expected), strict=True)
        return max(float((a - b).float().norm() / b.float().norm().clamp(1e-6)) for a, b in pairs)


def tensors_of(tree: Any) -> Iterator[Tensor]:
    """The tensors in tuples and dataclasses, in order."""
    if isinstance(tree, Tensor):
        yield tree
    for part in _parts(tree):
        yield from tensors_of(part)


def shape_of(tree: Any) -> object:
    """Equal for trees that differ in the values of their tensors only."""
    if isinstance(tree, Tensor):
        return tuple(tree.shape), tree.dtype, tree.device
    if parts := _parts(tree):
        return type(tree), tuple(shape_of(part) for part in parts)
    return tree


def copied(tree: Any) -> Any:
    """The same tree with copies of its tensors."""
    if isinstance(tree, Tensor):
        return tree.clone()
    if dataclasses.is_dataclass(tree):
        return type(tree)(*(copied(part) for part in _parts(tree)))
    return tuple(copied(part) for part in tree) if isinstance(tree, tuple) else tree


def _parts(tree: Any) -> tuple[Any, ...]:
    if dataclasses.is_dataclass(tree):
        return tuple(getattr(tree, field.name) for field in dataclasses.fields(tree))
    return tree if isinstance(tree, tuple) else ()


def _device_type(arguments: tuple[Any, ...]) -> str:
    return next(tensors_of(arguments)).device.type
