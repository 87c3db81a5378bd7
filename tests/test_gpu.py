"""The whole tracker on a GPU against a CPU, and its faster paths against the plain ones."""

from __future__ import annotations

import copy
import dataclasses
import warnings

import numpy as np
import pytest
import torch

import tracker.vmos.attention_fused as fused
from tests.networks import SMALL, small_model
from tests.test_refiner import BOXES, network_with, texture
from tests.test_session import squares, video
from tests.tolerances import TOLERANCES
from tracker.config import ComputeConfig
from tracker.refiner import MaskRefiner
from tracker.refiner.attention import use_fused_attention
from tracker.vmos.graphs import GraphedVmos
from tracker.vmos.session import VmosSession

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def segmented(device: str, precision: str) -> tuple[list[np.ndarray], list[torch.Tensor]]:
    """Labels and logits of four frames; memory is forced to the labels of the first frame."""
    config = dataclasses.replace(SMALL, compute=ComputeConfig(precision))
    model = small_model().to(device)
    try:
        session = VmosSession(model, config, device)
        frames, labels, logits = video(5), [], []
        session.start(frames[0], squares(3), 3)
        for frame in frames[1:]:
            prediction = session.predict(frame)
            labels.append(prediction.decide().labels)
            logits.append(prediction.logits.float().cpu())
            session.remember(prediction, squares(3))
    finally:
        model.to("cpu")
    return labels, logits


def test_float32_gives_the_labels_of_the_cpu():
    expected, _ = segmented("cpu", "float32")
    found, _ = segmented("cuda", "float32")
    for got, wanted in zip(found, expected, strict=True):
        assert (got == wanted).mean() >= 0.999


def test_cuda_graphs_give_the_labels_of_the_network_without():
    config = dataclasses.replace(SMALL, compute=ComputeConfig("bfloat16"))
    graphed = GraphedVmos(SMALL.vmos)
    graphed.load_state_dict(small_model().state_dict())
    plain = copy.deepcopy(small_model())
    frames = [*video(15), *video(15)[::-1]]
    answers = []
    for model in (graphed, plain):
        session = VmosSession(model.requires_grad_(False).eval().to("cuda"), config, "cuda")
        session.start(frames[0], squares(3), 3)
        answers.append([])
        for frame in frames[1:]:
            prediction = session.predict(frame)
            answers[-1].append(prediction.decide().labels)
            session.remember(prediction, squares(3))
    assert graphed.replaying
    for found, expected in zip(*answers, strict=True):
        assert (found == expected).mean() >= 0.999


def test_a_frame_is_waited_for_once_at_most():
    """As PyTorch itself counts: its warnings of operations that wait for the device."""
    frames = video(8)
    session = VmosSession(copy.deepcopy(small_model()).to("cuda"), SMALL, "cuda")
    session.start(frames[0], squares(12), 12)
    for frame in frames[1:4]:
        session.step(frame)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        for frame in frames[4:]:
            with warnings.catch_warnings(record=True) as found:
                warnings.simplefilter("always")
                session.step(frame)
                session.settle()
            assert sum("synchronizing" in str(one.message) for one in found) <= 1
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ["kernels", "PyTorch's own"])
def test_bfloat16_is_as_close_to_float32_by_fused_attention_as_by_plain(monkeypatch, name):
    _, exact = segmented("cpu", "float32")
    used = []
    suits = fused._suits
    monkeypatch.setattr(fused, "_suits", lambda tensors: used.append(suits(tensors)) or used[-1])
    if name != "kernels":
        monkeypatch.setattr(fused, "_global_kernel", lambda *_: None)
        monkeypatch.setattr(fused, "_local_kernel", lambda *_: None)
    _, found = segmented("cuda", "bfloat16")
    assert used and all(used)
    monkeypatch.setattr(fused, "_suits", lambda tensors: False)
    _, plain = segmented("cuda", "bfloat16")
    for got, ordinary, wanted in zip(found, plain, exact, strict=True):
        error = (got - wanted).norm() / wanted.norm()
        assert error < TOLERANCES["bfloat16_logits"]
        assert error < 1.25 * (ordinary - wanted).norm() / wanted.norm()


def test_a_frame_encoded_beside_other_work_gives_the_same_masks():
    network = network_with("vit_tiny")
    use_fused_attention(network.image_encoder)
    refiner = MaskRefiner(network, "cuda")
    assert refiner.encodes_ahead
    image = texture(120, 160)
    expected = refiner.refine(image, BOXES, with_logits=True)
    code = refiner.encode(image)
    busy = torch.rand(2048, 2048, device="cuda")
    for _ in range(20):
        busy = torch.tanh(busy @ busy)
    found = refiner.refine(code, BOXES, with_logits=True)
    np.testing.assert_array_equal(found.masks, expected.masks)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-3)
