"""Mixed precision on the CPU: bfloat16, but for depthwise convolutions and GroupNorm.

In bfloat16 the gradient of a depthwise convolution took up to ten times as long as in float32 on a
CPU with matrix units, that of GroupNorm four times (PyTorch 2.15), while all else gains.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def slow_parts_in_float32(model: nn.Module) -> None:
    """Let depthwise convolutions and GroupNorms of the model leave autocast."""
    for module in model.modules():
        depthwise = isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
        if depthwise or isinstance(module, nn.GroupNorm):
            module.forward = _in_float32(module)


def _in_float32(module: nn.Module):
    plain = module.forward

    def forward(image: Tensor) -> Tensor:
        with torch.autocast(image.device.type, enabled=False):
            return plain(image.float())

    return forward
