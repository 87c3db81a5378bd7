"""One gated propagation layer: attention to what is remembered, then to the frame itself.

Two branches run side by side: what the frame looks like (visual) and whose pixels they are
(identity). Source: DeAOT (Yang and Yang, NeurIPS 2022). Tokens are [B, H*W, C], row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracker.vmos.attention import global_attention, local_attention
from tracker.vmos.maps import to_image, to_tokens
from tracker.vmos.memory import Grid, LayerMemory
from tracker.vmos.trace import Trace

EXPANSION = 2
"""Width of values and gates over the width of the branch they belong to."""

VALUE_ALIGNMENT = 16
"""Values get zeros behind them up to a multiple of this: odd widths make products slow."""


@dataclass(frozen=True)
class LayerOutput:
    """Both branches [B, N, C], the trace, and what the shares came out as.

    readout [B, N, 2, I]: identity shares as long- and short-term attention bring them; I is 0 in
    layers without readout.
    """

    visual: Tensor
    identity: Tensor
    trace: Trace
    readout: Tensor


Recall = Callable[[int, Trace], tuple[LayerMemory, LayerMemory]]
"""Long- and short-term memory for layer `index`, which has just made this trace."""


class GatedOutput(nn.Module):
    """Gate, 5x5 depthwise convolution, projection: the tail of every gated attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = channels * EXPANSION
        self.depthwise = nn.Conv2d(wide, wide, 5, padding=2, groups=wide, bias=False)
        self.project = nn.Linear(wide, channels)

    def forward(self, attended: Tensor, gate: Tensor, grid: Grid) -> Tensor:
        gated = to_image(attended * gate, grid)
        return self.project(to_tokens(self.depthwise(gated)))


class SelfPropagation(nn.Module):
    """Gated attention of a frame to itself, both branches together."""

    def __init__(self, channels: int, key_channels: int) -> None:
        super().__init__()
        wide = channels * EXPANSION
        self.key = nn.Linear(2 * channels, key_channels)
        self.visual_value = nn.Linear(channels, wide)
        self.identity_value = nn.Linear(channels, wide)
        self.visual_gate = nn.Linear(channels, wide)
        self.identity_gate = nn.Linear(channels, wide)
        self.output = GatedOutput(2 * channels)

    def forward(self, visual: Tensor, identity: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        key = self.key(torch.cat([visual, identity], dim=-1))
        value = F.silu(
            torch.cat([self.visual_value(visual), self.identity_value(identity)], dim=-1)
        )
        gate = F.silu(torch.cat([self.visual_gate(visual), self.identity_gate(identity)], dim=-1))
        attended = global_attention(key, key, value)
        out_visual, out_identity = self.output(attended, gate, grid).chunk(2, dim=-1)
        return out_visual, out_identity


class PropagationLayer(nn.Module):
    """One gated propagation module: long-term plus short-term attention, then self-attention.

    The first layer of the network has no identity branch coming in (`first`). `readout`: how many
    identity shares come behind the identity embeddings, to be attended to as they are.
    """

    def __init__(self, channels: int, window: int, first: bool, readout: int = 0) -> None:
        super().__init__()
        key_channels, wide = channels // 2, channels * EXPANSION
        self.window = window
        self.readout = readout
        self.visual_norm = nn.LayerNorm(channels)
        self.key_value = nn.Linear(channels, key_channels + wide)
        self.visual_gate = nn.Linear(channels, wide)
        self.identity_norm = None if first else nn.LayerNorm(channels)
        self.identity_gate = None if first else nn.Linear(channels, wide)
        self.identity_value = nn.Linear(channels if first else 2 * channels, wide)
        self.long_term = GatedOutput(2 * channels)
        self.short_term = GatedOutput(2 * channels)
        self.relative_bias = nn.Linear(key_channels, window * window)
        self.self_visual_norm = nn.LayerNorm(channels)
        self.self_identity_norm = nn.LayerNorm(channels)
        self.self_propagation = SelfPropagation(channels, key_channels)

    def forward(
        self, visual: Tensor, identity: Tensor | None, grid: Grid, index: int, recall: Recall
    ) -> LayerOutput:
        """visual, identity [B, N, C] on `grid`; memories come from `recall`."""
        normed = self.visual_norm(visual)
        key_channels = self.key_value.out_features - self.visual_gate.out_features
        key, value = self.key_value(normed).tensor_split([key_channels], dim=-1)
        value = F.silu(value)
        gate = F.silu(self.visual_gate(normed))
        if identity is None:
            normed_identity = None
            gate = torch.cat([gate, torch.ones_like(gate)], dim=-1)
            identity = torch.zeros_like(visual)
        else:
            normed_identity = self.identity_norm(identity)
            gate = torch.cat([gate, F.silu(self.identity_gate(normed_identity))], dim=-1)

        trace = Trace(key, value, normed_identity, grid)
        long_term, short_term = recall(index, trace)
        far = global_attention(key, long_term.key, long_term.value)
        bias = self.relative_bias(key)
        near = local_attention(
            key, short_term.key, short_term.value, bias, grid, window=self.window
        )
        wide = gate.shape[-1]
        shares = slice(wide, wide + self.readout)
        readout = torch.stack([far[..., shares], near[..., shares]], dim=2)
        both = self.long_term(far[..., :wide], gate, grid)
        both = both + self.short_term(near[..., :wide], gate, grid)
        more_visual, more_identity = both.chunk(2, dim=-1)
        visual, identity = visual + more_visual, identity + more_identity

        more_visual, more_identity = self.self_propagation(
            self.self_visual_norm(visual), self.self_identity_norm(identity), grid
        )
        return LayerOutput(visual + more_visual, identity + more_identity, trace, readout)

    def remember(self, trace: Trace, embedding: Tensor) -> LayerMemory:
        """The memory of a frame whose identity embedding [B, N, C + readout] is now known."""
        embedding, shares = embedding.tensor_split([embedding.shape[-1] - self.readout], dim=-1)
        if trace.identity is not None:
            embedding = torch.cat([trace.identity, embedding], dim=-1)
        identity_value = F.silu(self.identity_value(embedding))
        shares = F.pad(shares, (0, -self.readout % VALUE_ALIGNMENT)).to(identity_value.dtype)
        value = torch.cat([trace.value, identity_value, shares], dim=-1)
        return LayerMemory(trace.key, value, trace.grid, trace.identity)

    def relabel(self, memory: LayerMemory, embedding: Tensor) -> LayerMemory:
        """The memory of one frame with another identity embedding [B, N, C + readout]."""
        visual = memory.value[..., : self.visual_gate.out_features]
        return self.remember(Trace(memory.key, visual, memory.identity, memory.grid), embedding)
