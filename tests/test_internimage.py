"""The encoder against its recording, its names, and the deterministic weights."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch

from tests.recordings import checkpoint_entries, recording
from tests.tolerances import TOLERANCES
from tracker.vmos.deterministic import deterministic_array
from tracker.vmos.internimage import InternImage
from tracker.vmos.official_names import RULES, encoder_name, official_to_ours

ENCODER_ENTRIES = [e for e in checkpoint_entries() if e["name"].startswith("encoder.")]
USED = [e for e in ENCODER_ENTRIES if e["used"]]


@pytest.fixture(scope="module")
def encoder() -> InternImage:
    model = InternImage().eval()
    model.load_state_dict(
        {
            encoder_name(e["name"]): torch.from_numpy(deterministic_array(e["name"], e["shape"]))
            for e in USED
        }
    )
    return model


@torch.no_grad()
def test_recorded_maps(encoder):
    recorded = recording("encoder")
    third = []
    hook = encoder.stages[2].register_forward_hook(lambda _, __, out: third.append(out))
    maps = encoder(torch.from_numpy(recorded["input"])[None])
    hook.remove()
    maps = (*maps, third[0].permute(0, 3, 1, 2))
    names = ("stride4", "stride8", "stride16_stage4", "stride16_stage3")
    for name, output in zip(names, maps, strict=True):
        assert output.shape[1:] == recorded[name].shape
        error = np.abs(output[0].numpy() - recorded[name]).max()
        assert error <= TOLERANCES["encoder"], name


@torch.no_grad()
def test_the_tolerance_tells_the_layer_norms_epsilon(encoder):
    norms = [m for m in encoder.modules() if isinstance(m, torch.nn.LayerNorm)]
    recorded = recording("encoder")
    try:
        for norm in norms:
            norm.eps = 1e-5
        output = encoder(torch.from_numpy(recorded["input"])[None])[2]
    finally:
        for norm in norms:
            norm.eps = 1e-6
    assert np.abs(output[0].numpy() - recorded["stride16_stage4"]).max() > TOLERANCES["encoder"]


@torch.no_grad()
@pytest.mark.parametrize("height, width", [(16, 16), (17, 33), (30, 50), (65, 49)])
def test_shapes_of_the_maps(encoder, height, width):
    maps = encoder(torch.zeros(2, 3, height, width))
    for times, channels, output in zip((2, 3, 4), encoder.channels, maps, strict=True):
        h, w = (-(-side // 2**times) for side in (height, width))
        assert output.shape == (2, channels, h, w)


@torch.no_grad()
def test_images_of_a_batch_do_not_touch_each_other(encoder):
    images = torch.randn(2, 3, 49, 33, generator=torch.Generator().manual_seed(0))
    together = encoder(images)
    for i in range(2):
        for a, b in zip(together, encoder(images[i : i + 1]), strict=True):
            torch.testing.assert_close(a[i : i + 1], b, rtol=0, atol=TOLERANCES["encoder"])


def test_every_parameter_reaches_the_output(encoder):
    images = torch.randn(1, 3, 33, 33, generator=torch.Generator().manual_seed(0))
    sum((output * output.detach().cos()).sum() for output in encoder(images)).backward()
    idle = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    encoder.zero_grad(set_to_none=True)
    assert idle == []


def test_names_are_one_to_one_and_shapes_agree():
    ours = {official_to_ours(e["name"]): tuple(e["shape"]) for e in USED}
    assert len(ours) == len(USED)
    expected = {f"encoder.{n}": tuple(t.shape) for n, t in InternImage().state_dict().items()}
    assert ours == expected


def test_the_dropped_entries_are_exactly_the_unused_ones():
    dropped = [e["name"] for e in ENCODER_ENTRIES if official_to_ours(e["name"]) is None]
    assert dropped == [e["name"] for e in ENCODER_ENTRIES if not e["used"]]
    assert len(dropped) == 3
    with pytest.raises(KeyError, match="dropped"):
        encoder_name(dropped[0])


def test_every_rule_is_needed():
    names = [e["name"] for e in checkpoint_entries()]
    for rule in RULES:
        fits = [n for n in names if _fits(n, rule)]
        assert fits, f"no entry uses the rule {rule[0]}"


def _fits(name: str, rule: tuple[str, str | None]) -> bool:
    try:
        official_to_ours(name, (rule,))
    except KeyError:
        return False
    return True


@pytest.mark.parametrize(
    "name", ["encoder.levels.x.blocks.0.gamma1", "encoder.head.weight", "module.encoder", ""]
)
def test_unknown_names_are_errors(name):
    with pytest.raises(KeyError, match="no rule"):
        official_to_ours(name)


def test_deterministic_weights_are_the_recorded_ones():
    """CRC-32 over the values of all entries, recorded with the reference outputs."""
    crc = 0
    for entry in checkpoint_entries():
        values = deterministic_array(entry["name"], entry["shape"])
        assert values.dtype == np.float32
        assert values.shape == tuple(entry["shape"])
        crc = zlib.crc32(values.astype("<f4").tobytes(), crc)
    assert len(checkpoint_entries()) == 957
    assert crc == 1011428618
