"""DCNv3 forward as one Triton kernel, for GPUs; see `deform_conv.py` for the operator.

Each program makes `POSITIONS` output positions of one group of channels: it adds up the bilinear
samples in registers, so that nothing but the result is written.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

POSITIONS = 64


def deform_conv3_fused(
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
    """`deform_conv3` without gradients; sums in float32. Shapes are not checked."""
    input, offset, mask = input.contiguous(), offset.contiguous(), mask.contiguous()
    batch, height, width, channels = input.shape
    out_h, out_w = mask.shape[1:3]
    output = torch.empty(batch, out_h, out_w, channels, dtype=input.dtype, device=input.device)
    positions = batch * out_h * out_w
    centre = dilation * (kernel - 1) // 2
    with torch.cuda.device_of(input):
        _sum_samples[(triton.cdiv(positions, POSITIONS), group)](
            input,
            offset,
            mask,
            output,
            positions,
            height,
            width,
            out_h,
            out_w,
            stride,
            centre - pad,
            dilation,
            centre,
            float(offset_scale),
            KERNEL=kernel,
            GROUP=group,
            CHANNELS=channels // group,
            LANES=triton.next_power_of_2(channels // group),
            POSITIONS=POSITIONS,
        )
    return output


@triton.jit
def _sum_samples(
    input,
    offset,
    mask,
    output,
    positions,
    height,
    width,
    out_h,
    out_w,
    stride,
    origin,
    dilation,
    centre,
    offset_scale,
    KERNEL: tl.constexpr,  # noqa: N803
    GROUP: tl.constexpr,  # noqa: N803
    CHANNELS: tl.constexpr,  # noqa: N803
    LANES: tl.constexpr,  # noqa: N803
    POSITIONS: tl.constexpr,  # noqa: N803
):
    position = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)
    group = tl.program_id(1)
    lane = tl.arange(0, LANES)
    inside = position < positions
    column = position % out_w * stride + origin
    line = position // out_w % out_h * stride + origin
    image = input + (position // (out_w * out_h)).to(tl.int64) * height * width * GROUP * CHANNELS
    first = (position.to(tl.int64) * GROUP + group) * KERNEL * KERNEL
    total = tl.zeros((POSITIONS, LANES), dtype=tl.float32)
    for point in range(KERNEL * KERNEL):
        weight = tl.load(mask + first + point, mask=inside, other=0.0).to(tl.float32)
        move_x = tl.load(offset + (first + point) * 2, mask=inside, other=0.0).to(tl.float32)
        move_y = tl.load(offset + (first + point) * 2 + 1, mask=inside, other=0.0).to(tl.float32)
        x = (move_x + (point // KERNEL * dilation - centre)) * offset_scale
        y = (move_y + (point % KERNEL * dilation - centre)) * offset_scale
        left, top = tl.floor(x), tl.floor(y)
        rightness, lowness = x - left, y - top
        # Whole positions just outside stand for all that lie further out.
        left = tl.minimum(tl.maximum(left + column, -2.0), width + 0.0).to(tl.int32)
        top = tl.minimum(tl.maximum(top + line, -2.0), height + 0.0).to(tl.int32)
        for corner in tl.static_range(4):
            right, low = corner % 2, corner // 2
            share_x = rightness if right == 1 else 1 - rightness
            share_y = lowness if low == 1 else 1 - lowness
            px, py = left + right, top + low
            real = inside & (px >= 0) & (px < width) & (py >= 0) & (py < height)
            pixel = ((py * width + px).to(tl.int64) * GROUP + group) * CHANNELS
            value = tl.load(
                (image + pixel)[:, None] + lane[None, :],
                mask=real[:, None] & (lane < CHANNELS)[None, :],
                other=0.0,
            )
            total += value.to(tl.float32) * (share_x * share_y * weight)[:, None]
    place = (position.to(tl.int64) * GROUP + group) * CHANNELS
    tl.store(
        (output + place)[:, None] + lane[None, :],
        total.to(output.dtype.element_ty),
        mask=inside[:, None] & (lane < CHANNELS)[None, :],
    )
