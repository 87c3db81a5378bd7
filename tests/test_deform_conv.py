"""DCNv3: recordings, a naive loop, gradients, edges, and the fused kernel."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.recordings import recording
from tests.tolerances import TOLERANCES
from tracker.vmos import deform_conv
from tracker.vmos.deform_conv import deform_conv3, deform_conv3_plain, fused_kernel

CASES = json.loads(str(recording("dcnv3")["settings"]))
# The interpreter is slow: without the largest case, which has the settings of case 0.
INTERPRETED = [i for i in range(len(CASES)) if i != 6]
BASIC = {
    "kernel": 3,
    "stride": 1,
    "pad": 1,
    "dilation": 1,
    "group": 2,
    "group_channels": 3,
    "offset_scale": 1.0,
}


def recorded_case(index: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    arrays = recording("dcnv3")
    tensors = [
        torch.from_numpy(arrays[f"{name}_{index}"])
        for name in ("input", "offset", "mask", "output")
    ]
    return tensors[:3], tensors[3]


def random_case(
    setting: dict, size: tuple[int, int, int], seed: int, spread: float = 1.0
) -> list[torch.Tensor]:
    """Float64 input, offset and mask for a `setting`; size is (B, H, W)."""
    rng = np.random.default_rng(seed)
    reach = setting["dilation"] * (setting["kernel"] - 1)
    out = [(side + 2 * setting["pad"] - reach - 1) // setting["stride"] + 1 for side in size[1:]]
    points = setting["group"] * setting["kernel"] ** 2
    shapes = (
        (*size, setting["group"] * setting["group_channels"]),
        (size[0], *out, points * 2),
        (size[0], *out, points),
    )
    scales = (1.0, spread, 1.0)
    return [
        torch.from_numpy(rng.normal(size=shape) * scale)
        for shape, scale in zip(shapes, scales, strict=True)
    ]


def naive_deform_conv3(
    input, offset, mask, *, kernel, stride, pad, dilation, group, group_channels, offset_scale
):
    """The definition, sample by sample."""
    batch, height, width, channels = input.shape
    out_h, out_w = mask.shape[1:3]
    offset = offset.reshape(batch, out_h, out_w, group, kernel, kernel, 2)
    mask = mask.reshape(batch, out_h, out_w, group, kernel, kernel)
    output = np.zeros((batch, out_h, out_w, channels))
    half = dilation * (kernel - 1) // 2
    for b, row, column, g, i, j in np.ndindex(*mask.shape):
        move_x, move_y = offset[b, row, column, g, i, j]
        x = column * stride - pad + half + (i * dilation - half + move_x) * offset_scale
        y = row * stride - pad + half + (j * dilation - half + move_y) * offset_scale
        own = slice(g * group_channels, (g + 1) * group_channels)
        for py in (int(np.floor(y)), int(np.floor(y)) + 1):
            for px in (int(np.floor(x)), int(np.floor(x)) + 1):
                if 0 <= py < height and 0 <= px < width:
                    share = (1 - abs(y - py)) * (1 - abs(x - px)) * mask[b, row, column, g, i, j]
                    output[b, row, column, own] += share * input[b, py, px, own]
    return output


@pytest.mark.parametrize("index", range(len(CASES)))
def test_recorded_cases(index):
    arguments, expected = recorded_case(index)
    output = deform_conv3(*arguments, **CASES[index])
    assert output.dtype == torch.float32
    assert (output - expected).abs().max() <= TOLERANCES["deform_conv"]


@st.composite
def settings_and_sizes(draw):
    setting = {
        "kernel": draw(st.integers(1, 4)),
        "stride": draw(st.integers(1, 3)),
        "pad": draw(st.integers(0, 3)),
        "dilation": draw(st.integers(1, 3)),
        "group": draw(st.integers(1, 3)),
        "group_channels": draw(st.integers(1, 3)),
        "offset_scale": draw(st.sampled_from([0.5, 1.0, 1.7])),
    }
    smallest = max(1, setting["dilation"] * (setting["kernel"] - 1) + 1 - 2 * setting["pad"])
    sides = st.integers(smallest, smallest + 3)
    return setting, (draw(st.integers(1, 2)), draw(sides), draw(sides))


@given(
    settings_and_sizes(),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.3, 3.0, 40.0, 1e12]),
    st.booleans(),
)
@settings(max_examples=40)
def test_equals_the_definition(setting_and_size, seed, spread, whole):
    setting, size = setting_and_size
    input, offset, mask = random_case(setting, size, seed, spread)
    offset = offset.round() if whole else offset
    output = deform_conv3(input, offset, mask, **setting)
    expected = naive_deform_conv3(*(t.numpy() for t in (input, offset, mask)), **setting)
    assert np.abs(output.numpy() - expected).max() <= TOLERANCES["float64"]


def test_without_offsets_it_is_a_box_filter():
    input, offset, mask = random_case(BASIC, (2, 6, 7), 0, 0.0)
    output = deform_conv3(input, offset, torch.ones_like(mask), **BASIC)
    expected = 9 * F.avg_pool2d(input.permute(0, 3, 1, 2), 3, stride=1, padding=1)
    torch.testing.assert_close(output, expected.permute(0, 2, 3, 1), rtol=0, atol=1e-10)


def test_precision_does_not_suffer_far_from_the_origin():
    """Float32 near column 4000 against float64."""
    setting = BASIC | {"group": 1, "group_channels": 1}
    input, offset, mask = (t.float() for t in random_case(setting, (1, 3, 4000), 1, 2.0))
    far = deform_conv3(input, offset, mask, **setting)[:, :, -8:]
    exact = deform_conv3(input.double(), offset.double(), mask.double(), **setting)[:, :, -8:]
    assert (far - exact).abs().max() <= TOLERANCES["deform_conv"]


@pytest.mark.parametrize("setting", [BASIC, BASIC | {"stride": 2, "pad": 2, "offset_scale": 0.5}])
def test_gradients(setting):
    input, offset, mask = random_case(setting, (1, 3, 4), 2, 2.0)
    arguments = [t.requires_grad_() for t in (input, offset, mask)]
    assert torch.autograd.gradcheck(lambda *a: deform_conv3(*a, **setting), arguments)


def test_the_same_with_and_without_gradients_and_in_chunks(monkeypatch):
    case = [t.float() for t in random_case(BASIC, (2, 9, 7), 3, 3.0)]
    whole = deform_conv3(*case, **BASIC)
    monkeypatch.setattr(deform_conv, "POINTS_PER_CHUNK", 1)
    assert torch.equal(deform_conv3(*case, **BASIC), whole)
    case[1].requires_grad_()
    assert torch.equal(deform_conv3(*case, **BASIC), whole)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    setting = BASIC | {"group": 4, "group_channels": 16}
    case = [t.to(dtype) for t in random_case(setting, (1, 8, 9), 4)]
    output = deform_conv3(*case, **setting)
    assert output.dtype == dtype
    exact = deform_conv3(*(t.double() for t in case), **setting)
    assert (output - exact).abs().max() <= TOLERANCES[str(dtype).removeprefix("torch.")]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e30])
def test_offsets_that_are_not_positions_do_no_harm(value):
    input, offset, mask = (t.float() for t in random_case(BASIC, (1, 4, 5), 5))
    output = deform_conv3(input, torch.full_like(offset, value), mask, **BASIC)
    assert output.isnan().all() if value != -1e30 else (output == 0).all()


def test_wrong_shapes_are_named():
    input, offset, mask = random_case(BASIC, (1, 4, 5), 6)
    with pytest.raises(
        ValueError, match=r"input has shape \(1, 4, 5, 5\), expected \(1, 4, 5, 6\)"
    ):
        deform_conv3(input[..., 1:], offset, mask, **BASIC)
    with pytest.raises(ValueError, match="offset has shape"):
        deform_conv3(input, offset[:, 1:], mask, **BASIC)
    with pytest.raises(ValueError, match="mask has shape"):
        deform_conv3(input, offset, mask[..., 1:], **BASIC)
    with pytest.raises(ValueError, match="smaller than the kernel"):
        deform_conv3(input[:, :1], offset, mask, **BASIC | {"pad": 0})


FUSED_AGAINST_PLAIN = """
import torch
from tests.test_deform_conv import BASIC, CASES, INTERPRETED, random_case, recorded_case
from tests.tolerances import TOLERANCES
from tracker.vmos.deform_conv import deform_conv3_plain
from tracker.vmos.deform_conv_triton import deform_conv3_fused

