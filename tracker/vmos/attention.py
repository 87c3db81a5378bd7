"""Attention over memories: the whole long-term bank, or a window around the same place.

Both are one-headed and bounded in memory: neither builds a matrix of all positions by all
positions. Source: gated propagation, DeAOT (Yang and Yang, NeurIPS 2022).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tracker.vmos.attention_fused import fused_global, fused_local

SCORES_AT_ONCE = 1 << 24
"""Most attention scores held at a time by `global_attention_plain` (64 MiB in float32)."""

SCORES_IN_CACHE = 1 << 20
"""The same on a CPU: they stay in its cache between the two products (4 MiB in float32)."""

QUERIES_AT_LEAST = 128
"""Products of fewer queries than this are slow; more scores are held instead."""

TILE = 8
"""Side of the query tiles of `local_attention_plain`, in positions."""


def global_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention of every query over every key.

    query [B, N, D], key [B, M, D], value [B, M, V]; returns [B, N, V]. The queries are divided
    by sqrt(D).
    """
    attend = fused_global(query, key, value) or global_attention_plain
    return attend(query, key, value)


def global_attention_plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`global_attention` by standard operators, on any device, some queries at a time."""
    scaled = query / math.sqrt(query.shape[-1])
    transposed = key.transpose(1, 2).contiguous()  # else every product makes its own copy
    parts = scaled.split(_queries_at_once(key), dim=1)
    if torch.is_grad_enabled():
        return torch.cat([torch.softmax(part @ transposed, dim=-1) @ value for part in parts], 1)
    return _attend_in_place(parts, transposed, value)


def _attend_in_place(parts: Sequence[Tensor], transposed: Tensor, value: Tensor) -> Tensor:
    """All parts through the same memory: fresh pages for every part cost as much as the products.

    parts [B, n, D] of the queries, the longest first; transposed [B, D, M], value [B, M, V].
    """
    batch, longest, _ = parts[0].shape
    held = transposed.new_empty(2, batch, longest, transposed.shape[-1])
    result = value.new_empty(batch, sum(part.shape[1] for part in parts), value.shape[-1])
    for part, attended in zip(parts, result.split(longest, dim=1), strict=True):
        scores, shares = held[:, :, : part.shape[1]]
        torch.bmm(part, transposed, out=scores)
        torch.softmax(scores, dim=-1, out=shares)
        torch.bmm(shares, value, out=attended)
    return result


def _queries_at_once(key: Tensor) -> int:
    """How many queries `global_attention_plain` takes at a time."""
    per_query = key.shape[0] * key.shape[1]
    most = max(1, SCORES_AT_ONCE // per_query)
    if key.device.type != "cpu":
        return most
    return min(most, max(QUERIES_AT_LEAST, SCORES_IN_CACHE // per_query))


def local_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, grid: tuple[int, int], window: int
) -> Tensor:
    """Softmax attention of every query over the window x window keys around its own place.

    query, key [B, H*W, D], value [B, H*W, V], grid (H, W); bias [B, H*W, window * window] is
    added to the scores, row-major over the offsets from the top left. Keys outside the grid get
    no weight. Returns [B, H*W, V]. The queries are divided by sqrt(D).
    """
    attend = fused_local(window, query, key, value, bias) or local_attention_plain
    return attend(query, key, value, bias, grid, window)


def local_attention_plain(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, grid: tuple[int, int], window: int
) -> Tensor:
    """`local_attention` by standard operators, on any device.

    Works on tiles of TILE x TILE queries, each against the (TILE + window - 1) squared keys that
    any of them can see.
    """
    height, width = grid
    queries = _tiles(query / math.sqrt(query.shape[-1]), grid, 0)
    keys = _tiles(key, grid, window // 2)
    values = _tiles(value, grid, window // 2)
    biases = _tiles(bias, grid, 0)

    unseen = _unseen(grid, window, query.dtype, query.device)
    if len(queries) > len(unseen):  # several pictures
        unseen = unseen.repeat(query.shape[0], 1, 1)
    scores = torch.baddbmm(unseen, queries, keys.transpose(1, 2))
    _windows(scores, window).add_(biases.view(-1, TILE, TILE, window, window))
    tiles = torch.softmax(scores, dim=-1) @ values

    rows, columns = math.ceil(height / TILE), math.ceil(width / TILE)
    image = tiles.view(query.shape[0], rows, columns, TILE, TILE, -1).transpose(2, 3)
    image = image.reshape(query.shape[0], rows * TILE, columns * TILE, -1)
    return image[:, :height, :width].reshape(query.shape[0], height * width, -1)


def _tiles(tokens: Tensor, grid: tuple[int, int], margin: int) -> Tensor:
    """[B, H*W, C] -> [B * tiles, side * side, C]: TILE-spaced squares grown by `margin`."""
    batch, _, channels = tokens.shape
    height, width = grid
    side = TILE + 2 * margin
    image = tokens.view(batch, height, width, channels)
    below, right = -height % TILE + margin, -width % TILE + margin
    image = F.pad(image, (0, 0, margin, right, margin, below))
    squares = image.unfold(1, side, TILE).unfold(2, side, TILE)
    return squares.permute(0, 1, 2, 4, 5, 3).reshape(-1, side * side, channels)


def _windows(scores: Tensor, window: int) -> Tensor:
    """Scores [tiles, TILE * TILE, halo * halo] -> [tiles, TILE, TILE, window, window], a view.

    Only what each query sees is in it. The window of the next query of a tile begins one key
    further, that of the next row of queries one row of keys.
    """
    halo = TILE + window - 1
    tile, query, _ = scores.stride()
    return scores.as_strided(
        (len(scores), TILE, TILE, window, window),
        (tile, TILE * query + halo, query + 1, halo, 1),
    )


@functools.lru_cache(maxsize=4)
@torch.inference_mode(False)
def _unseen(grid: tuple[int, int], window: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What is added to the scores [tiles, TILE * TILE, halo * halo] of a picture.

    0 for a key within a query's window and the grid, else the least number: no weight. A query of
    the padding around the grid may see no key at all: it gets even weights.
    """
    halo = TILE + window - 1
    tiles = math.ceil(grid[0] / TILE) * math.ceil(grid[1] / TILE)
    seen = torch.zeros(tiles, TILE * TILE, halo * halo, device=device)
    _windows(seen, window).fill_(1)
    inside = _tiles(torch.ones(1, grid[0] * grid[1], 1, device=device), grid, window // 2)
    seen = seen * inside.transpose(1, 2) > 0
    least = torch.finfo(dtype).min / 2
    return torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill(~seen, least)
