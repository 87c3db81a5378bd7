"""Building HQ-SAM from its official checkpoint files, strictly.

The package's own builders load a pickle without limits, accept any mismatch and print to stdout.
Here they only make the empty network; the weights are loaded by us.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from pathlib import Path

import torch
from torch import nn

from tracker.checkpoints import fill, read_torch
from tracker.config import ConfigError
from tracker.refiner.attention import use_fused_attention
from tracker.refiner.refine import MaskRefiner

logger = logging.getLogger(__name__)

CHECKPOINTS = {
    "vit_h": "sam_hq_vit_h.pth",
    "vit_l": "sam_hq_vit_l.pth",
    "vit_b": "sam_hq_vit_b.pth",
    "vit_tiny": "sam_hq_vit_tiny.pth",
}
"""Model size -> file name, as published by the authors of HQ-SAM (Hugging Face, lkeab/hq-sam)."""


def checkpoint_path(model: str, folder: str | Path) -> Path:
    """Where the weights of HQ-SAM `model` belong. ConfigError when there is no such model."""
    if model not in CHECKPOINTS:
        raise ConfigError(f"unknown refiner {model!r}; the refiners are {', '.join(CHECKPOINTS)}")
    return Path(folder) / CHECKPOINTS[model]


def build_refiner(
    model: str,
    folder: str | Path,
    device: torch.device | str = "cpu",
    encoder_dtype: torch.dtype | None = None,
) -> MaskRefiner:
    """A refiner with the official weights of HQ-SAM `model`, from its file in `folder`.

    Raises ConfigError for an unknown model; CheckpointError, naming file and key, when the file
    is missing, damaged, or of another model.
    """
    path = checkpoint_path(model, folder)
    state = read_torch(path)
    network = empty_network(model)
    fill(network, state, path)
    if not use_fused_attention(network.image_encoder):
        logger.warning("HQ-SAM's attention is not the one known here: the package's own runs")
    return MaskRefiner(network, device, encoder_dtype)


def empty_network(model: str) -> nn.Module:
    """HQ-SAM `model` of the package, without weights of use: `fill` comes next.

    Prints nothing on stdout, and leaves the global random state as it was.
    """
    with (
        contextlib.redirect_stdout(sys.stderr),
        warnings.catch_warnings(),
        torch.random.fork_rng(devices=[]),
    ):
        warnings.simplefilter("ignore")
        from segment_anything_hq import sam_model_registry

        # The ViTs are made without memory: filling 640 M values only to overwrite them takes
        # most of a minute. The tiny one reads values while it is built, so it cannot be.
        with torch.device("cpu" if model == "vit_tiny" else "meta"):
            return sam_model_registry[model]()
