"""Attention by kernels: in Triton's interpreter, compiled without a GPU, and who is chosen."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tracker.vmos.attention_fused as fused
from tests.tolerances import TOLERANCES
from tracker.vmos.attention import global_attention, local_attention

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

# batch, queries, keys, channels, width
GLOBAL = [(2, 70, 133, 24, 40), (1, 5, 64, 16, 528), (1, 130, 1, 128, 16)]
# batch, height and width of the grid, channels, width, window
LOCAL = [
    (2, 9, 21, 24, 40, 15),
    (1, 5, 3, 16, 264, 7),
    (1, 1, 1, 64, 16, 3),
    (1, 6, 19, 16, 20, 15),
    (1, 5, 9, 32, 11, 9),
]


def global_case(batch, queries, keys, channels, width):
    """Keys and values are parts of one tensor, as in the network: their rows do not touch."""
    draw = torch.Generator().manual_seed(queries)
    query = 2 * torch.randn(batch, queries, channels, generator=draw)
    both = 2 * torch.randn(batch, keys, channels + width, generator=draw)
    return query, *both.split([channels, width], dim=-1)


def local_case(batch, height, breadth, channels, width, window):
    places = height * breadth
    case = global_case(batch, places, places, channels, width)
    draw = torch.Generator().manual_seed(places)
    bias = torch.randn(batch, places, window * window, generator=draw)
    return (*case, bias), (height, breadth), window


KERNELS_AGAINST_PLAIN = """
import torch
from tests.test_attention_fused import GLOBAL, LOCAL, global_case, local_case
from tests.tolerances import TOLERANCES
from tracker.vmos import attention_fused
from tracker.vmos.attention import global_attention, local_attention
from tracker.vmos.attention_triton import global_attention_fused, local_attention_fused

def check(got, expected, name):
    assert got.shape == expected.shape
    error = (got - expected).abs().max()
    assert error <= TOLERANCES[name], (got.shape, got.dtype, error)

for sizes in GLOBAL:
    case = global_case(*sizes)
    check(global_attention_fused(*case), global_attention(*case), "attention_fused")
for sizes in LOCAL:
    case, grid, window = local_case(*sizes)
    expected = local_attention(*case, grid, window)
    check(local_attention_fused(*case, grid, window), expected, "attention_fused")
    half = [t.half() for t in case]
    expected = local_attention(*(t.float() for t in half), grid, window)
    check(local_attention_fused(*half, grid, window), expected, "float16")
cpu = torch.device("cpu")
assert attention_fused._global_kernel(cpu, torch.float16, 16, 48) is global_attention_fused
assert attention_fused._local_kernel(cpu, torch.float16, 16, 48, 7) is local_attention_fused
print("agree")
"""


def test_kernels_in_the_interpreter():
    """The Triton interpreter runs them on a CPU; it has no bfloat16, so float16 stands for it."""
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-c", KERNELS_AGAINST_PLAIN],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.stdout.split() == ["agree"], done.stderr


@pytest.mark.parametrize("sizes", [*GLOBAL, (2, 6, 9, 32, 100)])
def test_values_split_into_heads_are_the_same_attention(sizes):
    case = global_case(*sizes)
    got = fused.split_attention(*case)
    assert (got - global_attention(*case)).abs().max() <= TOLERANCES["attention_fused"]


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Half precision on the CPU counts as on a GPU; no kernel passes its trial."""
    suits = fused._suits

    class Placed:
        device = torch.device("cuda")

        def __init__(self, tensor):
            self.dtype, self.requires_grad = tensor.dtype, tensor.requires_grad

    monkeypatch.setattr(fused, "_suits", lambda tensors: suits(tuple(map(Placed, tensors))))
    for name in ("_global_kernel", "_local_kernel"):
        monkeypatch.setattr(fused, name, lambda *_: None)
    return monkeypatch


def halves(*tensors):
    return tuple(tensor.half() for tensor in tensors)


def test_half_precision_goes_to_the_kernels(as_on_a_gpu):
    case, grid, window = local_case(*LOCAL[0])
    query, key, value, bias = halves(*case)

    def kernel(device, *asked):
        return lambda *given: (asked, len(given))

    as_on_a_gpu.setattr(fused, "_global_kernel", kernel)
    as_on_a_gpu.setattr(fused, "_local_kernel", kernel)
    assert global_attention(query, key, value) == ((torch.float16, 24, 40), 3)
    near = local_attention(query, key, value, bias, grid, window)
    assert near == ((torch.float16, 24, 40, 15), 6)


def test_without_a_kernel_values_are_split_and_windows_are_tiled(as_on_a_gpu):
    case, _, window = local_case(*LOCAL[0])
    query, key, value, bias = halves(*case)
    assert fused.fused_global(query, key, value) is fused.split_attention
    split = fused.split_attention(query, key, value)
    assert torch.equal(global_attention(query, key, value), split)
    assert fused.fused_local(window, query, key, value, bias) is None


