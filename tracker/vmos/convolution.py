"""A convolution with its activation in one pass, where PyTorch's CPU library offers it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_relu6(conv: nn.Conv2d, image: Tensor) -> Tensor:
    """relu6(conv(image)). [B, C, H, W] -> [B, C_out, h, w].

    On a CPU, without gradients, oneDNN clamps its sums before it writes them: one pass over the map
    less. Everywhere else it is the two operators.
    """
    autocast = torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu") if autocast else image.dtype
    if not _is_fused(conv, image, dtype):
        return F.relu6(conv(image), inplace=True)
    bias = None if conv.bias is None else conv.bias.to(dtype)
    return torch.ops.mkldnn._convolution_pointwise(
        image.to(dtype), conv.weight.to(dtype), bias, conv.padding, conv.stride, conv.dilation,
        conv.groups, "hardtanh", [0.0, 6.0], "",
    )  # fmt: skip


def _is_fused(conv: nn.Conv2d, image: Tensor, dtype: torch.dtype) -> bool:
    tracked = torch.is_grad_enabled() and (image.requires_grad or conv.weight.requires_grad)
    return (
        not tracked
        and image.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and (dtype == torch.float32 or (dtype == torch.bfloat16 and _is_bfloat16_supported()))
    )


def _is_bfloat16_supported() -> bool:
    probe = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return bool(probe and probe())
