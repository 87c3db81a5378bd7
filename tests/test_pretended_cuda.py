"""The tracker on a CUDA device that is pretended: every tensor in its place, one wait a frame."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from tests.networks import SMALL, small_model
from tests.pretended_cuda import pretended_cuda
from tests.test_bundled import scene
from tests.test_refiner import BOXES, CheapEncoder, network_with, texture
from tests.test_session import squares, video
from tracker.config import ComputeConfig
from tracker.pipeline import HQTracker
from tracker.prompts import BoxPrompt, PointPrompt
from tracker.refiner import MaskRefiner
from tracker.refiner.attention import use_fused_attention
from tracker.vmos import internimage
from tracker.vmos.decision import decide
from tracker.vmos.session import VmosFrame, VmosSession

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real one")

FLOAT32 = dataclasses.replace(SMALL, compute=ComputeConfig("float32"))


def test_devices_do_not_mix():
    with pretended_cuda():
        there = torch.ones(3, device="cuda")
        assert (there + 1).device == torch.device("cuda:0")
        assert (there * torch.tensor(2.0)).sum().item() == 6
        with pytest.raises(RuntimeError, match=r"same device, found cuda:0 and cpu \(3,\)"):
            there + torch.ones(3)


def test_a_copy_is_there_when_it_was_waited_for():
    with pretended_cuda() as device:
        coming = torch.ones(3, device="cuda").to("cpu", non_blocking=True)
        assert device.waits == []
        assert coming.tolist() != [1, 1, 1]
        torch.cuda.current_stream().synchronize()
        assert coming.tolist() == [1, 1, 1]
        assert len(device.waits) == 1


@pytest.mark.parametrize(
    "action",
    [
        lambda t: t.cpu(),
        lambda t: t.sum().item(),
        lambda t: bool(t.any()),
        lambda t: t[t > 0],
        lambda t: t[[0, 2]],
        lambda t: t + torch.ones(3).to("cuda"),
        lambda t: torch.bincount(t.long()),
    ],
)
def test_waits_are_counted(action):
    with pretended_cuda() as device:
        there = torch.ones(3, device="cuda")
        action(there)
        assert len(device.waits) == 1


def whole_life(device: str) -> list[VmosFrame]:
    """Twelve objects (two groups), added and removed ones, and a state that is saved on the way."""
    model = copy.deepcopy(small_model()).to(device)
    session, frames = VmosSession(model, FLOAT32, device), video(9)
    session.start(frames[0], squares(9), 9)
    answers = [session.step(frame) for frame in frames[1:4]]
    answers.append(session.step_and_add(frames[4], squares(3), 3))
    answers.append(session.step(frames[5]))
    session.remove([2])
    answers.append(session.step(frames[6]))
    other = VmosSession(model, FLOAT32, device)
    tensors, record = session.pack()
    other.restore({name: tensor.cpu() for name, tensor in tensors.items()}, record)
    return [*answers, *(other.step(frame) for frame in frames[7:])]


def test_a_session_gives_there_what_it_gives_on_the_cpu():
    expected = whole_life("cpu")
    with pretended_cuda():
        found = whole_life("cuda")
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-5)


def test_a_frame_is_waited_for_once_whatever_its_groups_and_memory():
    frames = video(8)
    with pretended_cuda() as device:
        session = VmosSession(copy.deepcopy(small_model()).to("cuda"), FLOAT32, "cuda")
        session.start(frames[0], squares(12), 12)
        for frame in frames[1:]:
            device.waits.clear()
            session.step(frame)
            session.settle()
            assert [wait.split(":")[:2] for wait in device.waits] == [["synchronize", " device.py"]]


@pytest.mark.parametrize("objects", [1, 12, 300])
def test_what_is_decided_there_is_what_is_decided_here(objects):
    logits = 3 * torch.randn(1, objects + 1, 20, 33, generator=torch.Generator().manual_seed(0))
    labels, confidence = decide([logits], (31, 40))
    with pretended_cuda():
        found, sure = decide([logits.to("cuda")], (31, 40))
    np.testing.assert_array_equal(found, labels)
    assert found.dtype == labels.dtype
    np.testing.assert_allclose(sure, confidence, rtol=1e-5)


def refined_life(device: str, waits: list[str]) -> list[np.ndarray]:
    model = copy.deepcopy(small_model()).to(device)
    network = network_with("vit_tiny")
    network._modules["image_encoder"] = CheapEncoder()
    refiner = MaskRefiner(network, device, torch.float32)
    tracker = HQTracker(lambda: VmosSession(model, FLOAT32, device), refiner, FLOAT32, "random")
    frames, labels = video(4), squares(4)
    tracker.initialize(frames[0], [labels == n for n in range(1, 5)])
    answers = []
    for frame in frames[1:]:
        waits.clear()
        answers.append(tracker.track(frame).labels)
        tracker.settle()
    return answers


def test_a_refined_frame_is_waited_for_twice_by_us_and_once_by_the_package():
    """HQ-SAM's decoder picks the best of three masks by an index that it makes on the CPU."""
    expected = refined_life("cpu", [])
    with pretended_cuda() as device:
        found = refined_life("cuda", device.waits)
    kinds = [wait.split(":")[0] for wait in device.waits]
    assert kinds == ["synchronize", "an index of the CPU", "synchronize"]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_bundled_tracker_finds_there_what_it_finds_on_the_cpu():
    answers = []
    for device in ("cpu", "cuda"):
        place = pretended_cuda() if device == "cuda" else torch.inference_mode()
        with place:
            tracker = HQTracker.from_preset(
                "hqtrack-lite", device=device, compute__precision="float32"
            )
            tracker.initialize(*scene(0))
            answers.append([tracker.track(scene(4 * t)[0]) for t in range(1, 4)])
    for found, expected in zip(*answers, strict=True):
        assert expected.present.all()
        assert (found.labels == expected.labels).mean() > 0.9999
        np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-4)


def test_the_big_encoder_goes_there_without_its_kernel():
    image = torch.rand(1, 3, 65, 81)
    network = internimage.InternImage().eval().requires_grad_(False)
    expected = [features.detach() for features in network(image)]
    with pretended_cuda():
        found = network.to("cuda")(image.to("cuda"))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one.cpu(), other, atol=1e-4, rtol=1e-4)


def test_prompts_and_logits_come_from_there():
    network, image = network_with("vit_tiny"), texture(120, 160)
    network._modules["image_encoder"] = CheapEncoder()
    expected = MaskRefiner(network).refine(image, BOXES, with_logits=True)
    with pretended_cuda():
        found = MaskRefiner(network, "cuda", torch.float32).refine(image, BOXES, with_logits=True)
    np.testing.assert_array_equal(found.masks, expected.masks)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


def test_encoding_ahead_waits_for_nothing_and_prompts_are_decoded():
    network, image = network_with("vit_tiny"), texture(120, 160)
    use_fused_attention(network.image_encoder)
    expected = MaskRefiner(network).refine(image, BOXES)
    with pretended_cuda() as device:
        refiner = MaskRefiner(network, "cuda", torch.float32)
        device.waits.clear()
        code = refiner.encode(image)
        assert device.waits == []
        found = refiner.refine(code, BOXES)
        prompts = [BoxPrompt(*BOXES[0, :2], 51, 61), PointPrompt(((20.0, 20.0),), ((50.0, 50.0),))]
        marked = refiner.segment(image, prompts)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
    assert (found.masks == expected.masks).mean() > 0.999
    assert (marked.masks[0] == expected.masks[0]).mean() > 0.999
    assert marked.masks[1].shape == image.shape[:2]
