"""EfficientNet-Lite0 up to stride 16: the encoder of the light model.

Source: Tan and Le, EfficientNet (ICML 2019); the Lite variant has ReLU6 and no squeeze and
excitation. Batch normalisation is folded into the convolutions: the network has none.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from tracker.vmos.convolution import conv_relu6


@dataclass(frozen=True)
class Stage:
    """`depth` blocks of the same width; the first has the stride."""

    depth: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STEM_CHANNELS = 32
STAGES = (
    Stage(depth=1, kernel=3, stride=1, expansion=1, channels=16),
    Stage(depth=2, kernel=3, stride=2, expansion=6, channels=24),
    Stage(depth=2, kernel=5, stride=2, expansion=6, channels=40),
    Stage(depth=3, kernel=3, stride=2, expansion=6, channels=80),
    Stage(depth=3, kernel=5, stride=1, expansion=6, channels=112),
)
OUTPUT_STAGES = (1, 2, 4)
"""Stages whose outputs are returned: strides 4, 8 and 16."""


class EfficientNetLite0(nn.Module):
    """[B, 3, H, W] normalised -> maps at strides 4, 8 and 16, fine to coarse."""

    channels = tuple(STAGES[i].channels for i in OUTPUT_STAGES)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM_CHANNELS, 3, stride=2, padding=1)
        self.stages = nn.ModuleList()
        inputs = STEM_CHANNELS
        for stage in STAGES:
            blocks = nn.Sequential()
            for number in range(stage.depth):
                blocks.append(InvertedResidual(inputs, stage, 1 if number else stage.stride))
                inputs = stage.channels
            self.stages.append(blocks)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        image = conv_relu6(self.stem, image)
        outputs = []
        for number, stage in enumerate(self.stages):
            image = stage(image)
            if number in OUTPUT_STAGES:
                outputs.append(image)
        return tuple(outputs)


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, project; added to the input where the shapes agree."""

    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = inputs * stage.expansion
        self.expand = nn.Conv2d(inputs, wide, 1) if stage.expansion > 1 else None
        self.depthwise = nn.Conv2d(wide, wide, stage.kernel, stride, stage.kernel // 2, groups=wide)
        self.project = nn.Conv2d(wide, stage.channels, 1)
        self.residual = stride == 1 and inputs == stage.channels

    def forward(self, image: Tensor) -> Tensor:
        wide = image if self.expand is None else conv_relu6(self.expand, image)
        out = self.project(conv_relu6(self.depthwise, wide))
        return image + out if self.residual else out
