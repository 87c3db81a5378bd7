"""What is stored with the frame in which a run starts its object."""

from __future__ import annotations

from typing import Any

from vot.tracker import ObjectStatus


def properties_at_start(status: ObjectStatus, seconds: float) -> dict[str, Any]:
    """The time, as vot-toolkit 0.7.4 stores it, and the tracker's note about its weights."""
    kept = {key: value for key, value in status.properties.items() if key == "weights"}
    return {**kept, "time": seconds}
