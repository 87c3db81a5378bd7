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
from tracker.vmos.efficientnet import EfficientNetLite0
from tracker.vmos.internimage import InternImage
from tracker.vmos.memory import FrameMemory, Grid, LayerMemory
from tracker.vmos.propagation import ConvGroupNorm, Propagated, Propagation, Trace, to_tokens

ENCODERS = {"internimage-t": InternImage, "efficientnet-lite0": EfficientNetLite0}

IDENTITY_STRIDE = 16
"""Stride of all identity embeddings; those of finer scales are enlarged (nearest)."""

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
        self.propagation = Propagation(scales, projected, config.window, readout)
        self.identity_embeddings = nn.ModuleList(
            IdentityEmbedding(identities, scale.channels) for scale in scales if scale.layers
        )
        self.decoder = Decoder(2 * scales[-1].channels, config.decoder_channels, identities)
        self.readout = IdentityReadout() if config.readout else None

    def encode_image(self, image: Tensor) -> ImageFeatures:
        """image [B, 3, H, W] float, normalised."""
        fine_to_coarse = self.encoder(image.contiguous(memory_format=torch.channels_last))
        coarse, *finer = reversed(fine_to_coarse)
        return ImageFeatures((self.encoder_projector(coarse), *finer))

    def embed_identity(self, shares: Tensor, features: ImageFeatures) -> tuple[Tensor, ...]:
        """One embedding [B, N, C] per propagation layer of shares [B, 1 + n, H, W] (0 to 1).

        Channel 0 is the background, the others are the first n identities; those after them have
        no share anywhere. The shares have the size of the image that was encoded. With readout,
        the last layer's embedding has the shares of every patch behind it, [B, N, C + 1 + objects].
        """
        return self._embed(shares, [(image.shape[2], image.shape[3]) for image in features.maps])

    def relabel(self, memory: FrameMemory, shares: Tensor) -> FrameMemory:
        """The memory of the same frame with other identity shares [B, 1 + n, H, W]."""
        layers = iter(memory)
        grids = [
            [next(layers).grid for _ in range(scale.layers)][-1] if scale.layers else None
            for scale in self.config.scales
        ]
        return self.propagation.relabel(memory, self._embed(shares, grids))

    def _embed(self, shares: Tensor, grids: Sequence[Grid | None]) -> tuple[Tensor, ...]:
        """`embed_identity`, given the grid of every scale that has layers."""
        embeddings: list[Tensor] = []
        banks = iter(self.identity_embeddings)
        for scale, grid in zip(self.config.scales, grids, strict=True):
            if scale.layers:
                embeddings.extend([next(banks)(shares, grid)] * scale.layers)
                finest = grid
        if self.readout is not None:
            patches = self.readout.patches(shares, finest)
            unused = self.config.objects_per_group + 1 - shares.shape[1]
            embeddings[-1] = torch.cat([embeddings[-1], F.pad(patches, (0, unused))], dim=-1)
        return tuple(embeddings)

    def introduce(self, features: ImageFeatures, embeddings: Sequence[Tensor]) -> FrameMemory:
        """The memory of a frame whose objects are given: it is propagated onto itself."""
        memories: list[LayerMemory] = []

        def recall(index: int, trace: Trace) -> tuple[LayerMemory, LayerMemory]:
            memories.append(self.propagation.layers[index].remember(trace, embeddings[index]))
            return memories[-1], memories[-1]

        self.propagation(features.maps, recall)
        return tuple(memories)

    def propagate(
        self, features: ImageFeatures, long_term: FrameMemory, short_term: FrameMemory
    ) -> Propagated:
        """A frame seen through what is remembered."""
        memories = tuple(zip(long_term, short_term, strict=True))
        return self.propagation(features.maps, lambda index, _: memories[index])

    def remember(self, traces: Sequence[Trace], embeddings: Sequence[Tensor]) -> FrameMemory:
        """The memory of a propagated frame, its identities being decided."""
        return self.propagation.remember(traces, embeddings)

    def decode(self, propagated: Propagated) -> Tensor:
        """Identity logits [B, 1 + objects, H/4, W/4], background first."""
        logits = self.decoder(torch.cat([propagated.visual, propagated.identity], dim=1))
        return logits if self.readout is None else self.readout(logits, propagated.readout)


class IdentityEmbedding(nn.Module):
    """Patches of identity shares -> embeddings: strided 17x17 convolution and LayerNorm."""

    def __init__(self, identities: int, channels: int) -> None:
        super().__init__()
        size = IDENTITY_STRIDE + 1
        self.patches = nn.Conv2d(identities, channels, size, IDENTITY_STRIDE, size // 2)
        self.norm = nn.LayerNorm(channels)

    def forward(self, shares: Tensor, grid: tuple[int, int]) -> Tensor:
        weight = self.patches.weight[:, : shares.shape[1]]
        half = self.patches.kernel_size[0] // 2
        patches = F.conv2d(shares, weight, self.patches.bias, IDENTITY_STRIDE, half)
        normed = self.norm(patches.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return to_tokens(F.interpolate(normed, grid, mode="nearest"))


class Decoder(nn.Module):
    """Both branches at the finest scale -> identity logits."""

    def __init__(self, inputs: int, channels: int, identities: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(DECODER_NORM_GROUPS, inputs)
        self.hidden = ConvGroupNorm(inputs, channels, 3)
        self.logits = nn.Conv2d(channels, identities, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.logits(F.relu(self.hidden(self.norm(image))))


class IdentityReadout(nn.Module):
    """Adds to the logits what attention says of the identities themselves.

    Not in the paper: with little training, telling ten identities apart by their embeddings alone
    is learned last. Every identity is treated alike.
    """

    floor = 1e-2
    """Least share that counts, so that a logarithm of it can be taken."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def patches(self, shares: Tensor, grid: tuple[int, int]) -> Tensor:
        """Shares [B, I, H, W] -> mean share around every place of the grid, [B, N, I]."""
        size = IDENTITY_STRIDE + 1
        pooled = F.avg_pool2d(shares, size, IDENTITY_STRIDE, size // 2, count_include_pad=False)
        return to_tokens(F.interpolate(pooled, grid, mode="nearest"))

    def forward(self, logits: Tensor, attended: Tensor) -> Tensor:
        """logits [B, I, H, W]; attended shares [B, 2, I, h, w], long- and short-term."""
        evidence = torch.log(attended.float().clamp(min=0) + self.floor)
        evidence = torch.einsum("s,bsihw->bihw", self.weight.float(), evidence)
        evidence = F.interpolate(evidence, logits.shape[2:], mode="bilinear", align_corners=True)
        return logits + evidence
