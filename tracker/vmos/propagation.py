"""Gated propagation through one or several scales (multi-scale DeAOT).

Two branches run side by side through every layer: what the frame looks like (visual) and whose
pixels they are (identity). Source: DeAOT (Yang and Yang, NeurIPS 2022) and the multi-scale
variant of HQTrack (arXiv 2307.13974). Tokens are [B, H*W, C], row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracker.config import ScaleConfig
from tracker.vmos.attention import global_attention, local_attention
from tracker.vmos.detail import DetailMatching
from tracker.vmos.memory import FrameMemory, Grid, LayerMemory
from tracker.vmos.trace import Trace

EXPANSION = 2
"""Width of values and gates over the width of the branch they belong to."""

VALUE_ALIGNMENT = 16
"""Values get zeros behind them up to a multiple of this: odd widths make products slow."""

NORM_GROUPS = 8
"""Groups of the GroupNorms behind convolutions."""


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


@dataclass(frozen=True)
class Propagated:
    """A frame seen through memory.

    visual, identity [B, C, H, W] at the finest scale; traces of all layers; readout
    [B, 2, I, h, w] of the last layer on its grid, I = 0 without readout; detail [B, 1, I, h, w]
    of the matching on the finer grid, None without it.
    """

    visual: Tensor
    identity: Tensor
    traces: tuple[Trace, ...]
    readout: Tensor
    detail: Tensor | None


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


class ScaleFusion(nn.Module):
    """From a coarse scale to the next finer one, in both branches, with the encoder's features."""

    def __init__(self, coarse_channels: int, encoder_channels: int, channels: int) -> None:
        super().__init__()
        self.visual_in = ConvGroupNorm(coarse_channels, channels, 1)
        self.identity_in = ConvGroupNorm(coarse_channels, channels, 1)
        self.visual_out = nn.Sequential(ResidualBlock(channels), ResidualBlock(channels))
        self.identity_out = nn.Sequential(ResidualBlock(channels), ResidualBlock(channels))
        self.encoder_in = nn.Conv2d(encoder_channels, channels, 1)

    def forward(
        self, visual: Tensor, identity: Tensor, grid: Grid, encoded: Tensor
    ) -> tuple[Tensor, Tensor]:
        """visual, identity [B, N, C] on `grid`; encoded [B, E, H, W] gives the finer grid."""
        finer: Grid = (encoded.shape[2], encoded.shape[3])
        shortcut = self.encoder_in(encoded)

        def fuse(tokens: Tensor, squeeze: nn.Module, refine: nn.Module) -> Tensor:
            image = F.relu(squeeze(to_image(tokens, grid)))
            image = F.interpolate(image, finer, mode="bilinear", align_corners=True)
            return to_tokens(F.relu(refine(shortcut + image)))

        return (
            fuse(visual, self.visual_in, self.visual_out),
            fuse(identity, self.identity_in, self.identity_out),
        )


class Propagation(nn.Module):
    """All scales, coarse to fine; layers are numbered through from 0 for memory and recall."""

    def __init__(
        self,
        scales: Sequence[ScaleConfig],
        encoder_channels: Sequence[int],
        window: int,
        readout: int,
        detail_window: int,
    ) -> None:
        """encoder_channels: channels of the encoder's maps at the scales, coarse to fine.

        readout: identity shares that the last layer carries, or 0. detail_window: side of the
        window of the matching at the second scale, or 0 for none.
        """
        super().__init__()
        self.layers = nn.ModuleList()
        self.fusions = nn.ModuleList()
        self.layers_per_scale = tuple(scale.layers for scale in scales)
        coarse, count = 0, sum(self.layers_per_scale)
        for scale, encoded in zip(scales, encoder_channels, strict=True):
            if coarse:
                self.fusions.append(ScaleFusion(coarse, encoded, scale.channels))
            for _ in range(scale.layers):
                first, last = len(self.layers) == 0, len(self.layers) == count - 1
                shares = readout if last else 0
                self.layers.append(PropagationLayer(scale.channels, window, first, shares))
            coarse = scale.channels * max(1, scale.layers)
        width = scales[1].channels if detail_window else 0
        self.detail = DetailMatching(width, detail_window) if detail_window else None

    @property
    def remembering(self) -> list[PropagationLayer | DetailMatching]:
        """The modules with a memory of every frame, in the memory's order."""
        return [*self.layers, *([self.detail] if self.detail is not None else [])]

    def forward(self, maps: Sequence[Tensor], recall: Recall) -> Propagated:
        """maps: encoder features [B, C, H, W] per scale, coarse to fine, the first projected.

        A finer scale gets the outputs of all layers of the coarser one, side by side.
        """
        outputs: list[LayerOutput] = []
        fine: Trace | None = None
        visual, identity = to_tokens(maps[0]), None
        grid: Grid = (maps[0].shape[2], maps[0].shape[3])
        for number, (encoded, count) in enumerate(zip(maps, self.layers_per_scale, strict=True)):
            if number:
                visual, identity = self.fusions[number - 1](visual, identity, grid, encoded)
                grid = (encoded.shape[2], encoded.shape[3])
            if number == 1 and self.detail is not None:
                fine = self.detail.trace(visual, grid)
            for _ in range(count):
                index = len(outputs)
                outputs.append(self.layers[index](visual, identity, grid, index, recall))
                visual, identity = outputs[-1].visual, outputs[-1].identity
            if count > 1:
                visual = torch.cat([o.visual for o in outputs[-count:]], dim=-1)
                identity = torch.cat([o.identity for o in outputs[-count:]], dim=-1)
        last, traces, detail = outputs[-1], [output.trace for output in outputs], None
        if fine is not None:
            _, short_term = recall(len(traces), fine)
            detail = to_image(self.detail(fine, short_term), fine.grid)[:, None]
            traces.append(fine)
        return Propagated(
            to_image(visual, grid),
            to_image(identity, grid),
            tuple(traces),
            to_image(last.readout.flatten(2), last.trace.grid).unflatten(1, (2, -1)),
            detail,
        )

    def remember(self, traces: Sequence[Trace], embeddings: Sequence[Tensor]) -> FrameMemory:
        """The frame's memory from its traces and one identity embedding [B, N, C] per layer."""
        together = zip(self.remembering, traces, embeddings, strict=True)
        return tuple(layer.remember(trace, embedding) for layer, trace, embedding in together)

    def relabel(self, memory: FrameMemory, embeddings: Sequence[Tensor]) -> FrameMemory:
        """The memory of the same frame with other identity embeddings, one per layer."""
        together = zip(self.remembering, memory, embeddings, strict=True)
        return tuple(layer.relabel(of_layer, embedding) for layer, of_layer, embedding in together)


class ConvGroupNorm(nn.Module):
    """Convolution of odd size that keeps the map's size, then GroupNorm."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)
        self.norm = nn.GroupNorm(NORM_GROUPS, outputs)

    def forward(self, image: Tensor) -> Tensor:
        return self.norm(self.conv(image))


class ResidualBlock(nn.Module):
    """Twice relu, 3x3 convolution, GroupNorm, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvGroupNorm(channels, channels, 3)
        self.second = ConvGroupNorm(channels, channels, 3)

    def forward(self, image: Tensor) -> Tensor:
        return image + self.second(F.relu(self.first(F.relu(image))))


def to_image(tokens: Tensor, grid: Grid) -> Tensor:
    """[B, H*W, C] -> [B, C, H, W]."""
    return tokens.transpose(1, 2).unflatten(2, grid)


def to_tokens(image: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, H*W, C]."""
    return image.flatten(2).transpose(1, 2)
