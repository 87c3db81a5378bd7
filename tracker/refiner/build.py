"""Building HQ-SAM from its official checkpoint files, strictly.

The package's own builders load a pickle without limits, accept any mismatch and print to stdout.
Here they only make the empty network; the weights are loaded by us.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tracker.checkpoints import CheckpointError
from tracker.config import ConfigError
from tracker.refiner.refine import MaskRefiner

CHECKPOINTS = {
    "vit_h": "sam_hq_vit_h.pth",
    "vit_l": "sam_hq_vit_l.pth",
    "vit_b": "sam_hq_vit_b.pth",
    "vit_tiny": "sam_hq_vit_tiny.pth",
}
"""Model size -> file name, as published by the authors of HQ-SAM (Hugging Face, lkeab/hq-sam)."""

_REMEDY = "fetch it again with `make weights`"
_NAMES_SHOWN = 5


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
    state = _read_state(path)
    network = empty_network(model)
    load_strictly(network, state, path)
    return MaskRefiner(network, device, encoder_dtype)


def empty_network(model: str) -> nn.Module:
    """HQ-SAM `model` of the package, without weights of use: `load_strictly` comes next.

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


def load_strictly(network: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    """Put `state` into `network`, every entry accounted for, and set evaluation mode.

    Raises CheckpointError naming `path` and the missing, unexpected and mis-shaped keys.
    """
    own = network.state_dict()
    shapes = [
        f"{key} is {list(state[key].shape)} instead of {list(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    faults = {
        "missing": [key for key in own if key not in state],
        "unexpected": [key for key in state if key not in own],
        "of another shape": shapes,
    }
    if any(faults.values()):
        found = "; ".join(
            f"{len(keys)} {kind}: {', '.join(keys[:_NAMES_SHOWN])}"
            + (", ..." if len(keys) > _NAMES_SHOWN else "")
            for kind, keys in faults.items()
            if keys
        )
        raise CheckpointError(f"{path} holds the weights of another model ({found}); {_REMEDY}")
    full = {k: v.to(torch.float32) if v.is_floating_point() else v for k, v in state.items()}
    network.load_state_dict(full, strict=True, assign=True)
    # ViT-tiny copies its attention biases when evaluation mode is set: it must be set again.
    network.requires_grad_(False).eval()


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"no refiner weights at {path}; fetch them with `make weights`")
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{path} is damaged or no checkpoint ({reason}); {_REMEDY}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path} holds no table of named tensors; {_REMEDY}")
    return state
