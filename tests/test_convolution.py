"""Fused convolutions against the plain operators."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.tolerances import TOLERANCES
from tracker.vmos.convolution import conv_relu6

KINDS = {
    "pointwise": {"kernel_size": 1},
    "strided": {"kernel_size": 3, "stride": 2, "padding": 1},
    "depthwise": {"kernel_size": 5, "padding": 2, "groups": 8},
    "without bias": {"kernel_size": 3, "padding": 1, "bias": False},
}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", KINDS)
def test_conv_relu6_is_both_operators(kind, layout):
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 8, **KINDS[kind]).requires_grad_(False)
    conv.weight.mul_(8)
    image = torch.randn(2, 8, 13, 17).to(memory_format=layout)
    expected = F.relu6(conv(image))
    assert (expected == 6).any() and (expected == 0).any()
    torch.testing.assert_close(
        conv_relu6(conv, image), expected, rtol=0, atol=TOLERANCES["encoder"]
    )


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no bfloat16 on this CPU"
)
@pytest.mark.parametrize("held", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_conv_relu6_under_autocast_rounds_once_as_both_operators_do(kind, held):
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 8, **KINDS[kind]).requires_grad_(False).to(held)
    conv.weight.mul_(8)
    image = torch.randn(2, 8, 13, 17).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        expected = F.relu6(conv(image))
        found = conv_relu6(conv, image)
    assert found.dtype == expected.dtype == torch.bfloat16
    assert (expected == 6).any() and (expected == 0).any()
    assert torch.equal(found, expected)


def test_conv_relu6_is_fused_only_where_nothing_is_learned(monkeypatch):
    calls = []
    fused = torch.ops.mkldnn._convolution_pointwise
    monkeypatch.setattr(
        torch.ops.mkldnn, "_convolution_pointwise", lambda *a: calls.append(1) or fused(*a)
    )
    conv, image = nn.Conv2d(2, 2, 1), torch.randn(1, 2, 3, 3)
    conv_relu6(conv, image).sum().backward()
    assert conv.weight.grad.abs().sum() > 0 and not calls
    with torch.inference_mode():
        conv_relu6(conv, image)
    assert calls
