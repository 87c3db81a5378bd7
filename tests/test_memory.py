"""Which frames are remembered, for how long, and in which order."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracker.vmos.memory import LayerMemory, LongTermMemory, ShortTermMemory, likeness


def frame(number: int, grid=(2, 3)) -> tuple[LayerMemory, ...]:
    values = torch.full((1, grid[0] * grid[1], 2), float(number))
    return (LayerMemory(values, values, grid),)


def held(memory: LongTermMemory) -> list[int]:
    """Frame numbers as they lie in the bank, read off its values."""
    return [int(v) for v in memory.bank[0].key[0, ::6, 0]]


def test_the_reference_stays_and_the_newest_five():
    memory = LongTermMemory(capacity=6, interval=50)
    memory.add_reference(0, frame(0))
    for number in range(1, 401):
        memory.offer(number, frame(number))
    assert memory.frames == (400, 350, 300, 250, 200, 0)
    assert held(memory) == [400, 350, 300, 250, 200, 0]


def test_frames_are_taken_one_interval_after_the_last():
    memory = LongTermMemory(capacity=6, interval=3)
    memory.add_reference(0, frame(0))
    taken = []
    for number in range(1, 11):
        memory.offer(number, frame(number))
        taken.append(memory.frames)
    assert taken[1] == (0,) and taken[2] == (3, 0) and taken[-1] == (9, 6, 3, 0)


def test_every_frame_in_which_objects_were_given_stays():
    memory = LongTermMemory(capacity=3, interval=1)
    memory.add_reference(0, frame(0))
    for number in range(1, 5):
        memory.offer(number, frame(number))
    memory.add_reference(5, frame(5))
    for number in range(6, 9):
        memory.offer(number, frame(number))
    assert memory.frames == (8, 7, 5, 0)


@given(
    capacity=st.integers(2, 6),
    interval=st.integers(1, 7),
    length=st.integers(1, 60),
)
def test_the_bank_is_bounded_and_newest_first(capacity, interval, length):
    memory = LongTermMemory(capacity, interval)
    memory.add_reference(0, frame(0))
    for number in range(1, length):
        memory.offer(number, frame(number))
    assert held(memory) == list(memory.frames)
    assert len(memory.frames) <= capacity
    assert memory.frames[-1] == 0
    assert list(memory.frames) == sorted(memory.frames, reverse=True)


def test_short_term_memory_is_the_frame_lag_back():
    memory = ShortTermMemory(lag=4)
    memory.restart(0, frame(0))
    used = []
    for number in range(1, 8):
        used.append(memory.frame)
        memory.push(number, frame(number))
    assert used == [max(0, number - 4) for number in range(1, 8)]


def test_short_term_memory_follows_the_frame_size():
    memory = ShortTermMemory(lag=2)
    values = torch.arange(6.0).view(1, 6, 1)
    memory.restart(0, (LayerMemory(values, values, (2, 3)),))
    (resized,) = memory.at([(3, 5)])
    assert resized.grid == (3, 5)
    corners = resized.key[0, [0, 4, 10, 14], 0]
    torch.testing.assert_close(corners, torch.tensor([0.0, 2.0, 3.0, 5.0]))
    assert memory.at([(2, 3)])[0].key is values


def pointing(*angles: float) -> tuple[LayerMemory, ...]:
    """A frame whose keys point in these directions."""
    keys = torch.tensor([[[math.cos(a), math.sin(a)] for a in angles]])
    return (LayerMemory(keys, keys, (1, len(angles))),)


def test_by_similarity_the_older_of_the_two_most_alike_neighbours_goes():
    memory = LongTermMemory(capacity=4, interval=1, eviction="similarity")
    memory.add_reference(0, pointing(0.0))
    for number, angle in enumerate([0.0, 1.0, 1.1, 2.5], start=1):
        memory.offer(number, pointing(angle))
    assert memory.frames == (4, 3, 1, 0)
    memory.offer(5, pointing(2.5))
    assert memory.frames == (5, 3, 1, 0)


def test_likeness_is_the_mean_cosine_and_frames_of_other_sizes_are_unlike():
    assert likeness(pointing(0, 0), pointing(0, math.pi / 3)) == pytest.approx(0.75)
    assert likeness(pointing(0, 0), pointing(0)) == -1


def test_incomplete_frames_are_skipped_for_at_most_another_interval():
    memory = LongTermMemory(capacity=9, interval=3, incomplete="skip")
    memory.add_reference(0, frame(0))
    for number in range(1, 20):
        memory.offer(number, frame(number), functools.partial({4, 9}.__contains__, number))
    assert memory.frames == (15, 9, 4, 0)


def test_with_room_for_the_reference_alone_nothing_else_is_kept():
    memory = LongTermMemory(capacity=1, interval=1)
    memory.add_reference(0, frame(0))
    memory.offer(1, frame(1))
    assert memory.frames == (0,)
