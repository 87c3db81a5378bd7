"""Deformable convolution, version 3 (DCNv3), in plain PyTorch.

The operator of InternImage (arXiv 2211.05778, section 3.1): every output position takes a weighted
sum of bilinear samples, at the points of a regular grid moved by predicted offsets, in groups of
channels that share offsets and weights. It has no weights of its own and needs no compiled
extension.

How: a bilinear sample is a weighted sum of four pixels, so an output is a weighted sum of rows
of a table that holds the padded input, one row per pixel and group. `embedding_bag` computes that
without ever storing the samples (measured on a CPU: 5 to 8 times as fast as `grid_sample`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from tracker.vmos.on_trial import needs_gradient, on_trial

# Zero pixels on each side of the table: a sample outside the input is clamped into them.
MARGIN = 2
# Sampling points handled at once without gradients, so that temporaries stay in the cache.
POINTS_PER_CHUNK = 1 << 16
# The fused kernel and the plain operators may differ by this much on the trial case.
TRIAL_TOLERANCE = 1e-3


def deform_conv3(
    input: Tensor,
    offset: Tensor,
    mask: Tensor,
    *,
    kernel: int,
    stride: int,
    pad: int,
    dilation: int,
    group: int,
    group_channels: int,
    offset_scale: float,
) -> Tensor:
    """Weighted bilinear samples of `input` around every output position; differentiable.

    input: [B, H, W, group * group_channels], floating point.
    offset: [B, H_out, W_out, group * kernel**2 * 2]; the last axis is (x, y), in input pixels
        before `offset_scale`; the points of the kernel run with x as the outer loop.
    mask: [B, H_out, W_out, group * kernel**2], applied as it is (a softmax is the caller's).
    offset_scale: multiplies the offsets, and the regular grid around its centre.

    H_out = (H + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1, W_out alike. Samples outside
    the input are zero. Returns [B, H_out, W_out, group * group_channels] in the input's dtype;
    positions are computed in float32 at least. Not twice differentiable.
    Raises ValueError where the shapes do not fit.
    """
    reach = dilation * (kernel - 1)
    out_h, out_w = ((side + 2 * pad - reach - 1) // stride + 1 for side in input.shape[1:3])
    points = group * kernel**2
    if min(out_h, out_w) < 1:
        raise ValueError(
            f"deform_conv3: an input of {tuple(input.shape)} is smaller than the kernel "
            f"(kernel {kernel}, dilation {dilation}, pad {pad}); enlarge it or the padding"
        )
    _check_shape("input", input, (*input.shape[:3], group * group_channels))
    _check_shape("offset", offset, (input.shape[0], out_h, out_w, points * 2))
    _check_shape("mask", mask, (input.shape[0], out_h, out_w, points))

    fused = None if needs_gradient(input, offset, mask) else fused_kernel(input.device)
    operator = fused if fused is not None and input.dtype != torch.float64 else deform_conv3_plain
    return operator(input, offset, mask, kernel, stride, pad, dilation, group, offset_scale)


def deform_conv3_plain(
    input: Tensor,
    offset: Tensor,
    mask: Tensor,
    kernel: int,
    stride: int,
    pad: int,
    dilation: int,
    group: int,
    offset_scale: float,
) -> Tensor:
    """`deform_conv3` by standard PyTorch operators, on any device; shapes are not checked."""
    batch, out_h, out_w, points = mask.shape
    exact = torch.promote_types(offset.dtype, torch.float32)
    centre = dilation * (kernel - 1) // 2
    steps = torch.arange(kernel, dtype=exact, device=input.device) * dilation - centre
    grid_x = (steps * offset_scale).repeat_interleave(kernel).repeat(group)
    grid_y = (steps * offset_scale).repeat(kernel).repeat(group)
    lines = torch.arange(out_h, dtype=exact, device=input.device) * stride + (centre - pad)
    columns = torch.arange(out_w, dtype=exact, device=input.device) * stride + (centre - pad)

    table = _PixelTable(input, group, kernel**2)
    rows = out_h
    if input.device.type == "cpu" and not needs_gradient(input, offset, mask):
        rows = max(1, POINTS_PER_CHUNK // max(1, batch * out_w * points))
    parts = []
    for top in range(0, out_h, rows):
        part = slice(top, top + rows)
        moves = (offset[:, part].to(exact) * offset_scale).unflatten(-1, (points, 2))
        x, y = moves[..., 0] + grid_x, moves[..., 1] + grid_y
        centres = (lines[part, None, None], columns[:, None])
        parts.append(table.weighted_samples(x, y, centres, mask[:, part].to(exact)))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


@cache
def fused_kernel(device: torch.device) -> Callable[..., Tensor] | None:
    """The Triton kernel, if it runs on `device` and agrees there with the plain operators.

    Tried once for each device. None on a CPU, without Triton, and where the trial fails.
    """
    if device.type != "cuda":
        return None

    def load() -> Callable[..., Tensor]:
        from tracker.vmos.deform_conv_triton import deform_conv3_fused

        return deform_conv3_fused

    return on_trial(
        "DCNv3", device, load, lambda kernel: _trial_error(kernel, device), TRIAL_TOLERANCE
    )


def _trial_error(operator: Callable[..., Tensor], device: torch.device) -> float:
    """Largest difference between `operator` and the plain one on a small case."""
    ramp = torch.linspace(-3, 3, 2 * 9 * 11 * 36, device=device)
    offset = (40 * ramp).sin().mul(3).view(1, 9, 11, 72)
    mask = (50 * ramp[: 9 * 11 * 36]).cos().view(1, 9, 11, 36)
    case = ((60 * ramp[: 9 * 11 * 64]).sin().view(1, 9, 11, 64), offset, mask, 3, 1, 1, 1, 4, 1.0)
    return (operator(*case) - deform_conv3_plain(*case)).abs().max().item()


class _PixelTable:
    """The input with a margin of zeros, as a table with one row per image, pixel and group."""

    def __init__(self, input: Tensor, group: int, points_per_group: int) -> None:
        batch, self.height, self.width, channels = input.shape
        padded = F.pad(input, (0, 0, MARGIN, MARGIN, MARGIN, MARGIN))
        self.rows = padded.reshape(-1, channels // group)
        self.pitch = padded.shape[2]
        self.group = group
        self.points_per_group = points_per_group
        # The row of pixel (0, 0), for each image and each point of the kernel.
        origin = torch.arange(batch, dtype=torch.int32, device=input.device) * padded.shape[1]
        origin = ((origin + MARGIN) * self.pitch + MARGIN) * group
        groups = torch.arange(group, dtype=torch.int32, device=input.device)
        self.origin = origin.view(-1, 1, 1, 1) + groups.repeat_interleave(points_per_group)

    def weighted_samples(
        self, x: Tensor, y: Tensor, centres: tuple[Tensor, Tensor], weight: Tensor
    ) -> Tensor:
        """Sums over the kernel of weight * input at (centre + x, centre + y), bilinear.

        x, y, weight: [B, rows, W_out, group * points]; centres: (y, x) as whole numbers that
        broadcast to them. Kept apart from x and y so that far columns lose no precision.
        Returns [B, rows, W_out, channels].
        """
        left, top = x.detach().floor(), y.detach().floor()
        rightness, lowness = x - left, y - top
        upper_left = self._row(left + centres[1], top + centres[0]).view(-1, self.points_per_group)
        lower = lowness * weight
        upper = weight - lower
        lower_right, upper_right = lower * rightness, upper * rightness
        corners = (
            (0, upper - upper_right),
            (self.group, upper_right),
            (self.pitch * self.group, lower - lower_right),
            ((self.pitch + 1) * self.group, lower_right),
        )
        sums = None
        for shift, share in corners:
            share = share.to(self.rows.dtype).view(-1, self.points_per_group)
            corner = F.embedding_bag(
                upper_left, self.rows[shift:], mode="sum", per_sample_weights=share
            )
            sums = corner if sums is None else sums.add_(corner)
        return sums.view(*x.shape[:3], -1)

    def _row(self, left: Tensor, top: Tensor) -> Tensor:
        """Table rows (int32) of the pixels at whole positions; those far outside hit the margin."""
        left = left.clamp_(-MARGIN, self.width).to(torch.int32)
        top = top.clamp_(-MARGIN, self.height).to(torch.int32)
        row = top.mul_(self.pitch).add_(left).mul_(self.group).add_(self.origin)
        # NaN turns into any integer: the row stays valid, and the weight carries the NaN on.
        return row.clamp_(0, self.rows.shape[0] - 1 - (self.pitch + 1) * self.group)


def _check_shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != expected:
        raise ValueError(
            f"deform_conv3: {name} has shape {tuple(tensor.shape)}, expected {expected} "
            "(channels last; see the function's documentation)"
        )
