"""`HQTracker.stream`: frames as they come, objects that come and go, NumPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests import lite_tracker
from tests.test_pipeline import SHAPE, PaintedSession, frame, rectangle
from tracker.config import preset
from tracker.frames import FrameError
from tracker.labels import MaskError
from tracker.pipeline import HQTracker
from tracker.prompts import BoxPrompt, PolygonPrompt
from tracker.streaming import StreamError

LEFT, RIGHT = rectangle(2, 2, 8, 8), rectangle(10, 20, 15, 27)


class Removing(PaintedSession):
    def remove(self, objects: list[int]) -> None:
        self.gone = objects

    def _answer(self, labels: np.ndarray):
        answer = super()._answer(labels)
        answer.labels[np.isin(answer.labels, getattr(self, "gone", []))] = 0
        return answer


def tracker() -> HQTracker:
    return HQTracker(Removing, None, preset("hqtrack"), "none")


def test_results_are_those_of_the_calls_one_by_one():
    frames = [frame(LEFT), frame(LEFT), frame(RIGHT)]
    one = tracker()
    expected = [one.initialize(frames[0], [LEFT]), *(one.track(f) for f in frames[1:])]
    results = list(tracker().stream(iter(frames), [LEFT]))
    assert [result.number for result in results] == [0, 1, 2]
    for result, same in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result.labels, same.labels)
        np.testing.assert_array_equal(result.masks, same.masks)
        assert result.confidence.tolist() == same.confidence.tolist()
        assert result.present.tolist() == [True] and result.count == 1


def test_frames_are_taken_one_at_a_time():
    taken = []

    def frames():
        for number in range(5):
            taken.append(number)
            yield frame(LEFT)

    stream = tracker().stream(frames(), [LEFT])
    for result in stream:
        assert taken == list(range(result.number + 1))


def test_objects_start_in_the_frames_that_are_named():
    frames = np.stack([frame(), frame(), frame(LEFT), frame(LEFT, RIGHT)])
    results = list(tracker().stream(frames, {1: [LEFT], 3: [RIGHT]}))
    assert [result.count for result in results] == [0, 1, 1, 2]
    assert not results[0].labels.any() and results[0].masks.shape == (0, *SHAPE)
    np.testing.assert_array_equal(results[1].masks[0], LEFT)
    np.testing.assert_array_equal(results[3].masks[1], RIGHT)


def test_objects_are_added_and_removed_on_the_way():
    one = tracker()
    stream = one.stream([frame(LEFT)] * 2 + [frame(LEFT, RIGHT)] * 3, [LEFT])
    seen = []
    for result in stream:
        seen.append(result.present.tolist())
        if result.number == 1:
            stream.add([PolygonPrompt(((20, 10), (28, 10), (28, 16), (20, 16)))])
        if result.number == 2:
            assert result.masks[1][RIGHT].all() and result.masks[1].sum() < 80
            stream.remove([1])
    assert seen == [[True], [True], [True, True], [False, True], [False, True]]
    assert one.objects == (2,)


def test_tensors_come_in_and_go_out():
    image = frame(LEFT)
    as_tensor = torch.from_numpy(image).permute(2, 0, 1)
    for given in (as_tensor, as_tensor / 255):
        results = list(tracker().stream([given] * 2, [torch.from_numpy(LEFT)]))
        assert isinstance(results[1].labels, torch.Tensor)
        assert (results[1].labels.dtype, results[1].masks.dtype) == (torch.uint8, torch.bool)
        np.testing.assert_array_equal(results[1].masks[0].numpy(), LEFT)
    (result,) = tracker().stream([as_tensor], [LEFT], output="numpy")
    assert isinstance(result.masks, np.ndarray)
    (result,) = tracker().stream([image], [LEFT], output="torch")
    assert isinstance(result.confidence, torch.Tensor) and result.present.tolist() == [True]


def test_a_frame_with_a_gradient_is_taken_without_a_warning(recwarn):
    given = torch.rand(3, *LEFT.shape, requires_grad=True)
    (result,) = tracker().stream([given], [LEFT], output="numpy")
    np.testing.assert_array_equal(result.masks[0], LEFT)
    assert [str(one.message) for one in recwarn] == []


def test_more_than_255_objects_as_tensors():
    masks = [rectangle(i // 30, i % 30, i // 30, i % 30) for i in range(260)]
    (result,) = tracker().stream([frame()], masks, output="torch")
    assert result.labels.dtype == torch.int32 and int(result.labels.max()) == 260


def test_tensors_that_are_no_frames_are_refused():
    cases = [
        (torch.zeros(20, 30, 3, dtype=torch.uint8), r"not \(20, 30, 3\).*permute"),
        (torch.full((3, 20, 30), 200.0), "from 0 to 1, not from 200 to 200"),
        (torch.full((3, 20, 30), torch.nan), "from 0 to 1"),
    ]
    for given, message in cases:
        with pytest.raises(FrameError, match=message):
            next(tracker().stream([given], [LEFT]))
    with pytest.raises(ValueError, match="output is 'jax'"):
        tracker().stream([], [LEFT], output="jax")


def test_a_stream_ends_when_its_tracker_is_given_another_video():
    frames = [frame(LEFT)] * 4
    one = tracker()
    first = one.stream(frames, [LEFT])
    next(first)
    second = one.stream(frames, {1: [LEFT]})
    assert next(second).count == 0
    with pytest.raises(StreamError, match=r"after 1 frames of this stream.*of its own"):
        next(first)
    with pytest.raises(StreamError):
        first.remove([1])
    assert [result.count for result in second] == [1, 1, 1]
    third = one.stream(frames, [LEFT])
    next(third)
    one.reset()
    with pytest.raises(StreamError):
        next(third)


@pytest.mark.parametrize("number", [-1, "0", 1.5])
def test_a_start_in_no_frame_is_refused(number):
    with pytest.raises(ValueError, match=f"start in frame {number!r}"):
        tracker().stream([frame(LEFT)], {number: [LEFT]})


@pytest.mark.parametrize("objects", [LEFT, torch.from_numpy(LEFT), BoxPrompt(1, 1, 4, 4), None])
def test_objects_that_are_no_list_are_refused_at_once(objects):
    stream = tracker().stream([frame(LEFT)] * 2, [LEFT])
    next(stream)
    told = r"as a list of masks and prompts, one each, not as .*; write \[...\] around it"
    for call in (
        lambda: tracker().stream([], objects),
        lambda: tracker().stream([], {3: objects}),
        lambda: stream.add(objects),
    ):
        with pytest.raises(MaskError, match=told):
            call()
    assert next(stream).present.tolist() == [True]


def test_a_start_that_never_came_is_told(caplog):
    assert len(list(tracker().stream([frame(LEFT)] * 3, {0: [LEFT], 30: [RIGHT]}))) == 3
    assert "the frames ended after 3; the objects of frame 30 did not start" in caplog.text


def test_objects_of_a_frame_that_is_refused_start_in_the_next():
    stream = tracker().stream([frame(LEFT), frame()[:, :, 0] / 255, frame(LEFT, RIGHT)], [LEFT])
    next(stream)
    stream.add([RIGHT])
    with pytest.raises(FrameError):
        next(stream)
    result = next(stream)
    assert result.number == 2 and result.present.tolist() == [True, True]


def test_a_removal_is_checked_at_once():
    stream = tracker().stream([frame(LEFT)] * 3, [LEFT])
    next(stream)
    with pytest.raises(MaskError, match="cannot remove 7"):
        stream.remove([7])
    stream.remove([1])
    assert next(stream).present.tolist() == [False]


def test_half_precision_masks_and_frames_without_pixels() -> None:
    frame, mask = torch.rand(3, 24, 32).bfloat16(), torch.zeros(24, 32, dtype=torch.bfloat16)
    mask[4:12, 6:20] = 1
    result = next(lite_tracker.make().stream([frame], [mask]))
    assert torch.equal(result.masks[0], mask > 0)
    with pytest.raises(FrameError, match=r"at least one pixel, not \(0, 32, 3\)"):
        next(lite_tracker.make().stream([torch.zeros(3, 0, 32)], [mask]))
