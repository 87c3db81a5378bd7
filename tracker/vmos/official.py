"""The public VMOS checkpoint as entries of our network, and the same with repeatable weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tracker.checkpoints import CheckpointError, fill
from tracker.config import PRESETS
from tracker.vmos.deterministic import deterministic_array
from tracker.vmos.model import VmosModel
from tracker.vmos.official_names import official_to_ours, ours_to_official

WRAPPERS = ("state_dict", "model")
"""Keys under which the public training code puts the entries."""

PREFIX = "module."
"""Left on every name by data-parallel training."""

POINTWISE_CONVOLUTION = ".relative_bias.weight"
"""A 1x1 convolution there, [out, in, 1, 1]; a matrix [out, in] here."""


def from_official(loaded: Mapping[str, object], origin: str) -> dict[str, Tensor]:
    """Our entries from a public checkpoint's content.

    Entries that never reach the output are dropped by the rules. CheckpointError, with `origin`
    (the file) and the entry's name, for an entry that no rule knows or that is no tensor.
    """
    for wrapper in WRAPPERS:
        inner = loaded.get(wrapper)
        if isinstance(inner, Mapping):
            loaded = inner
            break
    state: dict[str, Tensor] = {}
    for stored, value in loaded.items():
        official = stored.removeprefix(PREFIX)
        try:
            ours = official_to_ours(official)
        except KeyError as error:
            raise CheckpointError(f"{origin}: {error.args[0]}") from error
        if not isinstance(value, Tensor):
            raise CheckpointError(f"{origin}: {stored} is a {type(value).__name__}, not a tensor")
        if ours is None:
            continue
        if ours.endswith(POINTWISE_CONVOLUTION) and value.shape[2:] == (1, 1):
            value = value.flatten(1)
        if ours in state:
            raise CheckpointError(f"{origin}: {stored} is there twice")
        state[ours] = value.to(torch.float32)
    return state


def deterministic_model() -> VmosModel:
    """HQTrack's network with weights that follow from the official names and shapes alone."""
    model = VmosModel(PRESETS["hqtrack"].vmos)
    official = {
        name: torch.from_numpy(deterministic_array(name, shape))
        for name, shape in official_shapes(model).items()
    }
    fill(model, from_official(official, "deterministic weights"), "deterministic weights")
    return model


def official_shapes(model: VmosModel) -> dict[str, tuple[int, ...]]:
    """Official names and shapes of the entries that the network needs."""
    shapes = {}
    for name, value in model.state_dict().items():
        pointwise = name.endswith(POINTWISE_CONVOLUTION)
        shapes[ours_to_official(name)] = (*value.shape, *((1, 1) if pointwise else ()))
    return shapes
