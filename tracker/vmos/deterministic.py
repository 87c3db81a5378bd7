"""Repeatable weights without a file: a tensor's values follow from its name and shape alone.

They let two implementations of a network be compared number by number, and a machine without a
checkpoint run the whole network. A network filled this way predicts nothing useful.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np

# The identity logits: enlarged, so that the labels they give change from frame to frame, and
# centred over the inputs of each output, so that no label wins everywhere.
OUTPUT_LAYER = "conv_output2.weight"
OUTPUT_GAIN = 4.0


def deterministic_array(name: str, shape: Sequence[int]) -> np.ndarray:
    """Values of the checkpoint entry `name` (official name): float32 array of `shape`.

    Standard normals from a PCG64 generator seeded with the CRC-32 of the name, scaled by the role
    that the name and the number of dimensions tell, in float64, then rounded.
    """
    seed = zlib.crc32(name.encode("utf-8"))
    normal = np.random.Generator(np.random.PCG64(seed)).standard_normal(tuple(shape))
    return np.asarray(_scaled(name, normal), dtype=np.float32)


def _scaled(name: str, normal: np.ndarray) -> np.ndarray:
    role = name.rsplit(".", 1)[-1]
    if role == "num_batches_tracked":
        return np.zeros_like(normal)
    if role == "running_var":
        return 1.0 + 0.1 * np.abs(normal)
    if role == "running_mean":
        return 0.05 * normal
    if normal.ndim >= 2:
        return _matrix(name, normal)
    if role.endswith("bias"):
        return 0.05 * normal
    return 1.0 + 0.1 * normal


def _matrix(name: str, normal: np.ndarray) -> np.ndarray:
    """Weights that keep the variance: deviation 1 / sqrt(inputs of one output)."""
    gain = OUTPUT_GAIN if name == OUTPUT_LAYER else 1.0
    weights = normal * (gain / math.sqrt(math.prod(normal.shape[1:])))
    if name == OUTPUT_LAYER:
        weights = weights - weights.mean(axis=tuple(range(1, normal.ndim)), keepdims=True)
    return weights
