"""The light model as it is, for tiny frames: they are enlarged to twice the size only."""

from __future__ import annotations

from tracker import HQTracker


def make() -> HQTracker:
    return HQTracker.from_preset("hqtrack-lite", device="cpu", frame__min_pixels=22_000)
