"""Objects that are removed: numbers, freed pixels, what is remembered, bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from tests.test_session import session, squares, video
from tracker import HQTracker, MaskError
from tracker.pipeline import NotInitializedError


def test_the_others_keep_their_numbers_and_a_removed_one_stays_out():
    frames = video(6)
    one = session()
    one.start(frames[0], squares(3), 3)
    one.step(frames[1])
    one.remove([2])
    assert one.objects == (1, 3) and one.count == 3
    answers = [one.step(frame) for frame in frames[2:5]]
    assert set(np.unique([a.labels for a in answers])) == {0, 1, 3}
    assert all(a.confidence.shape == (3,) and a.confidence[1] == 0 for a in answers)
    added = one.step_and_add(frames[5], (squares(6) == 6).astype(np.uint8), 1)
    assert (added.labels[squares(6) == 6] == 4).all() and one.objects == (1, 3, 4)


def test_what_is_remembered_of_it_becomes_background():
    """The memory equals that of a session to which the object was never given, all layers.

    (On the reference frame; later frames were seen through the object.)
    """
    frames = video(1)
    with_it, without = session(), session()
    with_it.start(frames[0], squares(3), 3)
    with_it.remove([3])
    without.start(frames[0], squares(2), 2)
    first = with_it._groups[0].long_term.bank[0]
    expected = without._groups[0].long_term.bank[0]
    np.testing.assert_allclose(first.value, expected.value, atol=1e-5)
    np.testing.assert_array_equal(with_it._groups[0].places[0], without._groups[0].places[0])


def test_a_group_without_objects_is_dropped_and_a_new_one_opened():
    frames = video(5)
    one = session()
    one.start(frames[0], squares(12), 12)
    one.remove(range(1, 11))
    assert [group.objects for group in one._groups] == [[11, 12]]
    assert set(np.unique(one.step(frames[1]).labels)) <= {0, 11, 12}
    one.remove([11, 12])
    empty = one.step(frames[2])
    assert not empty.labels.any() and empty.confidence.tolist() == [0] * 12
    added = one.step_and_add(frames[3], (squares(1) > 0).astype(np.uint8), 1)
    assert (added.labels[squares(1) > 0] == 13).all()
    assert one.step(frames[4]).confidence.shape == (13,)


def test_memory_stays_bounded_while_objects_come_and_go():
    frames = video(4, 49, 65)
    one = session()
    one.start(frames[0], squares(1, 49, 65), 1)
    new = (squares(2, 49, 65) == 2).astype(np.uint8)
    held = []
    for turn in range(11):
        one.step_and_add(frames[turn % 4], new, 1)
        one.step(frames[(turn + 1) % 4])
        one.remove([turn + 2])
        held.append(sum(len(group.long_term.frames) for group in one._groups))
        assert all(set(g.places) >= set(g.long_term.frames) for g in one._groups)
    assert one.count == 12 and one.objects == (1,) and len(one._groups) == 1
    assert max(held) <= 3, "one reference and the two newest"


def test_references_of_objects_that_are_left_stay():
    frames = video(4)
    one = session()
    one.start(frames[0], squares(1), 1)
    for number in (2, 3):
        one.step_and_add(frames[number - 1], (squares(number) == number).astype(np.uint8), 1)
    one.remove([1, 2])
    assert one.memory_frames[0] == (2,)


@pytest.fixture(scope="module")
def tracker() -> HQTracker:
    return HQTracker.from_preset("hqtrack-lite", device="cpu", frame__min_pixels=57_000)


def scene(shift: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """A red disc that passes before a blue one, over stripes; their masks."""
    rows, columns = np.mgrid[:180, :320]
    image = np.zeros((180, 320, 3), np.uint8)
    image[...] = (90 + 40 * np.sin(columns / 9 + rows / 15))[..., None].astype(np.uint8)
    blue = (rows - 90) ** 2 + (columns - 200) ** 2 < 36**2
    red = (rows - 80) ** 2 + (columns - 80 - shift) ** 2 < 28**2
    image[blue], image[red] = (30, 60, 220), (210, 40, 30)
    return image, [red, blue & ~red]


def test_the_pixels_of_a_removed_object_are_free(tracker):
    """Nothing of it goes to the object that is left: as if it had never been given."""
    tracker.initialize(*scene(0))
    for shift in (4, 8, 12):
        before = tracker.track(scene(shift)[0])
    assert before.present.tolist() == [True, True]
    tracker.remove_objects([1])
    assert tracker.objects == (2,) and tracker.count == 2
    for shift in range(16, 41, 8):
        image, (red, blue) = scene(shift)
        after = tracker.track(image)
        assert after.present.tolist() == [False, True] and after.confidence[0] == 0
        assert (after.masks[1] & red).sum() < 0.03 * red.sum()
        assert (after.masks[1] & blue).sum() > 0.85 * blue.sum()


def test_numbers_that_are_not_tracked_are_named(tracker):
    tracker.reset()
    with pytest.raises(NotInitializedError):
        tracker.remove_objects([1])
    tracker.initialize(*scene(0))
    tracker.remove_objects([2])
    for numbers, named in (([2], "2"), ([1, 3], "3"), ([0], "0")):
        with pytest.raises(MaskError, match=f"cannot remove {named}: .*tracked are 1"):
            tracker.remove_objects(numbers)
    assert tracker.objects == (1,)
    tracker.remove_objects([1])
    assert not tracker.track(scene(4)[0]).labels.any()
    assert tracker.add_objects(*scene(8)).present.tolist() == [False, False, True, True]
