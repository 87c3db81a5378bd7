"""The schedule of the public code, as functions put in place of ours, for the benchmark only.

float32; the attention of a window scattered into a dense matrix of all positions by all positions
of the padded frame; long-term attention over everything at once; deformable convolution by
`grid_sample` (its fallback without a compiled extension); the bank joined at every update; one
HQ-SAM image encoding per object. Written anew from the description of what that code does.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tracker.refiner import Refinement
from tracker.vmos import detail, gated, groups, internimage
from tracker.vmos.memory import FrameMemory, side_by_side


def dense_global_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """As `tracker.vmos.attention.global_attention`, with all scores at once."""
    scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(1, 2)
    return torch.softmax(scores, dim=-1) @ value


def dense_local_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, grid: tuple[int, int], window: int
) -> Tensor:
    """As `tracker.vmos.attention.local_attention`, through a dense matrix."""
    height, width = grid
    margin = window // 2
    batch, positions, channels = query.shape
    keys = F.unfold(_image(key, grid), window, padding=margin)
    keys = keys.view(batch, channels, window * window, positions)
    scaled = (query / math.sqrt(channels)).transpose(1, 2).unsqueeze(2)
    scores = (scaled * keys).sum(dim=1).transpose(1, 2) + bias
    inside = F.unfold(query.new_ones(1, 1, height, width), window, padding=margin)
    weights = torch.softmax(scores.masked_fill(inside.transpose(1, 2) == 0, -1e8), dim=-1)

    padded_width = width + 2 * margin
    rows = torch.arange(height, device=query.device).repeat_interleave(width)
    columns = torch.arange(width, device=query.device).repeat(height)
    steps = torch.arange(window, device=query.device)
    first = rows * padded_width + columns
    offsets = (steps[:, None] * padded_width + steps).flatten()
    index = (first[:, None] + offsets).expand(batch, -1, -1)
    dense = query.new_zeros(batch, positions, (height + 2 * margin) * padded_width)
    dense.scatter_(2, index, weights)
    values = F.pad(_image(value, grid), (margin, margin, margin, margin))
    return dense @ values.flatten(2).transpose(1, 2)


def sampled_deform_conv3(
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
    """As `tracker.vmos.deform_conv.deform_conv3`, by `grid_sample`: every sample is stored."""
    batch, out_height, out_width, _ = offset.shape
    padded = F.pad(input, (0, 0, pad, pad, pad, pad))
    height, width = padded.shape[1:3]
    centre = dilation * (kernel - 1) // 2
    steps = (torch.arange(kernel, device=input.device) * dilation - centre) * offset_scale
    points = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1).view(-1, 2)
    columns = torch.arange(out_width, device=input.device) * stride + centre
    rows = torch.arange(out_height, device=input.device) * stride + centre
    places = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    moves = offset.view(batch, out_height * out_width, group, kernel**2, 2) * offset_scale
    places = places.view(1, -1, 1, 1, 2) + points + moves
    size = torch.tensor([width, height], dtype=offset.dtype, device=input.device)
    places = (2 * places + 1) / size - 1

    maps = padded.view(batch, height, width, group, group_channels)
    maps = maps.permute(0, 3, 4, 1, 2).flatten(0, 1)
    samples = F.grid_sample(maps, places.transpose(1, 2).flatten(0, 1), align_corners=False)
    weights = mask.view(batch, -1, group, kernel**2).transpose(1, 2).flatten(0, 1)
    sums = (samples * weights[:, None]).sum(dim=-1)
    return sums.view(batch, group * group_channels, -1).transpose(1, 2).unflatten(
        1, (out_height, out_width)
    )  # fmt: skip


class JoinedMemory:
    """As `tracker.vmos.memory.LongTermMemory`, joined at once whenever a frame is added.

    The public code has no other rules than age and taking every frame: further settings are unused.
    """

    def __init__(self, capacity: int, interval: int, *_: str) -> None:
        self._capacity, self._interval, self._last = capacity, interval, 0
        self._references: list[tuple[int, FrameMemory]] = []
        self._others: list[tuple[int, FrameMemory]] = []
        self.bank: FrameMemory = ()

    @property
    def frames(self) -> tuple[int, ...]:
        return tuple(number for number, _ in (*self._others, *self._references))

    def add_reference(self, number: int, memory: FrameMemory) -> None:
        self._references.insert(0, (number, memory))
        self._join(number)

    def offer(self, number: int, memory: FrameMemory, complete: bool = True) -> None:
        if number - self._last >= self._interval:
            self._others.insert(0, (number, memory))
            del self._others[self._capacity - 1 :]
            self._join(number)

    def _join(self, number: int) -> None:
        self._last = number
        self.bank = side_by_side([memory for _, memory in (*self._others, *self._references)])


class PerObjectRefiner:
    """HQ-SAM by the package's own predictor, which encodes the image again for every object.

    network: a `Sam` of segment_anything_hq in evaluation mode, on its device, in float32.
    """

    encodes_ahead = False

    def __init__(self, network: Any) -> None:
        from segment_anything_hq import SamPredictor

        self._predictor = SamPredictor(network)

    def encode(self, image: np.ndarray) -> None:
        """image [H, W, 3] uint8 RGB."""
        self._predictor.set_image(image)

    def refine(self, image: np.ndarray, boxes: np.ndarray) -> Refinement:
        """Masks for boxes [K, 4] (XYXY, inclusive), K >= 1."""
        masks, scores = [], []
        for box in boxes:
            self.encode(image)
            mask, score, _ = self._predictor.predict(box=np.asarray(box), multimask_output=True)
            masks.append(mask[0])
            scores.append(score[0])
        return Refinement(np.stack(masks), np.array(scores, np.float32))


@contextlib.contextmanager
def swapped(device: torch.device | str) -> Iterator[Counter[str]]:
    """The segmenter on this schedule. Yields how often each function was called.

    On CUDA the deformable convolution stays ours: it stands for the compiled extension that the
    public code uses there.
    """
    calls: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            return function(*args, **kwargs)

        return call

    swaps = [
        (gated, "global_attention", dense_global_attention),
        (gated, "local_attention", dense_local_attention),
        (detail, "local_attention", dense_local_attention),
        (groups, "LongTermMemory", JoinedMemory),
    ]
    if torch.device(device).type == "cpu":
        swaps.append((internimage, "deform_conv3", sampled_deform_conv3))
    with contextlib.ExitStack() as stack:
        for module, name, function in swaps:
            stack.enter_context(mock.patch.object(module, name, counted(name, function)))
        yield calls


def _image(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    return tokens.transpose(1, 2).unflatten(2, grid)
