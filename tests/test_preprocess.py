"""The size of the network's input; what the recordings do not show (tests/test_parity.py)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.config import ConfigError, FrameConfig, preset
from tracker.preprocess import labels_to_model, model_size


@pytest.mark.parametrize(
    ("frame", "least", "most", "size"),
    [
        ((480, 854), 200_000, 200_000, (337, 593)),
        ((360, 640), 200_000, 200_000, (337, 593)),
        ((854, 480), 200_000, 200_000, (593, 337)),
        ((481, 481), 200_000, 200_000, (449, 449)),
        ((240, 320), 200_000, 200_000, (385, 513)),
        ((240, 320), None, 200_000, (241, 321)),
        ((240, 320), 50_000, 80_000, (241, 321)),
        ((1080, 1920), 200_000, None, (577, 1041)),
        ((300, 3000), 200_000, 200_000, (97, 1041)),
        ((480, 854), 270_000, 270_000, (385, 689)),
    ],
)
def test_the_area_is_brought_between_its_limits_and_then_the_long_edge(
    frame: tuple[int, int], least: int | None, most: int | None, size: tuple[int, int]
) -> None:
    config = FrameConfig(min_pixels=least, max_pixels=most, min_short_edge=None)
    assert model_size(*frame, config) == size


@settings(max_examples=200)
@given(height=st.integers(200, 2000), ratio=st.floats(0.01, 100))
def test_a_frame_of_any_shape_costs_the_light_preset_the_same(height: int, ratio: float) -> None:
    config = preset("hqtrack-lite").frame
    width = round(height * ratio)
    tall, wide = model_size(height, width, config)
    # to the nearest multiple of 16 in either direction, after whole pixels
    assert abs(tall * wide / config.max_pixels - 1) < 9.5 / tall + 9.5 / wide
    assert tall / wide == pytest.approx(height / width, rel=9.5 / tall + 9.5 / wide)


def test_the_short_edge_comes_after_the_area() -> None:
    config = FrameConfig(max_pixels=76_800, min_short_edge=320)
    assert model_size(480, 640, config) == (321, 433)


def test_limits_of_the_area_that_contradict_are_an_error() -> None:
    with pytest.raises(ConfigError, match="min_pixels is 270000, above frame__max_pixels 100000"):
        preset("hqtrack-lite", frame__max_pixels=100_000)


def test_limits_that_only_together_make_sense_can_be_set_together() -> None:
    frame = preset("hqtrack-lite", frame__min_pixels=100_000, frame__max_pixels=100_000).frame
    assert (frame.min_pixels, frame.max_pixels) == (100_000, 100_000)


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
