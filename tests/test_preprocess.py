"""The size of the network's input; what the recordings do not show (tests/test_parity.py)."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.config import ConfigError, FrameConfig, preset
from tracker.preprocess import labels_to_model, model_size


@pytest.mark.parametrize(
    ("frame", "least", "most", "size"),
    [
        ((480, 854), 360, 360, (353, 641)),
        ((481, 481), 360, 360, (353, 353)),
        ((720, 1280), None, 360, (353, 641)),
        ((240, 320), 360, 360, (353, 481)),
        ((240, 320), None, 360, (241, 321)),
        ((854, 480), 480, 500, (849, 481)),
        ((1080, 1920), 480, None, (577, 1041)),
        ((300, 3000), 100, 200, (97, 1041)),
    ],
)
def test_a_short_edge_is_brought_between_its_limits(
    frame: tuple[int, int], least: int | None, most: int | None, size: tuple[int, int]
) -> None:
    config = FrameConfig(min_short_edge=least, max_short_edge=most)
    assert model_size(*frame, config) == size


def test_limits_of_the_short_edge_that_contradict_are_an_error() -> None:
    with pytest.raises(ConfigError, match="min_short_edge is 480, above frame__max_short_edge 360"):
        FrameConfig(max_short_edge=360)


def test_limits_that_only_together_make_sense_can_be_set_together() -> None:
    frame = preset("hqtrack-lite", frame__min_short_edge=480, frame__max_short_edge=480).frame
    assert (frame.min_short_edge, frame.max_short_edge) == (480, 480)
    with pytest.raises(ConfigError, match="min_short_edge is 480, above"):
        preset("hqtrack-lite", frame__min_short_edge=480)


def test_tiny_neighbours_are_all_kept_at_the_networks_size() -> None:
    labels = np.zeros((400, 400), np.uint8)
    labels[100, 100:104] = 1, 2, 3, 4
    got = labels_to_model(labels, (50, 50))
    places = {label: np.argwhere(got == label).tolist() for label in (1, 2, 3, 4)}
    assert places[1] == [[12, 12]]
    assert [len(found) for found in places.values()] == [1, 1, 1, 1]
    assert all(abs(row - 12) + abs(column - 12) <= 1 for [(row, column)] in places.values())


def test_a_tiny_object_takes_a_pixel_of_a_large_one_and_not_the_last_of_a_small_one() -> None:
    labels = np.zeros((400, 400), np.uint8)
    labels[96:104, 96:104] = 1
    labels[40:120, 200:280] = 2
    labels[97, 97] = 3
    labels[81, 241] = 4
    got = labels_to_model(labels, (50, 50))
    assert np.argwhere(got == 1).tolist() == [[12, 12]]
    assert np.argwhere(got == 3).shape == (1, 2)
    assert np.argwhere(got == 4).tolist() == [[10, 30]]
    assert np.count_nonzero(got == 2) == 99


def test_more_tiny_objects_than_pixels_fill_the_frame() -> None:
    labels = np.arange(900, dtype=np.uint16).reshape(30, 30)
    got = labels_to_model(labels, (17, 17))
    assert len(np.unique(got)) == 17 * 17 and got.min() > 0
