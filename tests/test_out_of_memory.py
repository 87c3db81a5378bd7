"""Models that run out of memory: which steps follow, and what the user is told."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tracker import FrameResult, HQTracker, build
from tracker.config import preset
from tracker.out_of_memory import (
    REMEDY,
    OutOfMemoryError,
    RefinerWithinMemory,
    SessionWithinMemory,
    is_out_of_memory,
)
from tracker.overrides import read_overrides
from tracker.prompts import BoxPrompt

IMAGE = np.full((40, 60, 3), 90, np.uint8)


class Refiner:
    """Fills the boxes; has memory for `most` of them, and ahead of the segmenter for none."""

    encodes_ahead = False

    def __init__(self, most: int) -> None:
        self.most = most
        self.calls: list[int] = []

    def encode(self, image: np.ndarray) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def refine(self, image: np.ndarray, boxes: np.ndarray) -> SimpleNamespace:
        self.calls.append(len(boxes))
        if len(boxes) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\ndetails")
        masks = np.zeros((len(boxes), *image.shape[:2]), bool)
        for mask, (left, top, right, bottom) in zip(masks, boxes.astype(int), strict=True):
            mask[top : bottom + 1, left : right + 1] = True
        return SimpleNamespace(masks=masks)

    def segment(self, image: np.ndarray, prompts: Sequence[BoxPrompt]) -> SimpleNamespace:
        return self.refine(image, np.array([prompt.corners for prompt in prompts]))


class Segmenter:
    """Answers the labels it was given; `fail` says in which calls memory runs out."""

    def __init__(self, *fail: int) -> None:
        self.fail = fail
        self.calls = 0

    def start(self, image: np.ndarray, labels: np.ndarray, count: int) -> FrameResult:
        self.calls += 1
        if self.calls in self.fail:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB\ndetails")
        self.labels, self.count = labels, count
        return FrameResult(labels, np.ones(count, np.float32), np.zeros(count, bool))

    def step(self, image: np.ndarray) -> FrameResult:
        return self.start(image, self.labels, self.count)

    def step_and_add(self, image: np.ndarray, labels: np.ndarray, count: int) -> FrameResult:
        return self.start(image, labels, count)


def boxes(count: int) -> np.ndarray:
    return np.array([[3 * i, 5, 3 * i + 2, 9] for i in range(count)])


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: device-side assert"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_which_errors_are_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


def test_with_enough_memory_nothing_is_different() -> None:
    inner = Refiner(most=99)
    masks = RefinerWithinMemory(inner).refine(IMAGE, boxes(8)).masks
    assert inner.calls == [8]
    assert np.array_equal(masks, Refiner(99).refine(IMAGE, boxes(8)).masks)
    assert RefinerWithinMemory(inner).refine(IMAGE, boxes(0)).masks.shape == (0, 40, 60)


def test_the_first_step_is_smaller_groups_with_the_same_masks(caplog) -> None:
    inner = Refiner(most=2)
    refiner = RefinerWithinMemory(inner)
    expected = Refiner(99).refine(IMAGE, boxes(8)).masks
    assert np.array_equal(refiner.refine(IMAGE, boxes(8)).masks, expected)
    assert inner.calls == [8, 4, 2, 2, 2, 2]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "no memory to refine 4 objects at once: 2 from now on" in caplog.text
    inner.calls.clear()
    assert np.array_equal(refiner.refine(IMAGE, boxes(8)).masks, expected)
    assert inner.calls == [2, 2, 2, 2], "what did not fit is not tried again"


def test_the_second_step_is_a_frame_without_the_refiner(caplog) -> None:
    inner = Refiner(most=0)
    refiner = RefinerWithinMemory(inner)
    assert not refiner.refine(IMAGE, boxes(3)).masks.any()
    assert inner.calls == [3, 1]
    assert "it goes without" in caplog.text and "refiner__model=vit_b" in caplog.text
    inner.most = 99
    assert refiner.refine(IMAGE, boxes(3)).masks.any(axis=(1, 2)).all()


def test_a_frame_that_cannot_be_encoded_ahead_is_encoded_later() -> None:
    inner = Refiner(most=9)
    inner.encodes_ahead = True
    refiner = RefinerWithinMemory(inner)
    assert refiner.encodes_ahead
    masks = refiner.refine(refiner.encode(IMAGE), boxes(3)).masks
    assert np.array_equal(masks, inner.refine(IMAGE, boxes(3)).masks)


def test_the_code_of_a_frame_is_handed_on_and_used_for_every_group() -> None:
    inner, codes = Refiner(most=1), []
    inner.encode = lambda image: "code"
    plain = inner.refine
    inner.refine = lambda code, boxes: (codes.append(code), plain(IMAGE, boxes))[1]
    refiner = RefinerWithinMemory(inner)
    assert refiner.refine(refiner.encode(IMAGE), boxes(2)).masks.any(axis=(1, 2)).all()
    assert codes == ["code"] * 3


def test_other_errors_of_the_refiner_stay_what_they_are() -> None:
    inner = Refiner(most=9)
    with pytest.raises(ValueError, match="shape"):
        inner.refine = lambda image, boxes: (_ for _ in ()).throw(ValueError("shape"))
        RefinerWithinMemory(inner).refine(IMAGE, boxes(1))


def test_starting_is_tried_again(caplog) -> None:
    inner = Segmenter(1)
    labels = np.ones((40, 60), np.uint8)
    assert SessionWithinMemory(inner).start(IMAGE, labels, 1).labels is labels
    assert inner.calls == 2
    assert "tried again" in caplog.text


@pytest.mark.parametrize("call", ["start", "step", "step_and_add"])
def test_without_memory_for_the_segmenter_the_remedy_is_named(call: str) -> None:
    labels = np.ones((40, 60), np.uint8)
    inner = Segmenter(1, 2) if call == "start" else Segmenter(2)
    session = SessionWithinMemory(inner)
    with pytest.raises(OutOfMemoryError) as caught:
        session.start(IMAGE, labels, 1)
        session.step(IMAGE) if call == "step" else session.step_and_add(IMAGE, labels, 1)
    text = str(caught.value)
    assert "60 x 40 pixels (CUDA out of memory. Tried to allocate 9 GiB)" in text
    for remedy in ("HQTRACK_DEVICE=cpu", "frame__max_long_edge", "memory__capacity"):
        assert remedy in text
    assert "CUDA error" not in text, "the resident server stays: its device is not lost"


def test_the_remedies_are_settings_as_the_commands_take_them() -> None:
    asked = re.findall(r"--set (\w+=\w+)", REMEDY)
    config = preset("hqtrack", **read_overrides(asked))
    assert (config.frame.max_long_edge, config.memory.capacity) == (720, 3)
    assert config.refiner.model == "vit_b"
    assert "refiner__model=vit_b, or None" in REMEDY
    assert preset("hqtrack", **read_overrides(["refiner__model=None"])).refiner.model is None


@pytest.mark.parametrize("part", ["segmenter", "refiner"])
def test_without_memory_to_load_the_remedy_is_named(part: str, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB\ndetails")

    maker = {"segmenter": "_session_maker", "refiner": "_refiner"}[part]
    monkeypatch.setattr(build, maker, full)
    with pytest.raises(OutOfMemoryError) as caught:
        HQTracker.from_preset("hqtrack-lite", device="cpu")
    assert str(caught.value) == (
        f"the device has no memory left for the {part} "
        f"(CUDA out of memory. Tried to allocate 3 GiB); {REMEDY}"
    )


def test_the_tracker_goes_on_with_the_segmenters_masks() -> None:
    segmenter, refiner = Segmenter(), Refiner(most=0)
    tracker = HQTracker(
        lambda: SessionWithinMemory(segmenter), RefinerWithinMemory(refiner), preset("hqtrack"), ""
    )
    mask = np.zeros((40, 60), bool)
    mask[5:20, 7:30] = True
    tracker.initialize(IMAGE, [mask])
    result = tracker.track(IMAGE)
    assert np.array_equal(result.masks[0], mask)
    assert not result.refined.any()
    refiner.most = 1
    assert tracker.track(IMAGE).refined.all()


def test_prompts_fall_back_when_there_is_no_memory() -> None:
    tracker = HQTracker(Segmenter, RefinerWithinMemory(Refiner(most=0)), preset("hqtrack"), "")
    [mask] = tracker.masks_of(IMAGE, [BoxPrompt(10, 10, 20, 12)])
    assert mask.any()


def test_every_tracker_from_a_preset_is_guarded() -> None:
    tracker = HQTracker.from_preset("hqtrack-lite", device="cpu", frame__min_pixels=None)
    mask = np.zeros((40, 60), bool)
    mask[5:20, 7:30] = True
    tracker.initialize(IMAGE, [mask])
    assert isinstance(tracker._session, SessionWithinMemory)
