"""When an object counts as absent: unsure, and smaller than it used to be."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.presence import PACE, Presence


def picture(*sides: int) -> np.ndarray:
    """Labels [40, 100]: object n + 1 is a square of sides[n] pixels, 20 columns for each."""
    labels = np.zeros((40, 100), np.uint8)
    for number, side in enumerate(sides):
        labels[:side, 20 * number : 20 * number + side] = number + 1
    return labels


def presence_of(least: float, *sides: int) -> Presence:
    presence = Presence(least)
    presence.begin(picture(*sides), len(sides))
    return presence


@pytest.mark.parametrize(
    ("side", "confidence", "absent"),
    [
        (16, 0.51, False),
        (16, 0.49, True),
        (20, 0.49, True),  # growing makes nothing more certain
        (10, 0.81, False),  # 10 of 16 pixels long: .625 of .81 is .506
        (10, 0.79, True),
        (0, 1.0, True),
    ],
)
def test_confidence_counts_less_for_an_object_that_is_smaller_than_usual(side, confidence, absent):
    presence = presence_of(0.5, 16)
    assert presence.absent(picture(side), np.array([confidence], np.float32)).tolist() == [absent]


def test_objects_are_decided_one_by_one():
    presence = presence_of(0.5, 16, 16, 16)
    found = presence.absent(picture(16, 4, 16), np.array([0.9, 0.9, 0.3], np.float32))
    assert found.tolist() == [False, True, True]


def test_without_a_limit_nothing_is_absent():
    presence = presence_of(0.0, 16, 16)
    assert not presence.absent(picture(1, 0), np.array([0.01, 0.0], np.float32)).any()


def test_the_usual_area_follows_slowly_and_only_what_is_present():
    presence = presence_of(0.5, 16)
    presence.absent(picture(12), np.array([0.9], np.float32))
    expected = (256 + PACE * (144 - 256)) / 4000
    assert presence.usual == pytest.approx([expected])
    presence.absent(picture(2), np.array([0.9], np.float32))
    assert presence.usual == pytest.approx([expected])


def test_an_object_may_shrink_on_its_way():
    """From 20 pixels to 4 by 1 in every eight frames; at once, that would be absence."""
    sure = np.array([0.8], np.float32)
    presence = presence_of(0.44, 20)
    for side in range(20, 3, -1):
        for _ in range(8):
            assert not presence.absent(picture(side), sure).any()
    assert presence_of(0.44, 20).absent(picture(4), sure).all()


def test_new_objects_join_and_one_that_was_hidden_is_measured_when_it_shows():
    presence = presence_of(0.5, 16)
    presence.begin(picture(12, 8, 0), 3)
    assert presence.usual == pytest.approx([256 / 4000, 64 / 4000, 0])
    assert presence.absent(picture(16, 8, 6), np.full(3, 0.9, np.float32)).tolist() == [False] * 3
    assert presence.usual[2] == pytest.approx(36 / 4000)


def test_what_is_usual_does_not_depend_on_the_size_of_the_frame():
    presence = presence_of(0.5, 16)
    larger = picture(16).repeat(3, axis=0).repeat(3, axis=1)
    assert not presence.absent(larger, np.array([0.51], np.float32)).any()
    assert presence.usual == pytest.approx([256 / 4000])


def test_it_goes_on_from_what_was_usual():
    first = presence_of(0.5, 16, 9)
    first.absent(picture(12, 9), np.array([0.9, 0.9], np.float32))
    again = Presence(0.5, first.usual)
    answer = picture(8, 5), np.array([0.7, 0.8], np.float32)
    assert again.absent(*answer).tolist() == first.absent(*answer).tolist()
    assert again.usual == first.usual
