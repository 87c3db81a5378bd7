"""Maps [B, C, H, W] and tokens [B, H*W, C], and the convolutions that several parts use."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from tracker.vmos.memory import Grid

NORM_GROUPS = 8
"""Groups of the GroupNorms behind convolutions."""


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


def enlarge(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps [..., C, h, w] -> [..., C, H, W], bilinear with aligned corners."""
    flat = maps.reshape(-1, *maps.shape[-3:])
    flat = F.interpolate(flat, tuple(size), mode="bilinear", align_corners=True)
    return flat.view(*maps.shape[:-2], *flat.shape[-2:])
