"""Mixed precision: bfloat16 where it is faster, float32 elsewhere.

On a CPU two operations leave autocast: in bfloat16 the gradient of a depthwise convolution took up
to ten times as long as in float32 on a CPU with matrix units, that of GroupNorm four times (PyTorch
2.15), while all else gains.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tracker.vmos.precision import uses_bfloat16


@contextlib.contextmanager
def mixed_precision(device: torch.device, precision: str) -> Iterator[None]:
    """Where a training step computes its loss; `precision` as in `tracker.vmos.precision`."""
    if not uses_bfloat16(precision, device):
        yield
        return
    slow_parts = SlowPartsInFloat32() if device.type == "cpu" else contextlib.nullcontext()
    with torch.autocast(device.type, torch.bfloat16), slow_parts:
        yield


class SlowPartsInFloat32(TorchFunctionMode):
    """Lets convolutions in groups and GroupNorm leave autocast."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if function is F.group_norm or (function is torch.conv2d and _groups(args, kwargs) > 1):
            image: Tensor = args[0]
            with torch.autocast(image.device.type, enabled=False):
                return function(image.float(), *args[1:], **kwargs)
        return function(*args, **kwargs)


def _groups(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Of the arguments (input, weight, bias, stride, padding, dilation, groups)."""
    return args[6] if len(args) > 6 else kwargs.get("groups", 1)
