"""What a user marks an object with in a frame: a box, points or a polygon; and its mask from them.

Coordinates are pixels from the top left corner of the frame; pixel (x, y) covers x..x + 1. With
HQ-SAM a prompt is segmented by it (`tracker.refiner`). Without it, `fallback_mask` guesses: a
polygon is filled, a box and points are given to OpenCV's GrabCut (Rother et al., SIGGRAPH 2004).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tracker.labels import MaskError

LONGEST_SIDE = 400
"""Pixels: a picture is given to GrabCut at this size at most. Enough for a first guess."""

BOX_MARGIN = 0.25
"""Background seen around a box, in sides of the box."""

GRABCUT_ROUNDS = 5

LEAST_SHARE = 0.2
"""GrabCut's answer is taken when it has at least this share of the first guess."""

POINT_SURE, POINT_LIKELY, POINT_REACH = 0.015, 0.12, 0.45
"""Around a point, in short sides of the frame: surely the object, likely, and the furthest that
is looked at. Measured on the first frames of 36 DAVIS objects: mean IoU 0.45 from one point
(a disc alone: 0.37); 0.66 from a box (the ellipse in it: 0.49)."""

LARGEST = 1_000_000
"""Pixels: a coordinate of a prompt lies at most so far from the corner of its frame."""

LONGEST_TOLD = 200
"""Characters of a prompt in a message: TraX carries 1000, and the reason comes after them."""

Point = tuple[float, float]


class PromptError(MaskError):
    """A prompt that marks nothing in its frame."""


@dataclass(frozen=True)
class BoxPrompt:
    """The box around an object: left, top, width and height in pixels."""

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        for name in ("x", "y", "width", "height"):
            object.__setattr__(self, name, _number(self, getattr(self, name)))

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """XYXY, inclusive pixels, as HQ-SAM is prompted."""
        return self.x, self.y, self.x + self.width - 1, self.y + self.height - 1


