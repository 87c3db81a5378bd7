"""The session on a small network: objects, groups, adding, sizes, interleaving."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from tests.networks import SMALL, small_model
from tracker.vmos.decision import merge_groups
from tracker.vmos.session import VmosSession


def video(length: int, height: int = 97, width: int = 129, seed: int = 0) -> np.ndarray:
    """Smooth random frames [T, H, W, 3] that drift."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (13, 17, 3)).astype(np.uint8)
    big = coarse.repeat(16, 0).repeat(16, 1)
    return np.stack([big[6 * t : 6 * t + height, 7 * t : 7 * t + width] for t in range(length)])


def squares(count: int, height: int = 97, width: int = 129) -> np.ndarray:
    """Label map with `count` separate squares."""
    labels = np.zeros((height, width), np.uint8)
    for number in range(count):
        y, x = divmod(number, 6)
        labels[8 + 22 * y : 24 + 22 * y, 4 + 21 * x : 20 + 21 * x] = number + 1
    return labels


def session() -> VmosSession:
    return VmosSession(small_model(), SMALL, "cpu")


def run(frames: np.ndarray, labels: np.ndarray, count: int) -> list[np.ndarray]:
    one = session()
    one.start(frames[0], labels, count)
    return [one.step(frame).labels for frame in frames[1:]]


def test_the_small_network_gives_labels_that_change():
    """Otherwise the tests below could not fail."""
    answers = run(video(6), squares(3), 3)
    assert set(np.unique(answers)) == {0, 1, 2, 3}
    assert all((a != b).mean() > 0.001 for a, b in itertools.pairwise(answers))


def test_two_sessions_interleaved_on_one_model_equal_two_run_alone():
    first, second = video(6), video(6, seed=1)
    alone = run(first, squares(3), 3), run(second, squares(2), 2)
    a, b = session(), session()
    a.start(first[0], squares(3), 3)
    b.start(second[0], squares(2), 2)
    together = [
        (a.step(f).labels, b.step(g).labels) for f, g in zip(first[1:], second[1:], strict=True)
    ]
    np.testing.assert_array_equal(alone[0], [x for x, _ in together])
    np.testing.assert_array_equal(alone[1], [y for _, y in together])


def test_starting_again_forgets_everything():
    frames = video(4)
    one = session()
    one.start(video(3, seed=5)[0], squares(13), 13)
    one.step(video(3, seed=5)[1])
    one.start(frames[0], squares(2), 2)
    again = [one.step(frame).labels for frame in frames[1:]]
    np.testing.assert_array_equal(again, run(frames, squares(2), 2))


def test_thirteen_objects_share_one_image_encoding_per_frame(monkeypatch):
    calls = []
    encode = type(small_model()).encode_image

    def counted(self, image):
        calls.append(image.shape)
        return encode(self, image)

    monkeypatch.setattr(type(small_model()), "encode_image", counted)
    one = session()
    one.start(video(3)[0], squares(13), 13)
    frame = one.step(video(3)[1])
    assert len(calls) == 2
    assert frame.confidence.shape == (13,)
    assert frame.labels.max() <= 13


def test_objects_that_share_no_memory_are_propagated_as_if_alone():
    frames, own = video(4), dataclasses.replace(SMALL.memory, objects_together=1)
    one = VmosSession(small_model(), dataclasses.replace(SMALL, memory=own), "cpu")
    one.start(frames[0], squares(3), 3)
    alone = [session() for _ in range(3)]
    for number, single in enumerate(alone, start=1):
        single.start(frames[0], (squares(3) == number).astype(np.uint8), 1)
    together = one.predict(frames[1]).group_logits
    assert len(together) == 3
    for logits, single in zip(together, alone, strict=True):
        assert torch.equal(logits, single.predict(frames[1]).group_logits[0])


def test_a_group_takes_as_many_objects_as_the_setting_says():
    pairs = dataclasses.replace(SMALL.memory, objects_together=2)
    one = VmosSession(small_model(), dataclasses.replace(SMALL, memory=pairs), "cpu")
    frames = video(2)
    one.start(frames[0], squares(3), 3)
    one.step_and_add(frames[1], np.where(squares(5) > 3, squares(5) - 3, 0), 2)
    assert [group.objects for group in one._groups] == [[1, 2], [3, 4], [5]]


def test_groups_merge_by_the_rule_of_the_public_code():
    rng = torch.Generator().manual_seed(0)
    groups = [torch.randn(1, n, 2, 2, generator=rng) for n in (11, 4)]
    merged = merge_groups(groups)
    p, q = (torch.softmax(g, 1)[0] for g in groups)
    expected = torch.cat([p[:1] * q[:1], p[1:], q[1:]]).clamp(1e-5, 1 - 1e-5)
    torch.testing.assert_close(merged[0], torch.log(expected / (1 - expected)))


def test_an_object_of_another_group_is_background_inside_a_group():
    one = session()
    one.start(video(1)[0], squares(12), 12)
    labels = one._groups[1].places_of(torch.tensor([[0, 1, 10, 11, 12]]))
    shares = one._groups[1].shares(labels)
    assert shares[0, 0, 0].tolist() == [1, 1, 1, 0, 0]
    assert shares[0, 1, 0].tolist() == [0, 0, 0, 1, 0]
    assert shares[0, 2, 0].tolist() == [0, 0, 0, 0, 1]
    assert shares.shape == (1, 3, 1, 5)


