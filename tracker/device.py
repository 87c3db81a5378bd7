"""Work that is handed to a device without waiting for it; on a CPU all of it happens in line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """The CPU tensor on the device, or itself on the CPU; a GPU copies while the CPU goes on."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def download(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """Tensors of one device as arrays; the device is waited for once, whatever their number.

    The arrays are in memory that a GPU can write to, which is scarce: copy what is to stay.
    """
    device = tensors[0].device
    arrays = tuple(tensor.to("cpu", non_blocking=True).numpy() for tensor in tensors)
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
    return arrays


class SideStream:
    """A second queue of a CUDA device, whose work runs beside that of the current one.

    On other devices there is one queue only, and both methods do nothing.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    @contextlib.contextmanager
    def beside(self) -> Iterator[None]:
        """Work of this block waits for what was handed out before it, and for nothing after it."""
        if self._stream is None:
            yield
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            yield

    def join(self, results: Sequence[Tensor]) -> None:
        """What comes next may use these results of `beside`."""
        if self._stream is None:
            return
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        for result in results:
            result.record_stream(current)