NAMES = ("kernel", "stride", "pad", "dilation", "group", "offset_scale")
cases = [(recorded_case(i)[0], CASES[i]) for i in INTERPRETED]
far = [t.float() for t in random_case(BASIC, (2, 4, 5), 7, 1e12)]
cases.append((far, BASIC))
for arguments, setting in cases:
    rest = [setting[name] for name in NAMES]
    error = (deform_conv3_fused(*arguments, *rest) - deform_conv3_plain(*arguments, *rest)).abs()
    assert error.max() <= TOLERANCES["deform_conv_fused"], (setting, error.max())
print("agree", len(cases))
"""


def test_fused_kernel_in_the_interpreter():
    """The Triton interpreter runs the kernel on a CPU; it is chosen when Triton is imported."""
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-c", FUSED_AGAINST_PLAIN],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.stdout.split() == ["agree", str(len(INTERPRETED) + 1)], done.stderr


@pytest.fixture
def fresh_trial():
    fused_kernel.cache_clear()
    yield
    fused_kernel.cache_clear()


def test_the_fused_kernel_is_for_gpus_only(fresh_trial):
    assert fused_kernel(torch.device("cpu")) is None


@pytest.mark.parametrize("error", [1.0, float("nan"), RuntimeError("no C compiler")])
def test_a_fused_kernel_that_fails_its_trial_is_not_used(monkeypatch, caplog, fresh_trial, error):
    pytest.importorskip("triton")

    def trial(operator, device):
        if isinstance(error, Exception):
            raise error
        return error

    monkeypatch.setattr(deform_conv, "_trial_error", trial)
    with caplog.at_level(logging.WARNING):
        assert fused_kernel(torch.device("cuda:0")) is None
    assert "the fused DCNv3 is off on cuda:0" in caplog.text


def test_the_fused_kernel_runs_where_it_passed_and_no_gradient_is_wanted(monkeypatch):
    calls = []

    def fused(*arguments):
        calls.append(arguments)
        return deform_conv3_plain(*arguments)

    monkeypatch.setattr(deform_conv, "fused_kernel", lambda device: fused)
    case = [t.float() for t in random_case(BASIC, (1, 4, 5), 8)]
    expected = deform_conv3(*case, **BASIC)
    assert len(calls) == 1
    case[0].requires_grad_()
    assert torch.equal(deform_conv3(*case, **BASIC), expected)
    with torch.no_grad():
        deform_conv3(*(t.double() for t in case), **BASIC)
    assert len(calls) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("index", range(len(CASES)))
def test_recorded_cases_on_a_gpu(index):
    arguments, expected = recorded_case(index)
    arguments = [t.cuda() for t in arguments]
    assert fused_kernel(arguments[0].device) is not None
    fused = deform_conv3(*arguments, **CASES[index]).cpu()
    arguments[0].requires_grad_()
    plain = deform_conv3(*arguments, **CASES[index]).detach().cpu()
    assert (fused - expected).abs().max() <= TOLERANCES["deform_conv"]
    assert (plain - expected).abs().max() <= TOLERANCES["deform_conv"]
