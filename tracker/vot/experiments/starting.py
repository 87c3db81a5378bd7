"""How a run starts its object: with which region, and what is stored with that frame."""

from __future__ import annotations

from typing import Any

from vot.dataset import Sequence
from vot.region import Region, Special
from vot.tracker import ObjectStatus


def region_at_start(sequence: Sequence, frame: int) -> Region:
    """The ground truth of a frame in which the object starts; ValueError where it is unknown."""
    region = sequence.groundtruth(frame)
    if isinstance(region, Special):
        raise ValueError(
            f"{sequence.name}, frame {frame + 1}: the object is to start here, and the ground "
            "truth has no region; write one into it, or let the object start in another frame"
        )
    return region


def properties_at_start(status: ObjectStatus, seconds: float) -> dict[str, Any]:
    """The time, as vot-toolkit 0.7.4 stores it, and the tracker's note about its weights."""
    kept = {key: value for key, value in status.properties.items() if key == "weights"}
    return {**kept, "time": seconds}
