"""The size of the network's input; what the recordings do not show (tests/test_parity.py)."""

from __future__ import annotations

import pytest

from tracker.config import ConfigError, FrameConfig, preset
from tracker.preprocess import model_size


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
