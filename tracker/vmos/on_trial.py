"""Fused kernels are used where they have passed a trial, and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

Kernel = TypeVar("Kernel", bound=Callable[..., Tensor])


def on_trial(
    name: str,
    device: torch.device,
    load: Callable[[], Kernel],
    error: Callable[[Kernel], float],
    tolerance: float,
) -> Kernel | None:
    """The kernel that `load` imports, None where it cannot run or is wrong; then a line is logged.

    error: runs it on a small case and says how far it is from the plain operators. A kernel may
    fail in any way: Triton compiles at run time and needs a C compiler.
    """
    try:
        kernel = load()
        found = error(kernel)
    except Exception as failure:  # whatever the compiler raises, the plain operators do the work
        logger.warning(
            "the fused %s is off on %s, plain PyTorch is used: %s", name, device, failure
        )
        return None
    if not found < tolerance:
        logger.warning("the fused %s is off on %s: it differs by %g", name, device, found)
        return None
    return kernel


def needs_gradient(*tensors: Tensor) -> bool:
    """Whether a backward pass may come, which the fused kernels do not have."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
