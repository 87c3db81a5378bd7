"""From a coarse scale of the propagation to the next finer one."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from tracker.vmos.maps import ConvGroupNorm, ResidualBlock, to_image, to_tokens
from tracker.vmos.memory import Grid


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
