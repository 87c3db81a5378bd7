"""Whose pixels they are: identity shares into embeddings, and shares read out again."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracker.vmos.maps import enlarge, to_tokens
from tracker.vmos.memory import Grid

IDENTITY_STRIDE = 16
"""Stride of all identity embeddings; those of finer scales are enlarged (nearest)."""

FLOOR = 1e-2
"""What is added to a share before a logarithm of it is taken: the least that counts."""


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


class IdentityReadout(nn.Module):
    """Adds to the logits what attention says of the identities themselves.

    Not in the paper: with little training, telling ten identities apart by their embeddings alone
    is learned last. Every identity is treated alike.
    """

    def __init__(self, sources: int) -> None:
        """sources: how many attentions there are to weigh."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(sources))

    def forward(self, logits: Tensor, attended: Tensor) -> Tensor:
        """logits [B, I, H, W]; attended shares [B, sources, I, h, w]."""
        evidence = evidence_of(attended)
        evidence = torch.einsum("s,bsihw->bihw", self.weight.float(), evidence)
        return logits + enlarge(evidence, logits.shape[2:])


def evidence_of(shares: Tensor) -> Tensor:
    """The logarithm of shares, as float32, with FLOOR added."""
    return torch.log(shares.float().clamp(min=0) + FLOOR)


def mean_shares(shares: Tensor, grid: Grid, stride: int) -> Tensor:
    """Shares [B, I, H, W] -> mean share around every place of the grid, [B, N, I]."""
    size = stride + 1
    pooled = F.avg_pool2d(shares, size, stride, size // 2, count_include_pad=False)
    return to_tokens(F.interpolate(pooled, grid, mode="nearest"))
