"""The identity readout: shares go through memory as they are, every identity alike."""

from __future__ import annotations

import dataclasses
import math

import torch

from tests.networks import SMALL, small_model
from tests.tolerances import TOLERANCES
from tracker.training.start import without_detail
from tracker.vmos.identity import IdentityReadout, mean_shares
from tracker.vmos.memory import LayerMemory
from tracker.vmos.model import ImageFeatures, VmosModel


def one_hot(labels: torch.Tensor, identities: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, identities).movedim(-1, 1).double()


def test_patches_are_mean_shares_of_what_lies_in_the_frame():
    labels = torch.zeros(1, 33, 49, dtype=torch.long)
    labels[:, :, :8] = 1
    patches = mean_shares(one_hot(labels, 3), (3, 4), 16)
    assert patches.shape == (1, 12, 3)
    # The first patch sees columns 0 to 8, the second 8 to 24.
    torch.testing.assert_close(patches[0, 0], torch.tensor([1 / 9, 8 / 9, 0.0]).double())
    torch.testing.assert_close(patches[0, 1], torch.tensor([1.0, 0.0, 0.0]).double())
    torch.testing.assert_close(patches.sum(-1), torch.ones(1, 12).double())


def test_evidence_is_added_to_the_logits_by_its_weights():
    readout = IdentityReadout(2)
    readout.weight.data = torch.tensor([2.0, 1.0])
    attended = torch.zeros(1, 2, 2, 1, 1)
    attended[0, 0, 1], attended[0, 1, 1] = 0.99, 0.49
    logits = readout(torch.full((1, 2, 3, 3), 0.5), attended)
    floor = math.log(0.01)
    torch.testing.assert_close(logits[0, 0], torch.full((3, 3), 0.5 + 2 * floor + floor))
    torch.testing.assert_close(logits[0, 1], torch.full((3, 3), 0.5 + math.log(0.5)))


def test_every_identity_is_read_out_alike():
    """Exchanging two identities everywhere exchanges their evidence, with any weights."""
    model = small_model()
    layer = model.propagation.layers[-1]
    torch.manual_seed(0)
    grid, count, identities = (4, 5), 20, 11
    trace_key = torch.randn(1, count, layer.relative_bias.in_features)
    value = torch.randn(1, count, layer.visual_gate.out_features)
    shares = torch.softmax(3 * torch.randn(1, count, identities), -1)
    swapped = shares[..., [0, 2, 1, *range(3, identities)]]
    visual = torch.randn(1, count, layer.visual_norm.normalized_shape[0])

    def read(of: torch.Tensor) -> torch.Tensor:
        memory = LayerMemory(trace_key, torch.cat([value, value, of], -1), grid)
        return layer(visual, visual, grid, 0, lambda *_: (memory, memory)).readout

    plain, exchanged = read(shares), read(swapped)
    assert plain.shape == (1, count, 2, identities)
    torch.testing.assert_close(
        exchanged[..., [0, 2, 1]], plain[..., :3], rtol=0, atol=TOLERANCES["encoder"]
    )
    torch.testing.assert_close(plain.sum(-1), torch.ones(1, count, 2))
    assert (plain[..., 1] - plain[..., 2]).abs().max() > 0.01


def test_only_the_last_layer_reads_out():
    layers = small_model().propagation.layers
    assert [layer.readout for layer in layers] == [0, 0, 11]


def test_without_readout_there_is_no_parameter_of_it():
    network = without_detail(SMALL.vmos)
    plain = VmosModel(dataclasses.replace(network, readout=False))
    names = set(VmosModel(network).state_dict()) - set(plain.state_dict())
    assert names == {"readout.weight"}
    features = plain.encode_image(torch.zeros(1, 3, 33, 33))
    assert isinstance(features, ImageFeatures)
    shares = one_hot(torch.zeros(1, 33, 33, dtype=torch.long), 11).float()
    memory = plain.introduce(features, plain.embed_identity(shares, features))
    propagated = plain.propagate(features, memory, memory)
    assert propagated.readout.shape == (1, 2, 0, 5, 5)
    assert plain.decode(propagated).shape == (1, 11, 9, 9)
