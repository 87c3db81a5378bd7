"""A convolution with its activation in one pass, where PyTorch's CPU library offers it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_relu6(conv: nn.Conv2d, image: Tensor) -> Tensor:
    """relu6(conv(image)). [B, C, H, W] -> [B, C_out, h, w].

    In float32 on a CPU, without gradients, oneDNN clamps its sums before it writes them: one pass
    over the map less. Everywhere else it is the two operators.
    """
    if _is_fused(conv, image):
        return torch.ops.mkldnn._convolution_pointwise(
            image, conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups,
            "hardtanh", [0.0, 6.0], "",
        )  # fmt: skip
    return F.relu6(conv(image), inplace=True)


def _is_fused(conv: nn.Conv2d, image: Tensor) -> bool:
    tracked = torch.is_grad_enabled() and (image.requires_grad or conv.weight.requires_grad)
    return (
        not tracked
        and image.device.type == "cpu"
        and image.dtype == conv.weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    )
