"""Masks, label maps, boxes, IoU, the gate and the merge: arrays in, arrays out.

A label map is [H, W] uint8 (uint16 above 255 objects): 0 is background, the ids 1..N are the
objects in the order given. Masks are [N, H, W] bool, mask i belongs to id i + 1. Boxes are XYXY,
inclusive pixels: a one-pixel object at (x, y) has the box (x, y, x, y).

One rule for every overlap: the smaller object lies on top; of two equal ones, the first given.
(The public code sums overlapping masks, so that objects 1 and 2 give object 3.)
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

logger = logging.getLogger(__name__)

EXACT_IN_FLOAT32 = 1 << 24
"""Whole numbers up to this one are exact in float32, which OpenCV counts pixels in."""

MAX_OBJECTS = np.iinfo(np.uint16).max


Masks = Sequence[np.ndarray] | np.ndarray
"""Masks [H, W] bool one by one, or together, [N, H, W]."""


class MaskError(ValueError):
    """Masks that cannot be tracked, or that do not fit the frame or the label map."""


def label_dtype(count: int) -> type[np.unsignedinteger]:
    """The smallest dtype that holds the ids 0..count. MaskError above 65535 objects."""
    if count > MAX_OBJECTS:
        raise MaskError(f"{count} objects; at most {MAX_OBJECTS} can be told apart")
    return np.uint8 if count <= np.iinfo(np.uint8).max else np.uint16


def check_masks(masks: Sequence[np.ndarray] | np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The masks of new objects as one array [N, H, W] bool; nonzero values mean the object.

    `shape` is (H, W) of the frame. Raises MaskError, naming the object by its place (from 1), for
    no masks at all, a mask of another shape, one without pixels, and one that is no mask: text, or
    floats of several values. Whole numbers of several values are taken, with a warning.
    """
    if len(masks) == 0:
        raise MaskError("no objects: give at least one mask")
    label_dtype(len(masks))
    checked = np.empty((len(masks), *shape), dtype=bool)
    for place, mask in enumerate(masks, start=1):
        mask = np.asarray(mask)
        if mask.shape != tuple(shape):
            raise MaskError(
                f"the mask of object {place} has shape {mask.shape}, the frame is {tuple(shape)} "
                "(height, width); give every mask at the size of its frame"
            )
        checked[place - 1] = _marked(mask, place)
        if not checked[place - 1].any():
            raise MaskError(
                f"the mask of object {place} (shape {mask.shape}) is empty; "
                "mark at least one pixel or leave the object out"
            )
    return checked


def _marked(mask: np.ndarray, place: int) -> np.ndarray:
    """Where the mask of an object [H, W] is not zero, [H, W] bool."""
    if mask.dtype == bool:
        return mask
    if mask.dtype.kind not in "uif":
        raise MaskError(
            f"the mask of object {place} has values of type {mask.dtype}; give it as bool or uint8"
        )
    marked = mask != 0
    values = mask[marked]
    if values.size and (low := values.min()) != (high := values.max()):
        text = f"the mask of object {place} has values from {low:g} to {high:g} beside 0"
        remedy = "one mask per object is labels == number, or share > 0.5"
        if mask.dtype.kind == "f":
            raise MaskError(f"{text}: what of it is the object? {remedy}")
        logger.warning("%s: all of them are taken for the object; %s", text, remedy)
    return marked


def object_numbers(numbers: Iterable[int]) -> set[int]:
    """Numbers of objects as plain integers. MaskError for what is no whole number."""
    try:
        return {operator.index(number) for number in numbers}
    except TypeError as error:
        raise MaskError(
            f"objects are named by a list of whole numbers, not by {numbers!r} ({error})"
        ) from error


def masks_to_labels(masks: np.ndarray) -> np.ndarray:
    """Label map [H, W] of masks [N, H, W] bool; where masks overlap the smaller lies on top."""
    masks = np.asarray(masks, dtype=bool)
    return _paint(masks, masks.shape[1:])


def labels_to_masks(labels: np.ndarray, count: int) -> np.ndarray:
    """Masks [count, H, W] bool of a label map [H, W]; empty for an id without pixels."""
    _check_ids(labels, count)
    return labels[None] == np.arange(1, count + 1).astype(label_dtype(count))[:, None, None]


