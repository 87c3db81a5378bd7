"""Weights for tests: a state dict filled by a rule from the name and shape of each entry."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


def deterministic_array(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 values of one entry: normal, seeded by the name, scaled by the kind of entry."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    normal = generator.standard_normal(shape)
    if name.endswith("num_batches_tracked"):
        values = np.zeros(shape)
    elif name.endswith("running_mean"):
        values = 0.05 * normal
    elif name.endswith("running_var"):
        values = 1 + 0.1 * np.abs(normal)
    elif len(shape) >= 2:
        values = normal / math.sqrt(math.prod(shape[1:]))
    elif name.endswith("bias"):
        values = 0.05 * normal
    else:
        values = 1 + 0.1 * normal
    return np.asarray(values, dtype=np.float32)


def deterministic_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with the keys, shapes and dtypes of `state` and values by the rule."""
    return {
        name: torch.from_numpy(deterministic_array(name, tuple(entry.shape))).to(entry.dtype)
        for name, entry in state.items()
    }
