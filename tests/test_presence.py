"""When an object counts as absent: less sure, and smaller, than is usual for it."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.presence import PACE, Presence, Usual


def picture(*sides: int) -> np.ndarray:
    """Labels [40, 100]: object n + 1 is a square of sides[n] pixels, 20 columns for each."""
    labels = np.zeros((40, 100), np.uint8)
    for number, side in enumerate(sides):
        labels[:side, 20 * number : 20 * number + side] = number + 1
    return labels


def sure(*confidence: float) -> np.ndarray:
    return np.array(confidence, np.float32)


def presence_of(threshold: float, *sides: int, usually: float = 1.0) -> Presence:
    """Knows squares of these sides, which the segmenter is usually this sure of."""
    area = [side * side / 4000 for side in sides]
    return Presence(threshold, Usual(area, [usually] * len(sides)))


@pytest.mark.parametrize(
    ("side", "confidence", "absent"),
    [
        (16, 0.41, False),  # .8 is usual: .41 is more than half of it
        (16, 0.39, True),
        (20, 0.39, True),  # growing makes nothing more certain
        (8, 0.89, True),  # nor does certainty make anything larger: 8 of 16 pixels, a hair below
        (1, 0.91, False),  # but what the segmenter is certain of is there
        (10, 0.65, False),  # .625 of the length, .8125 of the confidence: .508
        (10, 0.63, True),
        (0, 0.0, True),
    ],
)
def test_an_object_is_compared_with_what_is_usual_for_it(side, confidence, absent):
    presence = presence_of(0.501, 16, usually=0.8)
    assert presence.absent(picture(side), sure(confidence)).tolist() == [absent]


def test_an_object_that_is_never_sure_is_not_absent():
    """As a thin one: half of the confidence of another, from the first frame on."""
    presence = Presence(0.6)
    presence.begin(picture(16, 16), 2)
    for _ in range(5):
        assert not presence.absent(picture(16, 16), sure(0.9, 0.45)).any()
    assert presence.absent(picture(16, 16), sure(0.45, 0.45)).tolist() == [True, False]


def test_objects_are_decided_one_by_one():
    presence = presence_of(0.5, 16, 16, 16)
    found = presence.absent(picture(16, 4, 16), sure(0.9, 0.8, 0.3))
    assert found.tolist() == [False, True, True]


def test_without_a_limit_nothing_is_absent():
    presence = presence_of(0.0, 16, 16)
    assert not presence.absent(picture(1, 0), sure(0.01, 0.0)).any()


def test_what_is_usual_follows_slowly_and_only_what_is_present():
    presence = presence_of(0.5, 16)
    presence.absent(picture(12), sure(0.9))
    expected = (256 + PACE * (144 - 256)) / 4000
    assert presence.usual.area == pytest.approx([expected])
    assert presence.usual.confidence == pytest.approx([1 - PACE * 0.1])
    presence.absent(picture(2), sure(0.8))
    assert presence.usual.area == pytest.approx([expected])
    assert presence.usual.confidence == pytest.approx([1 - PACE * 0.1])


def test_an_object_may_shrink_on_its_way():
    """From 20 pixels to 4 by 1 in every sixteen frames; at once, that would be absence."""
    presence = presence_of(0.45, 20)
    for side in range(20, 3, -1):
        for _ in range(16):
            assert not presence.absent(picture(side), sure(0.8)).any()
    assert presence_of(0.45, 20).absent(picture(4), sure(0.8)).all()


def test_new_objects_join_and_one_that_was_hidden_is_measured_when_it_shows():
    presence = presence_of(0.5, 16)
    presence.begin(picture(12, 8, 0), 3)
    assert presence.usual.area == pytest.approx([256 / 4000, 64 / 4000, 0])
    assert presence.usual.confidence == pytest.approx([1, 0, 0])
    assert presence.absent(picture(16, 8, 0), sure(0.9, 0.9, 0)).tolist() == [False] * 3
    assert presence.usual.confidence == pytest.approx([1 - PACE * 0.1, 0.9, 0])
    assert presence.absent(picture(16, 8, 6), sure(0.9, 0.9, 0.7)).tolist() == [False] * 3
    assert presence.usual.area[2] == pytest.approx(36 / 4000)
    assert presence.usual.confidence[2] == pytest.approx(0.7)


def test_what_is_usual_does_not_depend_on_the_size_of_the_frame():
    presence = presence_of(0.5, 16)
    larger = picture(16).repeat(3, axis=0).repeat(3, axis=1)
    assert not presence.absent(larger, sure(0.51)).any()
    assert presence.usual.area == pytest.approx([256 / 4000])


def test_it_goes_on_from_what_was_usual():
    first = presence_of(0.5, 16, 9)
    first.absent(picture(12, 9), sure(0.9, 0.9))
    again = Presence(0.5, first.usual)
    answer = picture(8, 5), sure(0.7, 0.8)
    assert again.absent(*answer).tolist() == first.absent(*answer).tolist()
    assert again.usual == first.usual
