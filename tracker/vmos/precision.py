"""In which arithmetic the network runs."""

from __future__ import annotations

import torch
from torch import nn

from tracker.config import ConfigError

PRECISIONS = ("auto", "float32", "bfloat16")


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether the network's products run in bfloat16 on this device.

    `auto`: on GPUs, and on CPUs with instructions for it (AMX, AVX-512 BF16). Raises ConfigError
    for an unknown precision.
    """
    if precision not in PRECISIONS:
        raise ConfigError(
            f"compute__precision is {precision!r}; it is one of {', '.join(PRECISIONS)}"
        )
    if precision == "auto":
        return device.type == "cuda" or (device.type == "cpu" and _cpu_multiplies_bfloat16())
    return precision == "bfloat16"


def hold_products_in_bfloat16(model: nn.Module) -> None:
    """Keep the weights of convolutions and linear layers as they are multiplied.

    What autocast would convert them to in every frame; norms stay in float32.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(torch.bfloat16)


def _cpu_multiplies_bfloat16() -> bool:
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    probes = [getattr(torch.cpu, name, None) for name in names]
    return any(probe() for probe in probes if probe)
