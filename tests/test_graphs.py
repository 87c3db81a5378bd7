"""Replays of the network, by a recorder that needs no GPU, against the network itself."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.networks import SMALL, small_model
from tests.test_session import squares, video
from tracker.config import ComputeConfig, ConfigError, preset
from tracker.vmos.graphs import (
    FAMILIAR,
    RECORDINGS,
    GraphedVmos,
    Replayed,
    copied,
    shape_of,
    tensors_of,
)
from tracker.vmos.session import VmosSession


class Tape:
    """A recorder as a CUDA graph is one: a replay reads and writes the tensors of the recording."""

    def __init__(self) -> None:
        self.recorded = 0
        self.replayed = 0

    def __call__(self, function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        results = function()
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1
            for place, value in zip(tensors_of(results), tensors_of(function()), strict=True):
                place.copy_(value)

        return replay, results


def graphed(record: Callable[..., Any]) -> GraphedVmos:
    model = GraphedVmos(SMALL.vmos, record)
    model.load_state_dict(small_model().state_dict())
    return model.requires_grad_(False).eval()


def answers(model: torch.nn.Module) -> list[np.ndarray]:
    """A video in which memory grows, objects are added (two groups) and the frames change size."""
    session = VmosSession(model, SMALL, "cpu")
    there, second = video(15), video(8, 113, 145)
    first = np.concatenate([there, there[::-1]])
    session.start(first[0], squares(3), 3)
    labels = [session.step(frame).labels for frame in first[1:15]]
    labels.append(session.step_and_add(first[15], squares(9), 9).labels)
    labels += [session.step(frame).labels for frame in first[16:]]
    return labels + [session.step(frame).labels for frame in second]


def test_a_session_by_replays_equals_one_without():
    tape = Tape()
    model = graphed(tape)
    assert not model.replaying
    for found, expected in zip(answers(model), answers(small_model()), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert model.replaying
    assert tape.recorded >= 6
    assert tape.replayed >= 30 + tape.recorded


def test_a_session_in_bfloat16_by_replays_equals_one_without():
    config = dataclasses.replace(SMALL, compute=ComputeConfig("bfloat16"))
    tape, frames, labels = Tape(), video(8), []
    for model in (graphed(tape), small_model()):
        session = VmosSession(model, config, "cpu")
        session.start(frames[0], squares(3), 3)
        labels.append([session.step(frame).labels for frame in frames[1:]])
    np.testing.assert_array_equal(*labels)
    assert tape.replayed > tape.recorded > 0


def test_recordings_are_shared_by_the_sessions_of_a_model():
    tape = Tape()
    model = graphed(tape)
    answers(model)
    recorded = tape.recorded
    session = VmosSession(model, SMALL, "cpu")
    session.start(video(2, 113, 145)[0], squares(2, 113, 145), 2)
    session.step(video(2, 113, 145)[1])
    assert tape.recorded == recorded


def double(x: torch.Tensor, add: int = 0) -> tuple[torch.Tensor, None]:
    return 2 * x + add, None


def test_a_shape_is_recorded_when_it_is_familiar():
    tape = Tape()
    replayed = Replayed("double", double, tape)
    for number in range(1, FAMILIAR + 3):
        result, nothing = replayed(torch.full((2,), float(number)), 1)
        assert result.tolist() == [2 * number + 1] * 2 and nothing is None
        assert tape.recorded == int(number >= FAMILIAR)


def test_results_are_not_overwritten_by_the_next_replay():
    replayed = Replayed("double", double, Tape())
    results = [replayed(torch.tensor(float(number)))[0] for number in range(8)]
    assert [int(result) for result in results] == [0, 2, 4, 6, 8, 10, 12, 14]


def test_the_recordings_used_last_are_kept():
    tape = Tape()
    replayed = Replayed("double", double, tape)
    for size in range(1, RECORDINGS + 2):
        for _ in range(FAMILIAR):
            replayed(torch.ones(size))
    assert tape.recorded == RECORDINGS + 1
    before = tape.replayed
    replayed(torch.ones(2))
    assert tape.replayed == before + 1
    replayed(torch.ones(1))
    assert tape.replayed == before + 1


def nothing_replayed(function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    return lambda: None, function()


def unable(function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    raise RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.parametrize(
    ("record", "reason"), [(nothing_replayed, "differs by 1"), (unable, "not permitted")]
)
def test_a_recorder_that_fails_costs_one_line_and_no_answer(caplog, record, reason):
    replayed = Replayed("double", double, record)
    with caplog.at_level(logging.WARNING):
        results = [int(replayed(torch.tensor(float(number)))[0]) for number in range(1, 9)]
    assert results == [2, 4, 6, 8, 10, 12, 14, 16]
    assert len(caplog.records) == 1 and reason in caplog.text


@dataclasses.dataclass(frozen=True)
class Pair:
    left: torch.Tensor | None
    right: tuple[torch.Tensor, ...]


def test_trees_of_tensors():
    tree = (Pair(None, (torch.zeros(2), torch.ones(3))), 5)
    other = copied(tree)
    assert [t.tolist() for t in tensors_of(other)] == [[0, 0], [1, 1, 1]]
    assert all(a is not b for a, b in zip(tensors_of(tree), tensors_of(other), strict=True))
    assert shape_of(tree) == shape_of(other)
    assert shape_of((Pair(None, (torch.zeros(2), torch.ones(3))), 6)) != shape_of(tree)
    assert shape_of((Pair(None, (torch.zeros(2), torch.ones(4))), 5)) != shape_of(tree)


def test_a_setting_that_is_neither_true_nor_false_is_refused():
    with pytest.raises(ConfigError, match="compute__cuda_graphs"):
        preset("hqtrack-lite", compute__cuda_graphs="auto")
