"""Logits enlarged to the frame a band of rows at a time, and only where an object may be.

For a CPU: a band stays in its cache, and most of a frame is background.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tracker.vmos.maps import enlarge

LOGITS_AT_ONCE = 1 << 19
"""So many enlarged logits are held at a time."""


@dataclass(frozen=True)
class Band:
    """A part of the frame, and the logits [1, 1 + n, rows, columns] of every group in it."""

    rows: slice
    columns: slice
    groups: list[Tensor]


def bands(groups: Sequence[Tensor], size: tuple[int, int]) -> Iterator[Band]:
    """Logits [1, 1 + n, h, w] of every group, enlarged (bilinear, corners aligned) to size (H, W).

    What lies in no band is background: its logit is the largest there, also after the groups are
    merged.
    """
    height, width = size
    planes = sum(group.shape[1] for group in groups)
    step = max(1, LOGITS_AT_ONCE // (width * planes))
    doubtful = _doubtful(groups)
    down, across = (_line(*sides) for sides in zip(doubtful.shape, size, strict=True))
    wide = [enlarge(group, (len(doubtful), width)) for group in groups]
    for top in range(0, height, step):
        rows = slice(top, min(height, top + step))
        sources = down.sources(rows)
        found = doubtful[sources].any(dim=0).nonzero().flatten().tolist()
        if found:
            columns, shares = across.reached(found[0], found[-1]), down.weights[rows, sources]
            yield Band(rows, columns, [shares @ group[:, :, sources, columns] for group in wide])


def whole(groups: Sequence[Tensor], size: tuple[int, int]) -> Band:
    """The frame as one band, on any device."""
    enlarged = [enlarge(group, size) for group in groups]
    return Band(slice(size[0]), slice(size[1]), enlarged)


def _doubtful(groups: Sequence[Tensor]) -> Tensor:
    """Where the background's logit is not the largest by a margin, [h, w] bool.

    Between places that are not doubtful it is the largest too, as enlarging only mixes. Merging
    multiplies the backgrounds of several groups: with N objects, each less than the background by
    log(1 + N), every object has a share below e^-log(1 + N) = 1 / (1 + N), and the product of the
    backgrounds is not less than 1 - N / (1 + N).
    """
    objects = sum(group.shape[1] - 1 for group in groups)
    margin = math.log1p(objects) if len(groups) > 1 else 0.0
    nearest = [group[0, :1] - group[0, 1:].amax(dim=0, keepdim=True) for group in groups]
    return ~(torch.cat(nearest).amin(dim=0) > margin)  # not a number: doubtful


@dataclass(frozen=True)
class _Line:
    """A line of places that is enlarged: each new place is a mixture of two old neighbours.

    weights [new, old]; the neighbours' numbers rise.
    """

    weights: Tensor
    lower: list[int]
    upper: list[int]

    def sources(self, new: slice) -> slice:
        """The old places that these new ones are made of."""
        return slice(self.lower[new.start], self.upper[new.stop - 1] + 1)

    def reached(self, first: int, last: int) -> slice:
        """The new places in which old ones from `first` to `last` have a part."""
        return slice(bisect_left(self.upper, first), bisect_right(self.lower, last))


@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def _line(old: int, new: int) -> _Line:
    """`old` places enlarged to `new`, corners aligned."""
    ratio = (old - 1) / (new - 1) if new > 1 else 0.0
    places = torch.arange(new, dtype=torch.float32) * ratio
    lower = places.long().clamp(max=old - 1)
    upper = (lower + 1).clamp(max=old - 1)
    share = (places - lower)[:, None]
    weights = torch.zeros(new, old)
    weights.scatter_add_(1, lower[:, None], 1 - share)
    weights.scatter_add_(1, upper[:, None], share)
    return _Line(weights, lower.tolist(), upper.tolist())
