"""Gated propagation through one or several scales (multi-scale DeAOT).

Source: DeAOT (Yang and Yang, NeurIPS 2022) and the multi-scale variant of HQTrack
(arXiv 2307.13974).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tracker.config import ScaleConfig
from tracker.vmos.detail import DetailMatching
from tracker.vmos.fusion import ScaleFusion
from tracker.vmos.gated import LayerOutput, PropagationLayer, Recall
from tracker.vmos.maps import to_image, to_tokens
from tracker.vmos.memory import FrameMemory, Grid
from tracker.vmos.trace import Trace


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
