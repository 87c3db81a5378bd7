"""Which function attends on a GPU: a Triton kernel where it passes its trial, else PyTorch's own.

In float16 and bfloat16 only, without gradients; all else goes to the plain operators.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from tracker.vmos.on_trial import needs_gradient, on_trial

HALF = (torch.float16, torch.bfloat16)

TRIAL_TOLERANCE = 2e-2
"""On the trial's values below 1: the shares and the result are rounded to 8 bits."""

TRIAL_GRID = (9, 37)
"""A grid that no block of the kernels divides."""


def fused_global(*tensors: Tensor) -> Callable[..., Tensor] | None:
    """What `global_attention` of these (query, key, value) goes to; None: the plain operators."""
    if not _suits(tensors):
        return None
    query, _, value = tensors
    kernel = _global_kernel(query.device, query.dtype, query.shape[2], value.shape[2])
    return kernel or split_attention


def fused_local(window: int, *tensors: Tensor) -> Callable[..., Tensor] | None:
    """What `local_attention` of these (query, key, value, bias) goes to; None: plain operators."""
    if not _suits(tensors):
        return None
    query, _, value, _ = tensors
    return _local_kernel(query.device, query.dtype, query.shape[2], value.shape[2], window)


def split_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`global_attention` by PyTorch's fused attention, which wants values as wide as keys.

    The columns of the values become heads, which share queries and keys; each computes the scores
    anew.
    """
    channels, width = query.shape[2], value.shape[2]
    parts = F.pad(value, (0, -width % channels)).unflatten(2, (-1, channels)).transpose(1, 2)
    query, key = (tensor[:, None].expand(-1, parts.shape[1], -1, -1) for tensor in (query, key))
    attended = F.scaled_dot_product_attention(query, key, parts)
    return attended.transpose(1, 2).flatten(2)[..., :width]


def _suits(tensors: tuple[Tensor, ...]) -> bool:
    first = tensors[0]
    same = all(tensor.dtype == first.dtype for tensor in tensors)
    on_gpu = first.device.type == "cuda"
    return on_gpu and same and first.dtype in HALF and not needs_gradient(*tensors)


@cache
def _global_kernel(
    device: torch.device, dtype: torch.dtype, channels: int, width: int
) -> Callable[..., Tensor] | None:
    def load() -> Callable[..., Tensor]:
        from tracker.vmos.attention_triton import global_attention_fused

        return global_attention_fused

    def error(kernel: Callable[..., Tensor]) -> float:
        from tracker.vmos.attention import global_attention

        case = _trial_case(dtype, channels, width, 1)[:3]
        found = kernel(*(t.to(device) for t in case)).float().cpu()
        return (found - global_attention(*(t.float() for t in case))).abs().max().item()

    return on_trial(_name("global", dtype, channels, width), device, load, error, TRIAL_TOLERANCE)


@cache
def _local_kernel(
    device: torch.device, dtype: torch.dtype, channels: int, width: int, window: int
) -> Callable[..., Tensor] | None:
    def load() -> Callable[..., Tensor]:
        from tracker.vmos.attention_triton import local_attention_fused

        return local_attention_fused

    def error(kernel: Callable[..., Tensor]) -> float:
        from tracker.vmos.attention import local_attention

        case = _trial_case(dtype, channels, width, window)
        found = kernel(*(t.to(device) for t in case), TRIAL_GRID, window).float().cpu()
        expected = local_attention(*(t.float() for t in case), TRIAL_GRID, window)
        return (found - expected).abs().max().item()

    return on_trial(_name("local", dtype, channels, width), device, load, error, TRIAL_TOLERANCE)


def _trial_case(
    dtype: torch.dtype, channels: int, width: int, window: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Query, key, value and bias on the trial's grid, on the CPU; values lie within -1 and 1.

    Scores are wide enough (a spread of 2) that a few keys decide a result.
    """
    count = TRIAL_GRID[0] * TRIAL_GRID[1]
    draw = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, count, channels, generator=draw) for _ in range(2))
    value = 2 * torch.rand(1, count, width, generator=draw) - 1
    bias = torch.randn(1, count, window * window, generator=draw)
    return (2 * query).to(dtype), key.to(dtype), value.to(dtype), bias.to(dtype)


def _name(kind: str, dtype: torch.dtype, channels: int, width: int) -> str:
    return f"{kind} attention ({str(dtype).removeprefix('torch.')}, {channels} to {width})"
