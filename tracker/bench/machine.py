"""What the benchmark runs on: names, counts, memory in use, and how fast it multiplies matrices."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from pathlib import Path
from typing import Any

import cv2
import torch

_STATUS = Path("/proc/self/status")
_REPEATS = 5
_PATIENCE = 1.0  # seconds for one matrix product


def describe(device: torch.device) -> dict[str, Any]:
    """Processor, cores this process may use, versions, threads, and the GPU if it is used."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu_name(),
        "cores": allowed,
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "device": str(device),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }


def ceilings(device: torch.device, side: int | None = None) -> dict[str, float]:
    """Floating-point operations per second of the best of several matrix products, by type.

    side: of the square matrices; by default 1536 on a CPU, 8192 on CUDA; a quarter of it for a type
    in which one product would take longer than a second: one that the hardware has no units for.
    """
    side = side or (8192 if device.type == "cuda" else 1536)
    found = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        found[name] = _rate(device, dtype, max(1, side // 4))
        if 2 * side**3 < _PATIENCE * found[name]:
            found[name] = _rate(device, dtype, side)
    return found


def _rate(device: torch.device, dtype: torch.dtype, side: int) -> float:
    left, right = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(2))
    seconds = []
    for _ in range(_REPEATS + 1):
        begin = now(device)
        torch.mm(left, right)
        seconds.append(now(device) - begin)
    return 2 * side**3 / min(seconds[1:])


def now(device: torch.device) -> float:
    """Seconds, after all work given to the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class Yardstick:
    """A fixed piece of work, in the cache and in memory: how fast the machine itself is just now.

    Machines that are shared, or that change their clock, vary more than what is measured on them.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._square = torch.ones(512, 512, device=device)
        self._line = torch.ones(1 << 21, device=device)

    def seconds(self) -> float:
        """How long it takes now."""
        begin = now(self._device)
        torch.mm(self._square, self._square)
        torch.add(self._line, self._line)
        return now(self._device) - begin


class MemoryGauge:
    """Memory of this process since the gauge was made, in bytes; None where it cannot be known."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._highest = 0
        # Linux forgets the peak when it is told to; elsewhere the peak is that of the samples.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def read(self) -> dict[str, int | None]:
        """rss, rss_peak (resident memory), cuda_peak (memory of tensors)."""
        status = _status()
        rss = status.get("VmRSS")
        self._highest = max(self._highest, rss or 0)
        cuda = self._device.type == "cuda"
        return {
            "rss": rss,
            "rss_peak": status.get("VmHWM") or (self._highest or None),
            "cuda_peak": torch.cuda.max_memory_allocated(self._device) if cuda else None,
        }


def _status() -> dict[str, int]:
    """The memory lines of the process's status (Linux), in bytes; empty elsewhere."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return {}
    fields = [line.split() for line in lines if line.startswith("Vm")]
    return {field[0].rstrip(":"): int(field[1]) * 1024 for field in fields}


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
