"""In which arithmetic the network runs."""

from __future__ import annotations

import torch

from tracker.config import ConfigError

PRECISIONS = ("auto", "float32", "bfloat16")


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether the network's products run in bfloat16 on this device.

    `auto`: on GPUs, and on CPUs with matrix units for it (AMX), where it is several times as fast.
    Raises ConfigError for an unknown precision.
    """
    if precision not in PRECISIONS:
        raise ConfigError(
            f"compute__precision is {precision!r}; it is one of {', '.join(PRECISIONS)}"
        )
    if precision == "auto":
        return device.type == "cuda" or (device.type == "cpu" and _has_matrix_units())
    return precision == "bfloat16"


def _has_matrix_units() -> bool:
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(probe and probe())
