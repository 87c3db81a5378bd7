"""What a layer saw of a frame before the frame's identities are known."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tracker.vmos.memory import Grid


@dataclass(frozen=True)
class Trace:
    """What a layer saw of a frame, to be remembered once the frame's identities are known.

    key [B, N, D], value [B, N, V]; identity [B, N, C] is the normalised identity branch, None in
    the first layer, where there is none yet.
    """

    key: Tensor
    value: Tensor
    identity: Tensor | None
    grid: Grid
