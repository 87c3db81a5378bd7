"""Scenes made of layers: a background that fills the canvas, and cut-outs that move over it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tracker.training.augment import (
    Bend,
    blend,
    canvas_window,
    line_kernel,
    translation,
    warp_full,
    warp_window,
)


@dataclass(frozen=True)
class Cutout:
    """An object cut from a picture: rgb [h, w, 3] and alpha [h, w] uint8; (x, y) was its corner."""

    rgb: np.ndarray
    alpha: np.ndarray
    x: int = 0
    y: int = 0
    at_border: bool = False


@dataclass
class Background:
    """Pictures and label maps that fill the canvas: one for all frames, or one per frame."""

    images: list[np.ndarray]
    labels: list[np.ndarray]
    matrices: np.ndarray
    bend: Bend | None = None

    def draw(self, t: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        k = t if len(self.images) > 1 else 0
        image = warp_full(self.images[k], self.matrices[t], size, self.bend, t)
        labels = warp_full(self.labels[k], self.matrices[t], size, self.bend, t, labels=True)
        return image, labels

    def ids(self) -> list[int]:
        """Ids in the first label map."""
        return (np.flatnonzero(np.bincount(self.labels[0].ravel())[1:]) + 1).tolist()

    def box(self, label: int, t: int) -> tuple[int, int, int, int] | None:
        """(x, y, w, h) of an object in the source of frame t, None if it is not there."""
        labels = self.labels[t if len(self.labels) > 1 else 0]
        box = cv2.boundingRect(cv2.compare(labels, int(label), cv2.CMP_EQ))
        return tuple(box) if box[2] else None

    def cut(self, label: int) -> Cutout | None:
        """An object of the first picture, None if it is too small."""
        return cut(self.images[0], self.labels[0], label)


@dataclass
class Layer:
    """A moving cut-out: one for all frames, or one per frame (None: absent from its source).

    label: id in the truth, 0 for what is only in the way (occluders, look-alikes).
    visible: [T] bool. streak: share of the motion between frames that blurs the layer.
    """

    cutouts: list[Cutout | None]
    matrices: np.ndarray
    label: int
    visible: np.ndarray
    bend: Bend | None = None
    streak: float = 0.0

    def cutout(self, t: int) -> Cutout | None:
        return self.cutouts[t if len(self.cutouts) > 1 else 0]

    def draw(self, t: int, canvas: np.ndarray, labels: np.ndarray) -> None:
        """Lay the layer over canvas and labels, in place."""
        cutout = self.cutout(t)
        if cutout is None or not self.visible[t]:
            return
        margin = 16 if self.streak or self.bend is not None else 1
        window = canvas_window(self.matrices[t], cutout.alpha.shape, len(canvas), margin)
        if window is None:
            return
        patch, alpha = warp_window(cutout.rgb, cutout.alpha, self.matrices[t], window, self.bend, t)
        kernel = self._streak_kernel(t, cutout)
        if kernel is not None:
            alpha = cv2.filter2D(alpha, -1, kernel, borderType=cv2.BORDER_CONSTANT)
            patch = cv2.filter2D(patch, -1, kernel)
        x, y, width, height = window
        blend(canvas[y : y + height, x : x + width], patch, alpha)
        labels[y : y + height, x : x + width][alpha > 127] = self.label

    def centre(self, t: int) -> np.ndarray | None:
        """(x, y) on the canvas of the middle of the cut-out, None if it has none in this frame."""
        cutout = self.cutout(t)
        if cutout is None:
            return None
        height, width = cutout.alpha.shape
        point = self.matrices[t] @ [width / 2, height / 2, 1]
        return point[:2] / point[2]

    def _streak_kernel(self, t: int, cutout: Cutout) -> np.ndarray | None:
        if not self.streak or len(self.matrices) < 2:
            return None
        here, other = self.centre(t), self.centre(t - 1 if t else 1)
        if here is None or other is None:
            return None
        return line_kernel(*((here - other) * self.streak))


def draw_scene(
    background: Background, layers: list[Layer], frames: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """[T, S, S, 3] and [T, S, S] uint8: the layers over the background, the last one on top."""
    pictures = np.empty((frames, size, size, 3), np.uint8)
    truth = np.empty((frames, size, size), np.uint8)
    for t in range(frames):
        pictures[t], truth[t] = background.draw(t, size)
        for layer in layers:
            layer.draw(t, pictures[t], truth[t])
    return pictures, truth


def cut(image: np.ndarray, labels: np.ndarray, label: int, least: int = 300) -> Cutout | None:
    """The object `label`, or None if it has fewer than `least` pixels. The edge is softened."""
    mask = cv2.compare(labels, int(label), cv2.CMP_EQ)
    x, y, width, height = cv2.boundingRect(mask)
    if width * height < least or cv2.countNonZero(mask[y : y + height, x : x + width]) < least:
        return None
    rows, columns = mask.shape
    at_border = x <= 1 or y <= 1 or x + width >= columns - 1 or y + height >= rows - 1
    x0, y0 = max(x - 2, 0), max(y - 2, 0)
    x1, y1 = min(x + width + 2, columns), min(y + height + 2, rows)
    alpha = cv2.blur(mask[y0:y1, x0:x1], (3, 3), borderType=cv2.BORDER_REPLICATE)
    return Cutout(np.ascontiguousarray(image[y0:y1, x0:x1]), alpha, x0, y0, at_border)


def from_sprite(rgba: np.ndarray) -> Cutout:
    """A cut-out from a [h, w, 4] picture with alpha."""
    return Cutout(np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3]))


def shrink(cutout: Cutout, scale: float) -> Cutout:
    """The cut-out made smaller by averaging, for scales under 1 half, to avoid aliasing."""
    height, width = cutout.alpha.shape
    size = (max(round(width * scale), 4), max(round(height * scale), 4))
    rgb = cv2.resize(cutout.rgb, size, interpolation=cv2.INTER_AREA)
    return Cutout(rgb, cv2.resize(cutout.alpha, size, interpolation=cv2.INTER_AREA))


def recolour(cutout: Cutout, matrix: np.ndarray) -> Cutout:
    """The cut-out with its colours changed by a [3, 4] matrix."""
    return Cutout(cv2.transform(cutout.rgb, matrix), cutout.alpha, cutout.x, cutout.y)


def middle(cutout: Cutout) -> np.ndarray:
    """The matrix that brings the middle of the cut-out to the origin."""
    height, width = cutout.alpha.shape
    return translation(-width / 2, -height / 2)
