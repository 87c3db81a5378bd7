"""bfloat16: where it is chosen, what it saves, and how little it changes."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

import tracker.vmos.precision as precision
from tests.networks import SMALL, small_model
from tests.test_session import squares, video
from tests.tolerances import TOLERANCES
from tracker.config import ComputeConfig, ConfigError
from tracker.vmos.session import VmosSession


@pytest.mark.parametrize(
    ("name", "device", "units", "expected"),
    [
        ("float32", "cuda", True, False),
        ("bfloat16", "cpu", False, True),
        ("auto", "cuda", False, True),
        ("auto", "cpu", True, True),
        ("auto", "cpu", False, False),
    ],
)
def test_choice(monkeypatch, name, device, units, expected):
    monkeypatch.setattr(precision, "_cpu_multiplies_bfloat16", lambda: units)
    assert precision.uses_bfloat16(name, torch.device(device)) is expected


@pytest.mark.parametrize(
    ("tiles", "avx512", "expected"),
    [(True, False, True), (False, True, True), (False, False, False), (None, None, False)],
)
def test_a_cpu_multiplies_bfloat16_with_either_set_of_instructions(
    monkeypatch, tiles, avx512, expected
):
    """None: a PyTorch without the probe."""
    probes = {"_is_amx_tile_supported": tiles, "_is_avx512_bf16_supported": avx512}
    for name, answer in probes.items():
        probe = None if answer is None else lambda answer=answer: answer
        monkeypatch.setattr(torch.cpu, name, probe, raising=False)
    assert precision._cpu_multiplies_bfloat16() is expected


def test_an_unknown_precision_is_an_error_that_lists_the_known():
    with pytest.raises(ConfigError, match=r"float8.*auto, float32, bfloat16"):
        precision.uses_bfloat16("float8", torch.device("cpu"))


def test_bfloat16_memories_are_half_as_large_and_logits_nearly_the_same():
    """The small network's random weights make near ties, so logits are compared, not labels."""
    frames, logits, sizes = video(2), [], []
    for name in ("float32", "bfloat16"):
        config = dataclasses.replace(SMALL, compute=ComputeConfig(name))
        session = VmosSession(small_model(), config, "cpu")
        session.start(frames[0], squares(3), 3)
        logits.append(session.predict(frames[1]).logits)
        sizes.append(session._groups[0].long_term.bank[0].key.element_size())
    assert sizes == [4, 2]
    plain, quick = logits
    error = (quick - plain).norm() / plain.norm()
    assert 0 < error < TOLERANCES["bfloat16_logits"]


def test_weights_held_in_bfloat16_change_no_bit_of_the_logits():
    frames, logits = video(2), []
    config = dataclasses.replace(SMALL, compute=ComputeConfig("bfloat16"))
    held = copy.deepcopy(small_model())
    precision.hold_products_in_bfloat16(held)
    for model in (small_model(), held):
        session = VmosSession(model, config, "cpu")
        session.start(frames[0], squares(3), 3)
        logits.append(session.predict(frames[1]).logits)
    assert torch.equal(*logits)
    kinds = {type(m).__name__: m.weight.dtype for m in held.modules() if hasattr(m, "weight")}
    assert kinds["Conv2d"] == kinds["Linear"] == torch.bfloat16
    assert kinds["GroupNorm"] == kinds["LayerNorm"] == torch.float32
