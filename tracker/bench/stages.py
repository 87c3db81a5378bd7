"""Where a frame's time goes: the calls of each stage are wrapped from outside while it is measured.

A stage owns what its calls take less what stages called inside them take, so that the stages of a
frame add up to the frame.
"""

from __future__ import annotations

import contextlib
import functools
import pkgutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

Hooks = Sequence[tuple[str, str]]
"""Name of a stage, and where its function is found: "module:function" or "module:Class.method"."""

_SESSION = "tracker.vmos.session:"
_VMOS: Hooks = (
    ("preprocess", _SESSION + "to_model_input"),
    ("VMOS encode", "tracker.vmos.model:VmosModel.encode_image"),
    ("propagate", "tracker.vmos.model:VmosModel.propagate"),
    ("decode", "tracker.vmos.model:VmosModel.decode"),
    ("labels", _SESSION + "Prediction.decide"),
    ("memory", _SESSION + "VmosSession.settle"),
    ("VMOS rest", _SESSION + "VmosSession.step"),
)
VMOS_STAGES = tuple(stage for stage, _ in _VMOS)
"""The stages whose sum is the segmenter's time."""

_SHARED: Hooks = (
    ("decode image", "tracker.frames:read_image"),
    *_VMOS,
    ("gate and merge", "tracker.refining:Refining.finish"),
    ("rest", "tracker.pipeline:HQTracker.track"),
)
OUR_HOOKS: Hooks = (
    *_SHARED,
    ("HQ-SAM encode", "tracker.refiner.refine:MaskRefiner.encode"),
    ("HQ-SAM decode", "tracker.refiner.refine:MaskRefiner.refine"),
)
REFERENCE_HOOKS: Hooks = (
    *_SHARED,
    ("HQ-SAM encode", "tracker.bench.reference:PerObjectRefiner.encode"),
    ("HQ-SAM decode", "tracker.bench.reference:PerObjectRefiner.refine"),
)
STAGES = (
    "decode image",
    *VMOS_STAGES,
    "HQ-SAM encode",
    "HQ-SAM decode",
    "gate and merge",
    "rest",
)
"""In the order of a frame."""


class StageMeter:
    """Reads a clock around calls and adds up, per stage, what is not an inner stage's.

    The clock may count anything that only grows: seconds, or operations.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._inner = threading.local()
        self._totals: dict[str, float] = {}

    def wrap(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, measured as a part of `stage`."""

        @functools.wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            stack = self._stack()
            stack.append(0.0)
            begin = self._clock()
            try:
                return function(*args, **kwargs)
            finally:
                whole = self._clock() - begin
                own = whole - stack.pop()
                if stack:
                    stack[-1] += whole
                self._totals[stage] = self._totals.get(stage, 0.0) + own

        return measured

    def take(self) -> Mapping[str, float]:
        """What every stage has had since the last call of this; stages that ran only."""
        totals, self._totals = self._totals, {}
        return totals

    @contextlib.contextmanager
    def on(self, hooks: Hooks) -> Iterator[None]:
        """Wrap the functions of these hooks; AttributeError or ImportError where there is none."""
        with contextlib.ExitStack() as stack:
            for stage, where in hooks:
                module, _, path = where.partition(":")
                owner_path, _, name = path.rpartition(".")
                owner = pkgutil.resolve_name(f"{module}:{owner_path}" if owner_path else module)
                wrapped = self.wrap(stage, getattr(owner, name))
                stack.enter_context(mock.patch.object(owner, name, wrapped))
            yield

    def _stack(self) -> list[float]:
        if not hasattr(self._inner, "stack"):
            self._inner.stack = []
        return self._inner.stack
