"""Regions of TraX: what an object starts from, and the kind of region its answers have.

TraX negotiates one way only. The tracker declares the kinds it takes; the client turns what it has
into one of them (as it is, where that kind is declared), and takes answers of any kind. What a
client wants as an answer shows in what it starts an object with: a mask is answered by masks, a
rectangle by the upright box of the mask, a polygon by its rotated box. Points have no place in
TraX: see `tracker.folder_session`.
"""

from __future__ import annotations

import numpy as np
import trax

from tracker.prompts import BoxPrompt, PolygonPrompt, PromptError
from tracker.regions import Region, place, rotated_box, upright_box

KINDS = (trax.Region.MASK, trax.Region.RECTANGLE, trax.Region.POLYGON)
"""The kinds of regions that the server declares."""


def object_of(
    region: trax.Region, shape: tuple[int, int]
) -> np.ndarray | BoxPrompt | PolygonPrompt:
    """A new object in a frame of `shape` = (H, W): its mask [H, W] bool, or the prompt.

    The corners of a polygon are middles of pixels, as the toolkit fills them. Raises PromptError
    for any other kind of region.
    """
    if region.type == trax.Region.MASK:
        return place(region.array(), *region.offset(), shape)
    if region.type == trax.Region.RECTANGLE:
        return BoxPrompt(*region.bounds())
    if region.type == trax.Region.POLYGON:
        return PolygonPrompt(tuple((x + 0.5, y + 0.5) for x, y in region))
    raise PromptError(f"objects are started by one of {', '.join(KINDS)}, not by {region.type}")


def answer_of(region: Region, kind: str) -> trax.Region:
    """The answer for an object that was started by a region of this kind.

    An absent object is an empty mask, or a rectangle without area.
    """
    if kind == trax.Region.MASK:
        return trax.Mask.create(region.mask, x=region.x, y=region.y)
    if not region.mask.any():
        return trax.Rectangle.create(0, 0, 0, 0)
    if kind == trax.Region.RECTANGLE:
        return trax.Rectangle.create(*upright_box(region))
    return trax.Polygon.create(rotated_box(region))
