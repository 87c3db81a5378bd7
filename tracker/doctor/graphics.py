"""The GPU: is there one, and can PyTorch use it?"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass

from tracker.doctor.finding import FAIL, NOTE, OK, Finding

_SECONDS = 120
_ASK_TORCH = """
import json, torch
said = {"build": torch.version.cuda or torch.version.hip or "", "names": [], "error": ""}
try:
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            torch.ones(1, device=f"cuda:{index}").add(1).cpu()
            card = torch.cuda.get_device_properties(index)
            said["names"].append(f"{card.name}, {card.total_memory / 2**30:.0f} GiB")
except Exception as error:
    said["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
print(json.dumps(said))
"""


@dataclass(frozen=True)
class TorchView:
    """What PyTorch sees: the CUDA it was built for ("" none), usable cards, an error, if any."""

    build: str
    names: tuple[str, ...]
    error: str


def ask_torch(python: str = sys.executable) -> TorchView | None:
    """PyTorch's view, from another process; None when it cannot be imported."""
    done = _run([python, "-c", _ASK_TORCH])
    try:
        said = json.loads(done.splitlines()[-1])
        return TorchView(said["build"], tuple(said["names"]), said["error"])
    except (IndexError, ValueError, KeyError):
        return None


def ask_driver() -> str:
    """Cards and driver version by nvidia-smi; "" when there is none or it does not work."""
    if shutil.which("nvidia-smi") is None:
        return ""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return "; ".join(_run(query).splitlines())


def judge(view: TorchView | None, driver: str) -> Finding:
    """The finding for what PyTorch and the driver say."""
    if view is None:
        return Finding("gpu", NOTE, "PyTorch cannot be asked", "see the lines on packages")
    if view.error:
        remedy = "another PyTorch build or driver; until then HQTRACK_DEVICE=cpu"
        return Finding("gpu", FAIL, f"a GPU cannot be used: {view.error}", remedy)
    if view.names:
        return Finding("gpu", OK, f"{'; '.join(view.names)} (CUDA {view.build}; {driver or '?'})")
    if not driver:
        text = "none: everything runs on the CPU, seconds a frame with the large models"
        remedy = "with a GPU: install its driver (`nvidia-smi` must work)"
        return Finding("gpu", NOTE, text, remedy)
    if not view.build:
        remedy = "install PyTorch for CUDA, see https://pytorch.org/get-started/locally"
        return Finding("gpu", FAIL, f"{driver} is there, but PyTorch is built for the CPU", remedy)
    text = f"{driver} is there, but PyTorch for CUDA {view.build} cannot use it"
    remedy = "a driver for that CUDA, or PyTorch for an older one; is CUDA_VISIBLE_DEVICES set?"
    return Finding("gpu", FAIL, text, remedy)


def check_gpu() -> Finding:
    """The GPU of this machine."""
    return judge(ask_torch(), ask_driver())


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
