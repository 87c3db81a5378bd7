"""Attention over memories as Triton kernels, for GPUs; see `attention.py` for the functions.

Scores and softmax stay in registers, for keys that are much narrower than values: a program makes
`QUERIES` rows of the result and one block of their columns, and computes its scores anew. Sums are
in float32, and so are products of float32. The softmax is taken as the keys come by, with the
largest score so far.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

QUERIES = 64
GLOBAL_COLUMNS = 256
"""Most columns of the result per program: 64 x 256 sums are 128 registers in 128 threads."""

LOCAL_COLUMNS = 128
"""The same for local programs, whose biases and offsets need registers too."""

TILE = (4, 16)
"""Rows and columns of queries of a local program: with a window of 15, keys in rows of 30."""

LINES = 2
"""Rows of keys that a local program takes at once."""


def global_attention_fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`tracker.vmos.attention.global_attention` without gradients; all of one dtype."""
    query, key, value = (_with_rows(tensor) for tensor in (query, key, value))
    batch, queries, channels = query.shape
    width = value.shape[2]
    output = query.new_empty(batch, queries, width)
    columns = min(GLOBAL_COLUMNS, _lanes(width))
    grid = (triton.cdiv(queries, QUERIES), triton.cdiv(width, columns), batch)
    with torch.cuda.device_of(query):
        _global_attention[grid](
            query, key, value, output,
            *query.stride()[:2], *key.stride()[:2], *value.stride()[:2],
            queries, key.shape[1], channels, width, channels**-0.5 * math.log2(math.e),
            QUERIES=QUERIES,
            KEYS=64 if query.element_size() == 2 else 32,
            LANES=_lanes(channels),
            COLUMNS=columns,
            num_warps=4,
            num_stages=2,
        )  # fmt: skip
    return output


def local_attention_fused(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, grid: tuple[int, int], window: int
) -> Tensor:
    """`tracker.vmos.attention.local_attention` without gradients; all of one dtype."""
    query, key, value, bias = (_with_rows(tensor) for tensor in (query, key, value, bias))
    batch, queries, channels = query.shape
    width = value.shape[2]
    output = query.new_empty(batch, queries, width)
    columns = min(LOCAL_COLUMNS, _lanes(width))
    across = triton.cdiv(grid[1], TILE[1])
    tiles = triton.cdiv(grid[0], TILE[0]) * across
    with torch.cuda.device_of(query):
        _local_attention[(tiles, triton.cdiv(width, columns), batch)](
            query, key, value, bias, output,
            *query.stride()[:2], *key.stride()[:2], *value.stride()[:2], *bias.stride()[:2],
            *grid, across, channels, width, channels**-0.5,
            TALL=TILE[0],
            BROAD=TILE[1],
            WINDOW=window,
            HALO=_lanes(TILE[1] + window - 1),
            LINES=LINES,
            LANES=_lanes(channels),
            COLUMNS=columns,
            num_warps=8,
            num_stages=2,
        )  # fmt: skip
    return output