def test_added_objects_start_with_the_masks_given_and_win_over_old_ones():
    frames = video(5)
    one = session()
    one.start(frames[0], squares(2), 2)
    one.step(frames[1])
    new = np.zeros((97, 129), np.uint8)
    new[40:60, 40:60] = 1
    new[70:80, 70:90] = 2
    added = one.step_and_add(frames[2], new, 2)
    assert (added.labels[new == 1] == 3).all() and (added.labels[new == 2] == 4).all()
    assert added.confidence.shape == (4,) and (added.confidence[2:] == 1).all()
    expected = run(frames, squares(2), 2)[1]
    np.testing.assert_array_equal(added.labels[new == 0], expected[new == 0])
    assert one.step(frames[3]).confidence.shape == (4,)
    assert one.count == 4


def test_an_eleventh_object_added_later_opens_a_second_group():
    frames = video(4)
    one = session()
    one.start(frames[0], squares(10), 10)
    new = np.zeros((97, 129), np.uint8)
    new[60:90, 60:110] = 1
    added = one.step_and_add(frames[1], new, 1)
    assert (added.labels[new == 1] == 11).all()
    assert one.step(frames[2]).confidence.shape == (11,)


def test_settling_early_or_late_changes_nothing():
    """Nor does what the caller does with an answer in between."""
    frames = video(6)
    one, other = session(), session()
    for each in (one, other):
        each.start(frames[0], squares(2), 2)
    for number in range(1, 6):
        early = one.step(frames[number])
        one.settle()
        late = other.step(frames[number])
        np.testing.assert_array_equal(early.labels, late.labels)
        np.testing.assert_array_equal(early.confidence, late.confidence)
        early.labels[:], late.labels[:] = 0, 1
    assert one.memory_frames == other.memory_frames


def test_the_reference_and_frames_with_new_objects_stay_in_memory():
    frames = video(12)
    one = session()
    one.start(frames[0], squares(1), 1)
    new = np.zeros((97, 129), np.uint8)
    new[60:90, 60:110] = 1
    for number in range(1, 12):
        if number == 3:
            one.step_and_add(frames[number], new, 1)
        else:
            one.step(frames[number])
    assert one.memory_frames == ((11, 9, 3, 0), 10)


def test_objects_of_later_groups_cost_a_full_group_no_memory():
    """Its references are the frames of its own objects; the others enter it as ordinary frames."""
    frames = video(8)
    one = session()
    one.start(frames[0], squares(10), 10)
    for number in range(1, 8):
        new = np.zeros((97, 129), np.uint8)
        new[8 * number : 8 * number + 6, 4:120] = 1
        added = one.step_and_add(frames[number], new, 1)
        assert (added.labels[new == 1] == 10 + number).all()
    held = [group.long_term.frames for group in one._groups]
    assert held == [(6, 4, 0), (7, 6, 5, 4, 3, 2, 1)]
    assert [group.short_term.frame for group in one._groups] == [6, 7]
    assert one.step(frames[0]).confidence.shape == (17,)


def test_the_frame_size_may_change():
    one = session()
    one.start(video(1)[0], squares(2), 2)
    for height, width in ((97, 129), (65, 81), (129, 97), (50, 200)):
        frame = one.step(video(1, height, width)[0])
        assert frame.labels.shape == (height, width)
        assert np.isfinite(frame.confidence).all()


def test_an_object_that_is_absent_keeps_its_number():
    frames = video(3)
    labels = np.where(squares(3) == 2, 0, squares(3))
    one = session()
    started = one.start(frames[0], labels, 3)
    assert started.confidence.tolist() == [1, 0, 1]
    assert one.step(frames[1]).confidence.shape == (3,)


def test_confidence_is_the_mean_probability_over_the_object():
    frames = video(2)
    one = session()
    one.start(frames[0], squares(2), 2)
    prediction = one.predict(frames[1])
    frame = prediction.decide()
    logits = torch.nn.functional.interpolate(
        prediction.group_logits[0], (97, 129), mode="bilinear", align_corners=True
    )
    probability = torch.softmax(logits[0], 0).numpy()
    for label in (1, 2):
        mask = frame.labels == label
        expected = probability[label][mask].mean() if mask.any() else 0
        assert frame.confidence[label - 1] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("count", [255, 256])
def test_labels_widen_with_the_number_of_objects(count):
    labels = np.zeros((49, 65), np.uint16)
    labels[::3, ::3].flat[:count] = np.arange(1, count + 1)
    assert labels.max() == count
    one = session()
    one.start(video(1, 49, 65)[0], labels, count)
    found = one.step(video(2, 49, 65)[1])
    assert found.labels.dtype == (np.uint8 if count == 255 else np.uint16)
    assert found.confidence.shape == (count,)


def test_a_frame_that_lacks_an_object_waits_for_a_complete_one():
    memory = dataclasses.replace(SMALL.memory, interval=2, incomplete="skip")
    skipping = VmosSession(small_model(), dataclasses.replace(SMALL, memory=memory), "cpu")
    frames = video(6)
    skipping.start(frames[0], squares(3), 3)
    present = {1: 3, 2: 2, 3: 3, 4: 3, 5: 2}  # objects with pixels: the last one comes and goes
    for number, count in present.items():
        skipping.remember(skipping.predict(frames[number]), squares(count))
    assert skipping.memory_frames[0] == (3, 0)