def areas(labels: np.ndarray, count: int) -> np.ndarray:
    """Pixels of the objects 1..count of a label map [H, W], [count] int64."""
    if labels.dtype == np.uint8 and count < 256 and labels.size <= EXACT_IN_FLOAT32:
        found = cv2.calcHist([np.ascontiguousarray(labels)], [0], None, [256], [0, 256])
        return found.ravel()[1 : count + 1].astype(np.int64)
    return np.bincount(labels.ravel(), minlength=count + 1)[1 : count + 1]


def without(labels: np.ndarray, ids: Sequence[int] | np.ndarray) -> np.ndarray:
    """The label map [H, W] with the pixels of these ids as background; itself if there are none."""
    if len(ids) == 0:
        return labels
    table = np.arange(max(int(labels.max()), *ids) + 1, dtype=labels.dtype)
    table[list(ids)] = 0
    return table[labels]


def boxes(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The tight box of every object of a label map [H, W].

    Returns boxes [count, 4] int64, XYXY in inclusive pixels (zeros where absent), and
    present [count] bool.
    """
    _check_ids(labels, count)
    labels = labels.astype(label_dtype(count), copy=False)
    found, present = np.zeros((count, 4), np.int64), np.zeros(count, bool)
    for index in range(count):
        mask = (labels == index + 1).view(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        if width:
            found[index] = left, top, left + width - 1, top + height - 1
            present[index] = True
    return found, present


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of masks [..., H, W] bool, pairwise: [...] float64.

    Two empty masks share nothing: 0.
    """
    shared = _pixels(np.logical_and(a, b))
    return shared / np.maximum(_pixels(a) + _pixels(b) - shared, 1)


def gate(vmos_masks: Masks, refined_masks: Masks, threshold: float) -> np.ndarray:
    """Which refined masks replace the segmenter's: [N] bool.

    Accepted at an IoU of at least `threshold` (public code: 0.1). An empty refined mask is never
    accepted, whatever the threshold: refining must not make an object vanish.
    """
    pairs = zip(vmos_masks, refined_masks, strict=True)
    return np.array([new.any() and iou(own, new) >= threshold for own, new in pairs], dtype=bool)


def merge(labels: np.ndarray, refined_masks: Masks, accepted: np.ndarray) -> np.ndarray:
    """A new label map [H, W] in which accepted refined masks replace their objects.

    labels: [H, W], the segmenter's; refined_masks: N masks, mask i for id i + 1; accepted: [N]
    bool. Refined and kept masks meet by the one rule: the smaller lies on top.
    (The public code writes an index into the labels present instead of the id: there objects
    2 and 3 come out as 1 where they overlap.)
    """
    count = len(accepted)
    _check_ids(labels, count)
    if len(refined_masks) != count:
        raise MaskError(f"{len(refined_masks)} refined masks for {count} objects")
    if not np.any(accepted):
        return labels.astype(label_dtype(count))
    together = enumerate(zip(refined_masks, accepted, strict=True), start=1)
    masks = [new if taken else labels == number for number, (new, taken) in together]
    return _paint(masks, labels.shape)


def _paint(masks: Masks, shape: tuple[int, ...]) -> np.ndarray:
    """Label map [H, W] of masks of this shape; the smaller lies on top, of equal ones the first."""
    labels = np.zeros(shape, dtype=label_dtype(len(masks)))
    smallest_first = np.argsort([np.count_nonzero(mask) for mask in masks], kind="stable")
    for index in smallest_first[::-1]:
        np.copyto(labels, index + 1, where=masks[index], casting="unsafe")
    return labels


def _pixels(masks: np.ndarray) -> np.ndarray:
    """How many pixels of masks [..., H, W] are not zero: [...] int64."""
    planes = np.reshape(masks, (-1, *np.shape(masks)[-2:]))
    return np.reshape([np.count_nonzero(plane) for plane in planes], np.shape(masks)[:-2])


def _check_ids(labels: np.ndarray, count: int) -> None:
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise MaskError(
            f"a label map is [H, W] of integers, not {labels.dtype} of shape {labels.shape}"
        )
    if labels.size and (labels.max() > count or labels.min() < 0):
        raise MaskError(f"the label map has ids {labels.min()}..{labels.max()}, not 0..{count}")