@dataclass(frozen=True)
class PolygonPrompt:
    """The outline of an object: three or more corners (x, y)."""

    vertices: tuple[Point, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices", _pairs(self, self.vertices))

    @property
    def box(self) -> BoxPrompt:
        """The upright box around it."""
        xs, ys = zip(*self.vertices, strict=True)
        return BoxPrompt(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


@dataclass(frozen=True)
class PointPrompt:
    """Points (x, y) on an object, and points that are not on it."""

    points: tuple[Point, ...]
    background: tuple[Point, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", _pairs(self, self.points))
        object.__setattr__(self, "background", _pairs(self, self.background))


Prompt = BoxPrompt | PolygonPrompt | PointPrompt


def check_prompt(prompt: Prompt, shape: tuple[int, int]) -> None:
    """Raise PromptError unless the prompt marks something in a frame of `shape` = (H, W)."""
    height, width = shape
    told = _told(prompt)
    if not isinstance(prompt, Prompt):
        raise PromptError(f"{told} is no prompt; give a BoxPrompt, PolygonPrompt or PointPrompt")
    numbers = _numbers(prompt)
    if not all(math.isfinite(number) for number in numbers):
        raise PromptError(f"{told}: coordinates must be finite numbers")
    if any(abs(number) > LARGEST for number in numbers):
        raise PromptError(f"{told} lies far outside any frame: at most {LARGEST} pixels")
    if isinstance(prompt, PointPrompt):
        if not prompt.points:
            raise PromptError(f"{told}: give at least one point on the object")
        for x, y in (*prompt.points, *prompt.background):
            if not (0 <= x < width and 0 <= y < height):
                raise PromptError(f"point ({x:g}, {y:g}) lies outside the frame, {_size(shape)}")
        return
    if isinstance(prompt, PolygonPrompt) and len(prompt.vertices) < 3:
        raise PromptError(f"{told}: a polygon has three corners or more")
    box = prompt.box if isinstance(prompt, PolygonPrompt) else prompt
    if box.width <= 0 or box.height <= 0:
        raise PromptError(f"{told}: its width and height must be above 0 pixels")
    if box.x >= width or box.y >= height or box.x + box.width <= 0 or box.y + box.height <= 0:
        raise PromptError(f"{told} lies outside the frame, {_size(shape)}")


def fallback_mask(image: np.ndarray, prompt: Prompt) -> np.ndarray:
    """The mask [H, W] bool of a prompt without a segmenter; at least one pixel.

    image [H, W, 3] uint8 RGB. Raises PromptError as `check_prompt` does.
    """
    shape = image.shape[:2]
    check_prompt(prompt, shape)
    if isinstance(prompt, PolygonPrompt):
        return _not_empty(_filled(prompt, shape), *_centre(prompt.box))
    if isinstance(prompt, BoxPrompt):
        guess = ellipse(prompt, shape)
        found = _grab_box(image, prompt, guess)
        return found if found.sum() >= LEAST_SHARE * guess.sum() else guess
    guess, found = _grab_points(image, prompt)
    return found if found.any() else guess


def ellipse(box: BoxPrompt, shape: tuple[int, int]) -> np.ndarray:
    """The mask [H, W] bool of the ellipse inside a box; at least one pixel.

    The corners of a box around an object are mostly background.
    """
    rows = (np.arange(shape[0]) + 0.5 - (box.y + box.height / 2)) / max(box.height / 2, 1e-6)
    columns = (np.arange(shape[1]) + 0.5 - (box.x + box.width / 2)) / max(box.width / 2, 1e-6)
    return _not_empty(rows[:, None] ** 2 + columns[None, :] ** 2 <= 1, *_centre(box))


def _grab_box(image: np.ndarray, box: BoxPrompt, guess: np.ndarray) -> np.ndarray:
    """GrabCut in and around the box; the ellipse in it is the first guess."""
    height, width = guess.shape
    inside = np.zeros(guess.shape, dtype=bool)
    left, top = max(0, round(box.x)), max(0, round(box.y))
    inside[top : round(box.y + box.height), left : round(box.x + box.width)] = True
    margin = BOX_MARGIN * max(box.width, box.height)
    window = (
        slice(max(0, int(box.y - margin)), min(height, math.ceil(box.y + box.height + margin))),
        slice(max(0, int(box.x - margin)), min(width, math.ceil(box.x + box.width + margin))),
    )
    trimap = np.where(guess, cv2.GC_PR_FGD, np.where(inside, cv2.GC_PR_BGD, cv2.GC_BGD))
    mask = np.zeros(guess.shape, dtype=bool)
    mask[window] = _grab_cut(image[window], trimap[window])
    return mask & (inside | guess)


def _grab_points(image: np.ndarray, prompt: PointPrompt) -> tuple[np.ndarray, np.ndarray]:
    """Discs around the points, and the part of GrabCut's answer that holds the points."""
    side = min(image.shape[:2])
    near = _distance(image.shape[:2], prompt.points)
    sure = near <= max(1.0, POINT_SURE * side)
    guess = near <= max(1.0, POINT_LIKELY * side)
    trimap = np.where(guess, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    trimap[near > POINT_REACH * side] = cv2.GC_BGD
    trimap[sure] = cv2.GC_FGD
    if prompt.background:
        wrong = _distance(image.shape[:2], prompt.background) <= max(1.0, POINT_SURE * side)
        trimap[wrong & ~sure] = cv2.GC_BGD
        guess &= ~wrong | sure
    found = _grab_cut(image, trimap)
    _, parts = cv2.connectedComponents(found.astype(np.uint8))
    touched = np.unique(parts[sure & found])
    return guess, np.isin(parts, touched[touched > 0])


def _grab_cut(image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
    """Foreground [H, W] bool by GrabCut; the same every time. All False where it cannot work."""
    height, width = trimap.shape
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    marks = cv2.resize(trimap.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    kinds = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if kinds.all() or not kinds.any():
        return np.zeros(trimap.shape, dtype=bool)
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, marks, None, *models, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    share = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    return cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5


def _filled(polygon: PolygonPrompt, shape: tuple[int, int]) -> np.ndarray:
    fraction = 4  # bits after the point, so that corners between pixels count
    corners = (np.array(polygon.vertices) - 0.5) * (1 << fraction)
    mask = np.zeros(shape, dtype=np.uint8)
    cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 1, shift=fraction)
    return mask > 0


def _not_empty(mask: np.ndarray, x: float, y: float) -> np.ndarray:
    """The mask, or where it is empty the pixel of the frame nearest to (x, y)."""
    if not mask.any():
        row = min(max(math.floor(y), 0), mask.shape[0] - 1)
        mask[row, min(max(math.floor(x), 0), mask.shape[1] - 1)] = True
    return mask


def _centre(box: BoxPrompt) -> Point:
    return box.x + box.width / 2, box.y + box.height / 2


def _distance(shape: tuple[int, int], points: Sequence[Point]) -> np.ndarray:
    """[H, W] float64: pixels from every pixel's middle to the nearest point."""
    ys, xs = np.mgrid[: shape[0], : shape[1]] + 0.5
    return np.min([np.hypot(xs - x, ys - y) for x, y in points], axis=0)


def _number(prompt: Prompt, value: object) -> float:
    try:
        return value if isinstance(value, int | float) else float(value)
    except (TypeError, ValueError) as error:
        raise PromptError(f"{type(prompt).__name__}: {value!r} is no number of pixels") from error


def _pairs(prompt: Prompt, values: Iterable[Iterable[float]]) -> tuple[Point, ...]:
    """The points of a prompt, given in any form that can be gone through. Raises PromptError."""
    name = type(prompt).__name__
    try:
        pairs = [tuple(pair) for pair in values]
    except TypeError as error:
        raise PromptError(
            f"{name}: {values!r} are no points; give ((x, y), (x, y), ...)"
        ) from error
    if wrong := [pair for pair in pairs if len(pair) != 2]:
        raise PromptError(f"{name}: {wrong[0]} is no point (x, y)")
    return tuple((_number(prompt, x), _number(prompt, y)) for x, y in pairs)


def _numbers(prompt: Prompt) -> list[float]:
    if isinstance(prompt, BoxPrompt):
        return [prompt.x, prompt.y, prompt.width, prompt.height]
    if isinstance(prompt, PolygonPrompt):
        return [number for vertex in prompt.vertices for number in vertex]
    return [number for point in (*prompt.points, *prompt.background) for number in point]


def _told(prompt: Prompt) -> str:
    """The prompt in a message; of one with many corners or points the beginning."""
    text = str(prompt)
    return text if len(text) <= LONGEST_TOLD else f"{text[: LONGEST_TOLD - 3]}..."


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"
