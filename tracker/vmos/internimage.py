"""InternImage-T, the image encoder of HQTrack (arXiv 2211.05778; the tracker's variant).

Against the published classifier, the fourth stage stays at stride 16 with the channels of the
third, so that it takes the third's normed output as it is. There is no stochastic depth.

Inside, maps are channels last, [B, H, W, C]: layer norms, projections and the deformable
convolution work on the last axis, and the convolutions see the same memory as channels-last images.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracker.vmos.deform_conv import deform_conv3

CHANNELS = (64, 128, 256, 256)
DEPTHS = (4, 4, 18, 4)
GROUPS = (4, 8, 16, 32)
MLP_RATIO = 4
NORM_EPS = 1e-6
KERNEL = 3


class InternImage(nn.Module):
    """Encoder: image [B, 3, H, W] -> three maps of features, from fine to coarse.

    `channels` lists the channels of the maps returned.
    """

    channels: tuple[int, int, int] = (CHANNELS[0], CHANNELS[1], CHANNELS[3])

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem(CHANNELS[0])
        self.stages = nn.ModuleList(
            Stage(channels, depth, group)
            for channels, depth, group in zip(CHANNELS, DEPTHS, GROUPS, strict=True)
        )
        self.reductions = nn.ModuleList(
            Reduction(CHANNELS[i], CHANNELS[i + 1], bias=False) for i in range(2)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """image: [B, 3, H, W], floating point, normalised with the ImageNet mean and deviation.

        Returns maps [B, C, h, w] with C of `channels`, at strides 4, 8 and 16; h and w are H and W
        halved, rounded up, 2, 3 and 4 times. The last is the fourth stage's.
        """
        stride4 = self.stages[0](self.stem(image))
        stride8 = self.stages[1](self.reductions[0](stride4))
        stride16 = self.stages[3](self.stages[2](self.reductions[1](stride8)))
        return _channels_first(stride4), _channels_first(stride8), _channels_first(stride16)


class Stem(nn.Module):
    """Image [B, 3, H, W] -> features [B, H / 4, W / 4, channels], sides rounded up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Reduction(3, channels // 2, bias=True)
        self.second = Reduction(channels // 2, channels, bias=True)

    def forward(self, image: Tensor) -> Tensor:
        return self.second(F.gelu(self.first(_channels_last(image))))


class Reduction(nn.Module):
    """Halves a map: [B, H, W, C] -> [B, H / 2, W / 2, C_out], sides rounded up."""

    def __init__(self, channels: int, out_channels: int, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, stride=2, padding=1, bias=bias)
        self.norm = nn.LayerNorm(out_channels, NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(_convolve(self.conv, x))


class Stage(nn.Module):
    """Blocks at one scale, then a layer norm. [B, H, W, C] -> the same shape."""

    def __init__(self, channels: int, depth: int, group: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(channels, group) for _ in range(depth))
        self.norm = nn.LayerNorm(channels, NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Block(nn.Module):
    """Deformable convolution and MLP, both pre-normed, scaled per channel and residual."""

    def __init__(self, channels: int, group: int) -> None:
        super().__init__()
        self.deform_norm = nn.LayerNorm(channels, NORM_EPS)
        self.deform = DeformableConvolution(channels, group)
        self.deform_scale = nn.Parameter(torch.ones(channels))
        self.mlp_norm = nn.LayerNorm(channels, NORM_EPS)
        self.mlp = Mlp(channels)
        self.mlp_scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.addcmul(x, self.deform_scale, self.deform(self.deform_norm(x)))
        return torch.addcmul(x, self.mlp_scale, self.mlp(self.mlp_norm(x)))


class DeformableConvolution(nn.Module):
    """DCNv3 with its projections; a depthwise convolution predicts offsets and sample weights."""

    def __init__(self, channels: int, group: int) -> None:
        super().__init__()
        self.group = group
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.depthwise_norm = nn.LayerNorm(channels, NORM_EPS)
        self.offset = nn.Linear(channels, group * KERNEL**2 * 2)
        self.mask = nn.Linear(channels, group * KERNEL**2)
        self.input_projection = nn.Linear(channels, channels)
        self.output_projection = nn.Linear(channels, channels)
        # Training starts from the regular grid, with equal weights.
        for layer in (self.offset, self.mask):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        local = F.gelu(self.depthwise_norm(_convolve(self.depthwise, x)))
        mask = self.mask(local)
        # Over the points of each group; five times as fast on a CPU as over a last axis of nine.
        mask = mask.reshape(-1, KERNEL**2).t().softmax(0).t().reshape(mask.shape)
        samples = deform_conv3(
            self.input_projection(x),
            self.offset(local),
            mask,
            kernel=KERNEL,
            stride=1,
            pad=KERNEL // 2,
            dilation=1,
            group=self.group,
            group_channels=x.shape[-1] // self.group,
            offset_scale=1.0,
        )
        return self.output_projection(samples)


class Mlp(nn.Module):
    """Linear, exact GELU, linear, on the last axis."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Linear(channels, channels * MLP_RATIO)
        self.contract = nn.Linear(channels * MLP_RATIO, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.contract(F.gelu(self.expand(x)))


def _convolve(conv: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A 2-d convolution on a map that is channels last, without moving memory."""
    return _channels_last(conv(_channels_first(x)))


def _channels_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)
