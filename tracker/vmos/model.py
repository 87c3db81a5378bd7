"""The VMOS network: encode an image, embed identities, propagate, decode. It holds no state.

Maps are [B, C, H, W]; images are normalised (`tracker.preprocess`), their sides multiples of 16
plus 1, so that corners stay aligned from scale to scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracker.config import VmosConfig
from tracker.vmos.detail import DetailDecoder
from tracker.vmos.efficientnet import EfficientNetLite0
from tracker.vmos.identity import (
    IDENTITY_STRIDE,
    IdentityEmbedding,
    IdentityReadout,
    mean_shares,
)
from tracker.vmos.internimage import InternImage
from tracker.vmos.maps import ConvGroupNorm, enlarge
from tracker.vmos.memory import FrameMemory, Grid, LayerMemory
from tracker.vmos.propagation import Propagated, Propagation
from tracker.vmos.trace import Trace

ENCODERS = {"internimage-t": InternImage, "efficientnet-lite0": EfficientNetLite0}

DECODER_NORM_GROUPS = 2
"""One group per branch in front of the decoder."""


@dataclass(frozen=True)
class ImageFeatures:
    """An encoded image, one map [B, C, H, W] per scale, coarse to fine; the first is projected."""

    maps: tuple[Tensor, ...]

    def repeated(self, count: int) -> ImageFeatures:
        """The same image `count` times in the batch (no copy), for groups of objects."""
        return ImageFeatures(tuple(m.expand(count, -1, -1, -1) for m in self.maps))


class VmosModel(nn.Module):
    """Joint segmentation of up to `objects_per_group` objects per batch row."""

    def __init__(self, config: VmosConfig) -> None:
        super().__init__()
        self.config = config
        scales = config.scales
        identities = config.objects_per_group + 1
        self.encoder = ENCODERS[config.encoder]()
        encoded = tuple(reversed(self.encoder.channels))
        self.encoder_projector = nn.Conv2d(encoded[0], scales[0].channels, 1)
        projected = (scales[0].channels, *encoded[1:])
        readout = identities if config.readout else 0
        self.propagation = Propagation(
            scales, projected, config.window, readout, config.detail_window
        )
        self.identity_embeddings = nn.ModuleList(
            IdentityEmbedding(identities, scale.channels) for scale in scales if scale.layers
        )
        self.decoder = Decoder(2 * scales[-1].channels, config.decoder_channels, identities)
        self.readout = IdentityReadout(2) if config.readout else None
        self.detail_readout = IdentityReadout(1) if config.detail_window else None
        self.detail_decoder = None
        if config.detail_channels:
            sources = 3 if config.detail_window else 2
            self.detail_decoder = DetailDecoder(
                config.decoder_channels, sources, config.detail_channels
            )

    def encode_image(self, image: Tensor) -> ImageFeatures:
        """image [B, 3, H, W] float, normalised."""
        fine_to_coarse = self.encoder(image.contiguous(memory_format=torch.channels_last))
        coarse, *finer = reversed(fine_to_coarse)
        return ImageFeatures((self.encoder_projector(coarse), *finer))

    def embed_identity(self, shares: Tensor, features: ImageFeatures) -> tuple[Tensor, ...]:
        """One embedding [B, N, C] per propagation layer of shares [B, 1 + n, H, W] (0 to 1).

        Channel 0 is the background, the others are the first n identities; those after them have
        no share anywhere. The shares have the size of the image that was encoded. With readout,
        the last layer's embedding has the shares of every patch behind it, [B, N, C + 1 + objects];
        with detail matching, the shares of the finer grid's patches come last.
        """
        return self._embed(shares, self.grids(features))

    def relabel(self, memory: FrameMemory, shares: Tensor) -> FrameMemory:
        """The memory of the same frame with other identity shares [B, 1 + n, H, W]."""
        embeddings = self._embed(shares, [of_layer.grid for of_layer in memory])
        return self.propagation.relabel(memory, embeddings)

    def grids(self, features: ImageFeatures) -> list[Grid]:
        """The grid of every memory of a frame, in the memory's order."""
        sizes = [(image.shape[2], image.shape[3]) for image in features.maps]
        together = zip(self.config.scales, sizes, strict=True)
        grids = [size for scale, size in together for _ in range(scale.layers)]
        return [*grids, sizes[1]] if self.config.detail_window else grids

    def _embed(self, shares: Tensor, grids: Sequence[Grid]) -> tuple[Tensor, ...]:
        """`embed_identity`, given the grid of every memory."""
        embeddings: list[Tensor] = []
        banks = iter(self.identity_embeddings)
        for scale in self.config.scales:
            if scale.layers:
                embeddings.extend([next(banks)(shares, grids[len(embeddings)])] * scale.layers)
        if self.readout is not None:
            patches = self._patches(shares, grids[len(embeddings) - 1], IDENTITY_STRIDE)
            embeddings[-1] = torch.cat([embeddings[-1], patches], dim=-1)
        if self.config.detail_window:
            embeddings.append(self._patches(shares, grids[-1], self.config.scales[1].stride))
        return tuple(embeddings)

    def _patches(self, shares: Tensor, grid: Grid, stride: int) -> Tensor:
        """Mean shares around the places of a grid, [B, N, 1 + objects]; 0 for unused identities."""
        unused = self.config.objects_per_group + 1 - shares.shape[1]
        return F.pad(mean_shares(shares, grid, stride), (0, unused))

    def introduce(self, features: ImageFeatures, embeddings: Sequence[Tensor]) -> FrameMemory:
        """The memory of a frame whose objects are given: it is propagated onto itself."""
        memories: list[LayerMemory] = []

        def recall(index: int, trace: Trace) -> tuple[LayerMemory, LayerMemory]:
            layer = self.propagation.remembering[index]
            memories.append(layer.remember(trace, embeddings[index]))
            return memories[-1], memories[-1]

        self.propagation(features.maps, recall)
        return tuple(memories)

    def propagate(
        self, features: ImageFeatures, long_term: FrameMemory, short_term: FrameMemory
    ) -> Propagated:
        """A frame seen through what is remembered."""
        memories = tuple(zip(long_term, short_term, strict=True))
        return self.propagation(features.maps, lambda index, _: memories[index])

    def segment(
        self,
        features: ImageFeatures,
        long_term: FrameMemory,
        short_term: FrameMemory,
        identities: int | None = None,
    ) -> tuple[Tensor, tuple[Trace, ...]]:
        """`propagate`, then `decode`: logits, and the traces that are remembered later."""
        propagated = self.propagate(features, long_term, short_term)
        return self.decode(propagated, identities), propagated.traces

    def remember(self, traces: Sequence[Trace], embeddings: Sequence[Tensor]) -> FrameMemory:
        """The memory of a propagated frame, its identities being decided."""
        return self.propagation.remember(traces, embeddings)

    def decode(self, propagated: Propagated, identities: int | None = None) -> Tensor:
        """Logits [B, n, H/4, W/4] of the first n = `identities`, background first; None: of all."""
        first = slice(identities)
        maps = torch.cat([propagated.visual, propagated.identity], dim=1)
        hidden, logits = self.decoder(maps)
        logits = logits[:, first]
        if self.readout is None:
            return logits
        shares = [propagated.readout[:, :, first]]
        logits = self.readout(logits, shares[0])
        if propagated.detail is not None:
            shares.append(propagated.detail[:, :, first])
            logits = self.detail_readout(logits, shares[1])
        if self.detail_decoder is None:
            return logits
        enlarged = torch.cat([enlarge(of_source, logits.shape[2:]) for of_source in shares], dim=1)
        return self.detail_decoder(logits, hidden, enlarged)


class Decoder(nn.Module):
    """Both branches at the finest scale -> identity logits."""

    def __init__(self, inputs: int, channels: int, identities: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(DECODER_NORM_GROUPS, inputs)
        self.hidden = ConvGroupNorm(inputs, channels, 3)
        self.logits = nn.Conv2d(channels, identities, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The map that the logits are made from, and the logits."""
        hidden = F.relu(self.hidden(self.norm(image)))
        return hidden, self.logits(hidden)