def _with_rows(tensor: Tensor) -> Tensor:
    """The tensor, with the channels of a place side by side in memory."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _lanes(count: int) -> int:
    """Products of blocks want powers of two, 16 at least."""
    return max(16, triton.next_power_of_2(count))


@triton.jit
def _take_in(scores, worth, largest, total, sums):
    """Softmax over keys as they come: scores [Q, K], in powers of two, of values [K, C]."""
    highest = tl.maximum(largest, tl.max(scores, axis=1))
    shares = tl.exp2(scores - highest[:, None])
    fading = tl.exp2(largest - highest)
    total = total * fading + tl.sum(shares, axis=1)
    product = tl.dot(shares.to(worth.dtype), worth, input_precision="ieee")
    return highest, total, sums * fading[:, None] + product


@triton.jit
def _rows(tensor, batch, batch_stride, place, row_stride, lane, real, count):
    """Rows `place` of one image of a tensor [B, N, count], zero where not `real`."""
    start = tensor + batch * batch_stride
    return tl.load(
        start + place.to(tl.int64)[:, None] * row_stride + lane[None, :],
        mask=real[:, None] & (lane < count)[None, :],
        other=0.0,
    )


@triton.jit
def _global_attention(
    query,
    key,
    value,
    output,
    query_batch,
    query_row,
    key_batch,
    key_row,
    value_batch,
    value_row,
    queries,
    keys,
    channels,
    width,
    scale,
    QUERIES: tl.constexpr,  # noqa: N803
    KEYS: tl.constexpr,  # noqa: N803
    LANES: tl.constexpr,  # noqa: N803
    COLUMNS: tl.constexpr,  # noqa: N803
):
    row = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    batch = tl.program_id(2).to(tl.int64)
    lane = tl.arange(0, LANES)
    asked = _rows(query, batch, query_batch, row, query_row, lane, row < queries, channels)
    largest = tl.full((QUERIES,), -1e30, dtype=tl.float32)
    total = tl.zeros((QUERIES,), dtype=tl.float32)
    sums = tl.zeros((QUERIES, COLUMNS), dtype=tl.float32)
    for start in range(0, keys, KEYS):
        place = start + tl.arange(0, KEYS)
        real = place < keys
        known = _rows(key, batch, key_batch, place, key_row, lane, real, channels)
        scores = tl.dot(asked, tl.trans(known), input_precision="ieee") * scale
        scores = tl.where(real[None, :], scores, float("-inf"))
        worth = _rows(value, batch, value_batch, place, value_row, column, real, width)
        largest, total, sums = _take_in(scores, worth, largest, total, sums)
    result = output + batch * queries * width
    tl.store(
        result + row.to(tl.int64)[:, None] * width + column[None, :],
        (sums / total[:, None]).to(output.dtype.element_ty),
        mask=(row < queries)[:, None] & (column < width)[None, :],
    )


@triton.jit
def _local_attention(
    query,
    key,
    value,
    bias,
    output,
    query_batch,
    query_row,
    key_batch,
    key_row,
    value_batch,
    value_row,
    bias_batch,
    bias_row,
    height,
    breadth,
    across,
    channels,
    width,
    scale,
    TALL: tl.constexpr,  # noqa: N803
    BROAD: tl.constexpr,  # noqa: N803
    WINDOW: tl.constexpr,  # noqa: N803
    HALO: tl.constexpr,  # noqa: N803
    LINES: tl.constexpr,  # noqa: N803
    LANES: tl.constexpr,  # noqa: N803
    COLUMNS: tl.constexpr,  # noqa: N803
):
    top = tl.program_id(0) // across * TALL
    left = tl.program_id(0) % across * BROAD
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    batch = tl.program_id(2).to(tl.int64)
    lane = tl.arange(0, LANES)
    one = tl.arange(0, TALL * BROAD)
    y, x = top + one // BROAD, left + one % BROAD
    inside = (y < height) & (x < breadth)
    row = y * breadth + x
    asked = _rows(query, batch, query_batch, row, query_row, lane, inside, channels)
    biases = bias + batch * bias_batch + row.to(tl.int64)[:, None] * bias_row
    largest = tl.full((TALL * BROAD,), -1e30, dtype=tl.float32)
    total = tl.zeros((TALL * BROAD,), dtype=tl.float32)
    sums = tl.zeros((TALL * BROAD, COLUMNS), dtype=tl.float32)
    for line in range(0, TALL + WINDOW - 1, LINES):
        other = tl.arange(0, LINES * HALO)
        key_y = top - WINDOW // 2 + line + other // HALO
        key_x = left - WINDOW // 2 + other % HALO
        real = (key_y >= 0) & (key_y < height) & (key_x >= 0) & (key_x < breadth)
        place = key_y * breadth + key_x
        known = _rows(key, batch, key_batch, place, key_row, lane, real, channels)
        scores = tl.dot(asked, tl.trans(known), input_precision="ieee") * scale
        down = key_y[None, :] - y[:, None] + WINDOW // 2
        right = key_x[None, :] - x[:, None] + WINDOW // 2
        seen = (down >= 0) & (down < WINDOW) & (right >= 0) & (right < WINDOW) & real[None, :]
        near = tl.load(biases + down * WINDOW + right, mask=seen & inside[:, None], other=0.0)
        scores = (scores + near.to(tl.float32)) * 1.4426950408889634
        scores = tl.where(seen, scores, float("-inf"))
        worth = _rows(value, batch, value_batch, place, value_row, column, real, width)
        largest, total, sums = _take_in(scores, worth, largest, total, sums)
    result = output + batch * height * breadth * width
    tl.store(
        result + row.to(tl.int64)[:, None] * width + column[None, :],
        (sums / total[:, None]).to(output.dtype.element_ty),
        mask=inside[:, None] & (column < width)[None, :],
    )
