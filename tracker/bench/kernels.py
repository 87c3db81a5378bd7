"""`python -m tracker bench-kernels`: attention, every way there is, at the sizes of the networks.

VMOS at 854x480 with a full memory, HQ-SAM ViT-H at 1024x1024. One line per way: median time,
operations per second (those of the definition, not those done twice), and how far the result is
from the plain way in float32 on the same inputs.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from tracker.arguments import whole
from tracker.bench.machine import describe, now
from tracker.build import usable_device
from tracker.config import ConfigError
from tracker.refiner.attention import use_fused_attention
from tracker.vmos import attention, attention_fused

MEMORY_FRAMES = 6
WINDOW = 15
SCALES = {"1/16": ((31, 54), 128, 1024), "1/8": ((61, 107), 64, 512)}
"""Stride -> grid at 854x480, width of keys, width of values."""

HQ_SAM = {"a window": (25, 14), "all": (1, 64)}
"""Blocks of ViT-H: images in the batch, side in patches."""


@dataclass(frozen=True)
class Case:
    """One operation: its inputs in float32, its operations, and the ways to do it by name."""

    name: str
    inputs: tuple[Tensor, ...]
    operations: float
    ways: dict[str, Callable[..., Tensor]]


def main(argv: list[str]) -> int:
    """Print the table. Status 2: no such device."""
    parser = argparse.ArgumentParser(prog="python -m tracker bench-kernels", description=__doc__)
    add = parser.add_argument
    add("--device", help="cpu, cuda, cuda:1; default: a GPU if there is one")
    types = ("float32", "float16", "bfloat16")
    add("--dtype", choices=types, default="bfloat16", help="default bfloat16")
    add("--repeats", type=whole(1), default=20, help="of each way; default 20")
    add("--shrink", type=whole(1), default=1, help="divide the sides of all grids: a quick look")
    args = parser.parse_args(argv)
    dtype = getattr(torch, args.dtype)
    try:
        device = usable_device(args.device)
    except ConfigError as error:
        print(f"bench-kernels: {error}", file=sys.stderr)
        return 2
    print(describe(device))
    with torch.inference_mode():
        for case in (*_memory_cases(args.shrink), *_refiner_cases(args.shrink)):
            _compare(case, device, dtype, args.repeats)
    return 0


def _memory_cases(shrink: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(0)
    for stride, ((height, breadth), channels, width) in SCALES.items():
        grid = (max(1, height // shrink), max(1, breadth // shrink))
        count = grid[0] * grid[1]
        query = torch.randn(1, count, channels, generator=draw)
        for kind, frames in (("long-term", MEMORY_FRAMES), ("self", 1)):
            key = torch.randn(1, frames * count, channels, generator=draw)
            value = torch.randn(1, frames * count, width, generator=draw)
            operations = 2.0 * count * frames * count * (channels + width)
            ways = {
                "plain": attention.global_attention_plain,
                "PyTorch, values split": attention_fused.split_attention,
                "Triton": _triton("global_attention_fused"),
            }
            yield Case(f"{kind} {stride}", (query, key, value), operations, ways)
        bias = torch.randn(1, count, WINDOW**2, generator=draw)
        given = (query, key[:, :count], value[:, :count], bias)
        plain = partial(attention.local_attention_plain, grid=grid, window=WINDOW)
        fused = partial(_triton("local_attention_fused"), grid=grid, window=WINDOW)
        operations = 2.0 * count * WINDOW**2 * (channels + width)
        yield Case(f"window {stride}", given, operations, {"plain": plain, "Triton": fused})


def _refiner_cases(shrink: int) -> Iterator[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from segment_anything_hq.modeling.image_encoder import Attention

    draw = torch.Generator().manual_seed(1)
    channels, heads = 1280, 16
    for name, (batch, side) in HQ_SAM.items():
        side = max(1, side // shrink)
        package = Attention(channels, heads, use_rel_pos=True, input_size=(side, side)).eval()
        for parameter in package.parameters():
            parameter.data = 0.05 * torch.randn(parameter.shape, generator=draw)
        fused = copy.deepcopy(package)
        use_fused_attention(fused)
        places = side * side
        operations = 2.0 * batch * places * (4 * channels**2 + 2 * places * channels)
        image = torch.randn(batch, side, side, channels, generator=draw)
        yield Case(f"HQ-SAM {name}", (image,), operations, {"plain": package, "PyTorch": fused})


def _triton(name: str) -> Callable[..., Tensor]:
    def run(*tensors: Tensor, **settings: object) -> Tensor:
        from tracker.vmos import attention_triton

        return getattr(attention_triton, name)(*tensors, **settings)

    return run


def _compare(case: Case, device: torch.device, dtype: torch.dtype, repeats: int) -> None:
    given = [tensor.to(device, dtype) for tensor in case.inputs]
    expected = _placed(case.ways["plain"], device, torch.float32)(*(t.float() for t in given))
    for name, way in case.ways.items():
        run = _placed(way, device, dtype)
        try:
            error = (run(*given).float() - expected).abs().max().item()
            seconds = []
            for _ in range(repeats):
                begin = now(device)
                run(*given)
                seconds.append(now(device) - begin)
        except Exception as failure:  # a way that cannot run here is a line too
            reason = (str(failure) or type(failure).__name__).splitlines()[0]
            print(f"{case.name:16} {name:22} cannot run: {reason}")
            continue
        median = statistics.median(seconds)
        rate = case.operations / median / 1e12
        print(f"{case.name:16} {name:22} {1000 * median:9.3f} ms {rate:8.3f} TFLOP/s {error:9.2e}")


def _placed(
    way: Callable[..., Tensor], device: torch.device, dtype: torch.dtype
) -> Callable[..., Tensor]:
    """A module on the device in this type; a function as it is."""
    if isinstance(way, torch.nn.Module):
        return copy.deepcopy(way).to(device, dtype)
    return way