def test_gradients_float32_and_mixed_types_go_the_plain_way(as_on_a_gpu):
    query, key, value = global_case(*GLOBAL[0])
    assert fused.fused_global(query, key, value) is None
    assert fused.fused_global(query.half(), key.half(), value) is None
    asked = query.half().requires_grad_()
    assert fused.fused_global(asked, key.half(), value.half()) is None
    with torch.no_grad():
        assert fused.fused_global(asked, key.half(), value.half()) is not None


def test_on_a_cpu_nothing_is_fused():
    query, key, value = halves(*global_case(*GLOBAL[0]))
    assert fused.fused_global(query, key, value) is None


def test_kernels_that_cannot_run_leave_one_line_each(caplog):
    """Without the interpreter, Triton has no CPU."""
    pytest.importorskip("triton")
    cpu, half = torch.device("cpu"), torch.float16
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert fused._global_kernel(cpu, half, 32, 48) is None
            assert fused._local_kernel(cpu, half, 32, 48, 7) is None
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert lines[0].startswith("the fused global attention (float16, 32 to 48) is off on cpu")
    assert lines[1].startswith("the fused local attention (float16, 32 to 48) is off on cpu")


def test_a_kernel_that_is_wrong_fails_its_trial(monkeypatch, caplog):
    module = pytest.importorskip("tracker.vmos.attention_triton")
    cpu, half = torch.device("cpu"), torch.float16

    def exact(query, key, value):
        return global_attention(query.float(), key.float(), value.float()).half()

    def wrong(query, key, value):
        return exact(query, key.roll(1, dims=1), value)

    monkeypatch.setattr(module, "global_attention_fused", exact)
    assert fused._global_kernel(cpu, half, 16, 33) is exact
    monkeypatch.setattr(module, "global_attention_fused", wrong)
    with caplog.at_level(logging.WARNING):
        assert fused._global_kernel(cpu, half, 16, 34) is None
    assert "it differs by" in caplog.text


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("dtype", fused.HALF)
@pytest.mark.parametrize(("channels", "width"), [(128, 1024), (64, 512), (64, 528)])
def test_the_networks_widths_on_a_gpu(dtype, channels, width):
    """Every path against float32 on the same, rounded, inputs; the kernels must be in use."""
    case, grid, window = local_case(2, 31, 54, channels, width, 15)
    case = [(t / 2).to(dtype).cuda() for t in case]
    exact = [t.float() for t in case]
    tolerance = TOLERANCES[str(dtype).removeprefix("torch.")] / 10
    far = global_attention(*exact[:3])
    assert fused.fused_global(*case[:3]).__name__ == "global_attention_fused"
    for got in (global_attention(*case[:3]), fused.split_attention(*case[:3])):
        assert (got.float() - far).abs().max() <= tolerance
    assert fused.fused_local(window, *case) is not None
    near = local_attention(*exact, grid, window)
    got = local_attention(*case, grid, window)
    assert (got.float() - near).abs().max() <= tolerance


def test_kernels_compile_for_a_gpu_that_is_not_there(monkeypatch, tmp_path):
    """For Hopper (sm_90), in bfloat16: registers and shared memory suffice, products are its own.

    The arguments are those that the launching functions give.
    """
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget

    from tracker.vmos import attention_triton

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    launched = []

    class Launcher:
        def __init__(self, kernel):
            self.kernel = kernel

        def __getitem__(self, grid):
            return lambda *given, **settings: launched.append((self.kernel, given, settings))

    for name in ("_global_attention", "_local_attention"):
        monkeypatch.setattr(attention_triton, name, Launcher(getattr(attention_triton, name)))
    case, grid, window = local_case(1, 4, 5, 128, 1024, 15)
    case = [tensor.bfloat16() for tensor in case]
    attention_triton.global_attention_fused(*case[:3])
    attention_triton.local_attention_fused(*case, grid, window)
    assert len(launched) == 2
    for kernel, given, settings in launched:
        options = {key: settings.pop(key) for key in ("num_warps", "num_stages")}
        names = kernel.arg_names
        types = {torch.Tensor: "*bf16", float: "fp32", int: "i32"}
        signature = {n: types[type(v)] for n, v in zip(names, given, strict=False)}
        signature |= dict.fromkeys(settings, "constexpr")
        constants = {(names.index(key),): value for key, value in settings.items()}
        source = triton.compiler.ASTSource(kernel, signature, constexprs=constants)
        compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
        assert compiled.metadata.shared <= 227 * 1024
        assert "wgmma.mma_async" in compiled.asm["ptx"]
