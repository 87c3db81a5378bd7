"""bfloat16: where it is chosen, what it saves, and how little it changes."""

from __future__ import annotations

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
    monkeypatch.setattr(precision, "_has_matrix_units", lambda: units)
    assert precision.uses_bfloat16(name, torch.device(device)) is expected


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
