"""Masks as pictures: indexed or grey PNGs in, indexed PNGs and overlays out."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tracker.frames import PICTURE_ERRORS, is_special, picture_fault
from tracker.labels import MaskError

# Pillow's names of files that change values, and of pictures with one integer a pixel.
_LOSSY = ("JPEG", "MPO", "JPEG2000")
_MODES = ("P", "L", "1", "I", "I;16", "I;16B")

SOFT_VALUES = 10
SOFT_PIXELS, SOFT_SHARE = 16, 50
"""A soft mask: so many values, half of them of few pixels, or of a small part of the largest."""

TINT = 0.45
"""Share of the object's colour inside its outline."""


def read_labels(path: Path) -> np.ndarray:
    """The values of an indexed or grey picture, [H, W] of integers: 0 is background.

    The values of an indexed picture are its indices, of a grey one its grey levels. Raises
    MaskError naming the path when it cannot be read, is in colour, or is a JPEG, whose values are
    not those that were saved.
    """
    if is_special(path):
        raise MaskError(
            f"cannot read mask {path}: a directory, pipe or device is no mask; check the path"
        )
    try:
        with Image.open(path) as picture:
            kind, mode, values = picture.format, picture.mode, np.array(picture)
    except PICTURE_ERRORS as error:
        fault = picture_fault(error)
        raise MaskError(f"cannot read mask {path} ({fault}); check the path") from error
    if kind in _LOSSY:
        raise MaskError(
            f"mask {path} is a {kind}, which changes the values it is given: save the mask anew "
            "as PNG from where it was made (converting this file keeps the wrong values)"
        )
    if mode not in _MODES:
        raise MaskError(f"mask {path} is {mode}; save it indexed or grey, one value per object")
    return values.view(np.uint8) if values.dtype == bool else values


def read_objects(path: Path) -> np.ndarray:
    """The objects of a mask file: [N, H, W] bool, one per value except 0, in order of value.

    A mask of 0 and 255 is one object. Raises MaskError naming the path.
    """
    values = read_labels(path)
    found = np.unique(values[values != 0])
    if len(found) == 0:
        raise MaskError(f"mask {path} is empty: every pixel is 0; mark at least one object")
    return values[None] == found[:, None, None]


def soft_values(path: Path) -> int:
    """How many values a mask has that looks as if its edges were smoothed; 0 where it does not.

    Each of these values would be an object. Indexed masks are never taken for soft ones. Raises
    MaskError as `read_labels` does.
    """
    values = read_labels(path)
    with Image.open(path) as picture:
        if picture.mode == "P":
            return 0
    _, counts = np.unique(values[values != 0], return_counts=True)
    if len(counts) < SOFT_VALUES:
        return 0
    few = max(SOFT_PIXELS, counts.max() // SOFT_SHARE)
    return len(counts) if np.median(counts) <= few else 0


@functools.lru_cache(maxsize=1)
def palette() -> np.ndarray:
    """[256, 3] uint8 RGB: the colours of PASCAL VOC and DAVIS masks, neighbours well apart."""
    index = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((index >> (3 * bit + channel) & 1) << (7 - bit)).astype(
                np.uint8
            )
    colours.setflags(write=False)
    return colours


def write_labels(path: Path, labels: np.ndarray) -> None:
    """Write a label map [H, W] as PNG: indexed with the palette, 16-bit grey when uint16."""
    picture = Image.fromarray(labels)
    if labels.dtype == np.uint8:
        picture.putpalette(palette().tobytes())
    picture.save(path)


def draw(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The frame with every object tinted and outlined in its colour: [H, W, 3] uint8 RGB.

    The outline is a brighter one, as thick as a 240th of the shorter side, a pixel at least.
    """
    shown = labels > 0
    if not shown.any():
        return image.copy()
    colours = palette()[np.where(shown, (labels.astype(np.int64) - 1) % 255 + 1, 0)]
    tinted = cv2.addWeighted(image, 1 - TINT, colours, TINT, 0)
    reach = 2 * max(1, min(labels.shape) // 240) + 1
    edge = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((reach, reach), np.uint8)) > 0
    drawn = np.where(shown[..., None], tinted, image)
    brightest = colours.max(axis=2, keepdims=True).clip(min=1).astype(np.float32)
    bright = (colours * (255 / brightest)).astype(np.uint8)
    return np.where((edge & shown)[..., None], bright, drawn)
