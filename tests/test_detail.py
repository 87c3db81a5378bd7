"""Detail matching and decoding: small things keep their objects, all objects alike."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.networks import SMALL, small_model
from tests.tolerances import TOLERANCES
from tracker.config import ConfigError
from tracker.vmos.detail import DetailDecoder, DetailMatching
from tracker.vmos.model import ImageFeatures, VmosModel

GRID = (6, 9)
COUNT = GRID[0] * GRID[1]


@pytest.fixture
def decoder() -> DetailDecoder:
    torch.manual_seed(2)
    return DetailDecoder(inputs=5, sources=3, channels=4).requires_grad_(False)


def decoder_input(identities: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    logits = 2 * torch.randn(2, identities, 7, 8)
    shares = torch.softmax(2 * torch.randn(2, 3, identities, 7, 8), dim=2)
    return logits, torch.randn(2, 5, 7, 8), shares


def test_shares_follow_what_moves():
    """Every place has a look of its own; all move by one place down and two to the right."""
    torch.manual_seed(0)
    matching = DetailMatching(64, window=5).requires_grad_(False)
    torch.nn.init.orthogonal_(matching.key.weight, gain=2)
    matching.relative_bias.weight.zero_()
    before = 8 * torch.randn(1, *GRID, 64)
    after = torch.roll(before, (1, 2), dims=(1, 2))
    shares = torch.zeros(1, *GRID, 3)
    shares[..., 0] = 1
    shares[:, 1:3, 2:5] = torch.tensor([0.0, 0.25, 0.75])
    memory = matching.remember(
        matching.trace(before.view(1, COUNT, 64), GRID), shares.view(1, COUNT, 3)
    )
    found = matching(matching.trace(after.view(1, COUNT, 64), GRID), memory).view(1, *GRID, 3)
    # What comes from outside the grid, or from outside the window, has nothing to match.
    moved = torch.roll(shares, (1, 2), dims=(1, 2))[:, 1:, 2:]
    torch.testing.assert_close(found[:, 1:, 2:], moved, rtol=0, atol=0.02)
    torch.testing.assert_close(found.sum(-1), torch.ones(1, *GRID))


def test_exchanging_objects_exchanges_their_logits(decoder):
    logits, hidden, shares = decoder_input(4)
    order = [0, 3, 1, 2]
    plain = decoder(logits, hidden, shares)
    exchanged = decoder(logits[:, order], hidden, shares[:, :, order])
    torch.testing.assert_close(exchanged, plain[:, order], rtol=0, atol=TOLERANCES["encoder"])
    assert (plain[:, 1:] - logits[:, 1:]).abs().max() > 0.01


def test_the_background_stays_and_objects_do_not_depend_on_how_many_there_are(decoder):
    logits, hidden, shares = decoder_input(5)
    five = decoder(logits, hidden, shares)
    three = decoder(logits[:, :3], hidden, shares[:, :, :3])
    torch.testing.assert_close(five[:, 0], logits[:, 0], rtol=0, atol=0)
    torch.testing.assert_close(five[:, :3], three, rtol=0, atol=TOLERANCES["encoder"])


def test_fewer_identities_are_the_first_of_all():
    model, features, memory = introduced(labels_of(2))
    propagated = model.propagate(features, memory, memory)
    whole, first = model.decode(propagated), model.decode(propagated, 3)
    assert whole.shape[1] == 11
    torch.testing.assert_close(whole[:, :3], first, rtol=0, atol=TOLERANCES["encoder"])


def test_another_labelling_of_a_frame_is_that_frame_with_other_shares():
    model, features, memory = introduced(labels_of(2))
    other = one_hot(labels_of(1), 2)
    relabelled = model.relabel(memory, other)[-1]
    fresh = model.introduce(features, model.embed_identity(other, features))[-1]
    torch.testing.assert_close(relabelled.value, fresh.value, rtol=0, atol=0)
    torch.testing.assert_close(relabelled.key, memory[-1].key, rtol=0, atol=0)
    assert (relabelled.value != memory[-1].value).any()


def test_the_finer_grid_is_remembered_behind_the_layers():
    model, features, memory = introduced(labels_of(2))
    assert [m.grid for m in memory] == model.grids(features) == [(3, 3), (3, 3), (5, 5), (5, 5)]
    assert memory[-1].value.shape == (1, 25, 11)
    # Object 1 covers the left half: the first column is its own, the last is background.
    shares = memory[-1].value.view(5, 5, 11)
    torch.testing.assert_close(shares[:, 0, 1], torch.ones(5))
    torch.testing.assert_close(shares[:, 4, 0], torch.ones(5))


@pytest.mark.parametrize("setting", ["detail_window", "detail_channels"])
def test_detail_without_readout_is_refused(setting):
    with pytest.raises(ConfigError, match=setting):
        dataclasses.replace(
            SMALL.vmos, **{"detail_window": 0, "detail_channels": 0} | {setting: 3}, readout=False
        )


def labels_of(objects: int) -> torch.Tensor:
    """[1, 33, 33]: object 1 in the columns on the left, object 2 in a few behind it."""
    labels = torch.zeros(1, 33, 33, dtype=torch.long)
    labels[:, :, :14] = 1
    if objects == 2:
        labels[:, :, 14:20] = 2
    return labels


def one_hot(labels: torch.Tensor, identities: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, identities).movedim(-1, 1).float()


def introduced(labels: torch.Tensor) -> tuple[VmosModel, ImageFeatures, tuple]:
    """The small network, an encoded picture, and its memory with these labels."""
    model = small_model()
    torch.manual_seed(1)
    features = model.encode_image(torch.randn(1, 3, 33, 33))
    shares = one_hot(labels, int(labels.max()) + 1)
    return model, features, model.introduce(features, model.embed_identity(shares, features))
