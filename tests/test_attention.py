"""Attention against its definition, written out with loops over places."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tracker.vmos.attention as attention
from tests.tolerances import TOLERANCES
from tracker.vmos.attention import global_attention, local_attention


def local_by_definition(query, key, value, bias, grid, window):
    """Every query in turn: the keys within reach, softmax, weighted sum."""
    height, width = grid
    reach = window // 2
    out = torch.empty(*query.shape[:2], value.shape[2], dtype=query.dtype)
    for place in range(height * width):
        y, x = divmod(place, width)
        seen, number = [], []
        for offset in range(window * window):
            ky, kx = y + offset // window - reach, x + offset % window - reach
            if 0 <= ky < height and 0 <= kx < width:
                seen.append(ky * width + kx)
                number.append(offset)
        scores = (query[:, place, None] * key[:, seen]).sum(-1) / math.sqrt(query.shape[2])
        shares = torch.softmax(scores + bias[:, place, number], dim=-1)
        out[:, place] = (shares[..., None] * value[:, seen]).sum(1)
    return out


@settings(max_examples=25)
@given(
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    window=st.sampled_from([1, 3, 7, 15]),
    batch=st.integers(1, 2),
    seed=st.integers(0, 1000),
)
def test_local_attention_is_its_definition(height, width, window, batch, seed):
    draw = torch.Generator().manual_seed(seed)
    shape = (batch, height * width)
    query, key = (torch.randn(*shape, 4, generator=draw, dtype=torch.float64) for _ in "qk")
    value = torch.randn(*shape, 6, generator=draw, dtype=torch.float64)
    bias = torch.randn(*shape, window * window, generator=draw, dtype=torch.float64)
    got = local_attention(query, key, value, bias, (height, width), window)
    expected = local_by_definition(query, key, value, bias, (height, width), window)
    torch.testing.assert_close(got, expected, rtol=0, atol=TOLERANCES["float64"])


def test_local_attention_builds_no_matrix_of_all_by_all(monkeypatch):
    """The scores are tiles times halo, at any frame size."""
    sizes = []
    softmax = torch.softmax

    def recorded(scores, dim):
        sizes.append(scores.numel())
        return softmax(scores, dim=dim)

    monkeypatch.setattr(torch, "softmax", recorded)
    height, width = 40, 64
    tokens = torch.zeros(1, height * width, 2)
    local_attention(tokens, tokens, tokens, torch.zeros(1, height * width, 225), (40, 64), 15)
    assert sizes == [height * width * 22 * 22]


@pytest.mark.parametrize("chunk", [1, 3, 7], ids="{} queries at a time".format)
@pytest.mark.parametrize("training", [False, True], ids=["tracking", "training"])
def test_global_attention_is_softmax_of_scaled_products(monkeypatch, training, chunk):
    """Also in parts of the queries, of which the last is shorter."""
    monkeypatch.setattr(attention, "SCORES_AT_ONCE", 2 * 11 * chunk)
    draw = torch.Generator().manual_seed(0)
    shapes = ((2, 7, 4), (2, 11, 4), (2, 11, 5))
    query, key, value = (torch.randn(*shape, generator=draw) for shape in shapes)
    expected = torch.softmax(query @ key.transpose(1, 2) / 2, dim=-1) @ value
    with torch.set_grad_enabled(training):
        torch.testing.assert_close(global_attention(query, key, value), expected)


def test_gradients_of_global_attention_are_those_of_its_definition(monkeypatch):
    monkeypatch.setattr(attention, "SCORES_AT_ONCE", 9 * 3)
    draw = torch.Generator().manual_seed(0)
    tokens = [torch.randn(1, n, 4, generator=draw, requires_grad=True) for n in (13, 9, 9)]
    query, key, value = tokens
    by_definition = torch.softmax(query @ key.transpose(1, 2) / 2, dim=-1) @ value
    expected = torch.autograd.grad(by_definition.square().sum(), tokens)
    got = torch.autograd.grad(global_attention(*tokens).square().sum(), tokens)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("window", [3, 15])
def test_gradients_pass_local_attention_in_inference_and_training(window):
    """Its cached tables may be made in inference mode and still serve training."""
    attention._unseen.cache_clear()
    tokens = torch.randn(1, 12, 4)
    bias = torch.zeros(1, 12, window * window)
    with torch.inference_mode():
        local_attention(tokens, tokens, tokens, bias, (3, 4), window)
    tokens.requires_grad_()
    local_attention(tokens, tokens, tokens, bias, (3, 4), window).sum().backward()
    assert tokens.grad.abs().sum() > 0
