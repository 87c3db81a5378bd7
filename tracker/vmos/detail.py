"""Which object small things belong to: matched again on a finer grid, decoded alike for all.

Not in the paper. Identities live at 1/16, where a thin or small object shares its patches with
what lies around it. `DetailMatching` finds the pixels of the frame before within a window at 1/8;
`DetailDecoder` corrects the logits of every object by one small network, the same for all.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracker.vmos.attention import local_attention
from tracker.vmos.memory import Grid, LayerMemory
from tracker.vmos.trace import Trace

LOGIT_SCALE = 4.0
"""Differences of logits above this many units count as certain."""


class DetailMatching(nn.Module):
    """Window attention to the short-term frame, whose identity shares it brings over."""

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm = nn.LayerNorm(channels)
        self.key = nn.Linear(channels, channels // 2)
        self.relative_bias = nn.Linear(channels // 2, window * window)

    def trace(self, visual: Tensor, grid: Grid) -> Trace:
        """visual [B, N, C] on `grid`: its keys, to be compared and remembered."""
        key = self.key(self.norm(visual))
        return Trace(key, key[..., :0], None, grid)

    def forward(self, trace: Trace, short_term: LayerMemory) -> Tensor:
        """Identity shares [B, N, I] of the short-term frame, where they are now."""
        key, value = short_term.key, short_term.value
        bias = self.relative_bias(trace.key)
        return local_attention(trace.key, key, value, bias, trace.grid, window=self.window)

    def remember(self, trace: Trace, shares: Tensor) -> LayerMemory:
        """The memory of a frame whose identity shares [B, N, I] are now known."""
        return LayerMemory(trace.key, shares.to(trace.key.dtype), trace.grid)

    def relabel(self, memory: LayerMemory, shares: Tensor) -> LayerMemory:
        """The memory of the same frame with other identity shares."""
        return LayerMemory(memory.key, shares.to(memory.key.dtype), memory.grid)


class DetailDecoder(nn.Module):
    """A correction of every object's logit, from what is known of it and of its surroundings."""

    def __init__(self, inputs: int, sources: int, channels: int) -> None:
        """inputs: channels of the decoder's map; sources: how many maps of shares there are."""
        super().__init__()
        self.surroundings = nn.Conv2d(inputs, channels, 1)
        self.object = nn.Conv2d(1 + 2 * sources, channels, 3, padding=1)
        self.joint = nn.Conv2d(channels, channels, 3, padding=1)
        self.correction = nn.Conv2d(channels, 1, 1)

    def forward(self, logits: Tensor, hidden: Tensor, shares: Tensor) -> Tensor:
        """logits [B, 1 + n, H, W], hidden [B, C, H, W], shares [B, S, 1 + n, H, W] -> logits.

        Only the objects' logits change. They are seen relative to the background's, so that what
        is decided of one object does not depend on how many there are.
        """
        batch, identities = logits.shape[:2]
        certainty = torch.tanh((logits[:, 1:] - logits[:, :1]) / LOGIT_SCALE)
        background = shares[:, :, :1].expand(-1, -1, identities - 1, -1, -1)
        of_object = torch.cat([certainty[:, None], shares[:, :, 1:], background], dim=1)
        own = self.object(of_object.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, -1))
        together = F.relu(own + self.surroundings(hidden)[:, None]).flatten(0, 1)
        correction = self.correction(F.relu(self.joint(together)))
        corrected = logits[:, 1:] + correction.view_as(certainty)
        return torch.cat([logits[:, :1], corrected], dim=1)
