"""Motion, warping, compositing and colour for training clips. Pure functions of arrays and an rng.

Pictures are [H, W, 3] uint8 RGB; matrices are 3x3 and take points (x, y, 1) of a source picture
to points of the canvas, in pixels with pixel centres at whole numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

CELL = 16  # pixels between the points where a bent map is computed; linear in between
BEND_POINTS = 4  # control points of a bend along each side of the source


@dataclass(frozen=True)
class Bend:
    """A smooth deformation: `grid` [n, n, 2] in source pixels, times `amount` [T]."""

    grid: np.ndarray
    amount: np.ndarray


def uniform_log(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between `low` and `high`, uniform in its logarithm."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def smooth_path(rng: np.random.Generator, frames: int, step: float) -> np.ndarray:
    """[frames] float64, starts at 0; velocity is a random walk that forgets, `step` its size."""
    velocity, path = rng.normal(0, step), np.zeros(frames)
    for t in range(1, frames):
        path[t] = path[t - 1] + velocity
        velocity = 0.7 * velocity + rng.normal(0, 0.7 * step)
    return path


def translation(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0, x], [0, 1.0, y], [0, 0, 1.0]])


def similarity(angle: float, sx: float, sy: float, shear: float = 0.0) -> np.ndarray:
    """Scale, shear, then turn by `angle` radians, about the origin."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]) @ np.array(
        [[sx, shear * sy, 0], [0, sy, 0], [0, 0, 1.0]]
    )


def random_motion(rng: np.random.Generator, frames: int, extent: float, pace: float) -> np.ndarray:
    """[frames, 3, 3] motion about the origin, the identity in frame 0.

    Moves by up to about `pace` * `extent` pixels a frame, turns, grows, shears; sometimes with
    perspective.
    """
    step = extent * pace
    x, y = smooth_path(rng, frames, step), smooth_path(rng, frames, step * 0.6)
    angle = smooth_path(rng, frames, 1.2 * pace)
    size = np.clip(smooth_path(rng, frames, 0.8 * pace), -0.6, 0.6)
    shear = np.clip(smooth_path(rng, frames, 0.4 * pace), -0.3, 0.3)
    tilt = np.zeros((2, frames))
    if rng.random() < 0.3:
        tilt = np.stack([smooth_path(rng, frames, 0.3 * pace) for _ in range(2)]) / extent
        tilt = np.clip(tilt, -0.25 / extent, 0.25 / extent)
    matrices = np.empty((frames, 3, 3))
    for t in range(frames):
        scale = math.exp(size[t])
        matrices[t] = translation(x[t], y[t]) @ similarity(angle[t], scale, scale, shear[t])
        matrices[t] = matrices[t] @ np.array([[1, 0, 0], [0, 1, 0], [*tilt[:, t], 1.0]])
    return matrices


def random_bend(
    rng: np.random.Generator, frames: int, shape: tuple[int, ...], strength: float
) -> Bend:
    """A bend of a source of this shape, by up to about `strength` of its sides; none in frame 0."""
    sides = np.array([shape[1], shape[0]], np.float32)
    grid = rng.normal(0, 0.5 * strength, (BEND_POINTS, BEND_POINTS, 2)).astype(np.float32) * sides
    amount = np.clip(smooth_path(rng, frames, 0.6), -1.5, 1.5).astype(np.float32)
    return Bend(grid, amount)


def bent_map(
    inverse: np.ndarray,
    window: tuple[int, int, int, int],
    shape: tuple[int, ...],
    bend: Bend,
    t: int,
) -> np.ndarray:
    """[h, w, 2] float32: where in the source each pixel of the canvas window (x, y, w, h) looks."""
    x0, y0, width, height = window
    nx, ny = -(-width // CELL) + 2, -(-height // CELL) + 2
    xs = x0 + (np.arange(nx) - 0.5) * CELL - 0.5
    ys = y0 + (np.arange(ny) - 0.5) * CELL - 0.5
    gx, gy = np.meshgrid(xs, ys)
    points = inverse @ np.stack([gx.ravel(), gy.ravel(), np.ones(gx.size)])
    points = (points[:2] / points[2]).T.reshape(ny, nx, 2).astype(np.float32)
    sides = np.array([shape[1], shape[0]], np.float32)
    at = points / sides * (BEND_POINTS - 1)
    offsets = cv2.remap(bend.grid, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    points += offsets * bend.amount[t]
    full = cv2.resize(points, (nx * CELL, ny * CELL), interpolation=cv2.INTER_LINEAR)
    return full[CELL : CELL + height, CELL : CELL + width]


def warp_full(
    image: np.ndarray,
    matrix: np.ndarray,
    size: int,
    bend: Bend | None = None,
    t: int = 0,
    labels: bool = False,
) -> np.ndarray:
    """A picture or a label map on a square canvas; mirrored outside its border.

    Labels are mirrored as well: what reaches outside is mostly an object the border cuts off.
    """
    flags = cv2.INTER_NEAREST if labels else cv2.INTER_LINEAR
    border = cv2.BORDER_REFLECT_101
    if bend is None:
        return cv2.warpPerspective(image, matrix, (size, size), flags=flags, borderMode=border)
    where = bent_map(np.linalg.inv(matrix), (0, 0, size, size), image.shape, bend, t)
    return cv2.remap(image, where, None, flags, borderMode=border)


def canvas_window(
    matrix: np.ndarray, shape: tuple[int, ...], size: int, margin: int
) -> tuple[int, int, int, int] | None:
    """The part (x, y, w, h) of the canvas that a source reaches, or None if it is outside."""
    height, width = shape[:2]
    corners = np.array([[0, width, width, 0], [0, 0, height, height], [1.0, 1, 1, 1]])
    points = matrix @ corners
    if points[2].min() < 0.2:  # the perspective turns the source almost edge-on
        return None
    points = points[:2] / points[2]
    low = np.clip(np.floor(points.min(1)) - margin, 0, size).astype(int)
    high = np.clip(np.ceil(points.max(1)) + margin, 0, size).astype(int)
    if (high <= low).any():
        return None
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def warp_window(
    rgb: np.ndarray,
    alpha: np.ndarray,
    matrix: np.ndarray,
    window: tuple[int, int, int, int],
    bend: Bend | None = None,
    t: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """A cut-out and its alpha (0 outside) as seen in a window of the canvas."""
    x, y, width, height = window
    edge = cv2.BORDER_REPLICATE
    if bend is None:
        local = translation(-x, -y) @ matrix
        size, flags = (width, height), cv2.INTER_LINEAR
        patch = cv2.warpPerspective(rgb, local, size, flags=flags, borderMode=edge)
        return patch, cv2.warpPerspective(alpha, local, size, flags=flags)
    where = bent_map(np.linalg.inv(matrix), window, rgb.shape, bend, t)
    patch = cv2.remap(rgb, where, None, cv2.INTER_LINEAR, borderMode=edge)
    return patch, cv2.remap(alpha, where, None, cv2.INTER_LINEAR)


def blend(canvas: np.ndarray, patch: np.ndarray, alpha: np.ndarray) -> None:
    """Lay `patch` over `canvas` in place; alpha [H, W] uint8, 255 opaque."""
    weight = alpha.astype(np.float32) * (1 / 255)
    canvas[...] = cv2.blendLinear(patch, np.ascontiguousarray(canvas), weight, 1 - weight)


def line_kernel(dx: float, dy: float, limit: float = 15.0) -> np.ndarray | None:
    """Motion blur along (dx, dy) pixels, at most `limit` long; None if shorter than 2."""
    length = min(math.hypot(dx, dy), limit)
    if length < 2:
        return None
    half = math.ceil(length / 2)
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    ux, uy = (v / math.hypot(dx, dy) for v in (dx, dy))
    for s in np.linspace(-length / 2, length / 2, 2 * half + 1):
        kernel[round(half + s * uy), round(half + s * ux)] += 1
    return kernel / kernel.sum()


def random_colour(rng: np.random.Generator, strength: float) -> np.ndarray:
    """[3, 4] colour matrix: saturation, mix of channels, contrast, brightness, tint."""
    grey = np.full((3, 3), [0.299, 0.587, 0.114])
    saturation = math.exp(rng.normal(0, strength))
    matrix = saturation * np.eye(3) + (1 - saturation) * grey
    matrix += rng.normal(0, 0.15 * strength, (3, 3))
    matrix *= math.exp(rng.normal(0, 0.45 * strength))
    offset = rng.normal(0, 50 * strength) + rng.normal(0, 20 * strength, 3)
    middle = 110 * (1 - matrix.sum(1))  # contrast about a middle grey, not about black
    return np.column_stack([matrix, 0.7 * middle + offset])


def colour_frames(rng: np.random.Generator, frames: np.ndarray) -> None:
    """Change colours in place: one jitter for the clip, and a drift from first to last frame."""
    start = random_colour(rng, 0.25 if rng.random() < 0.8 else 0.0)
    end = start
    if rng.random() < 0.4:
        end = start + (random_colour(rng, 0.15) - np.eye(3, 4))
    if rng.random() < 0.04:
        grey = np.full((3, 3), [0.299, 0.587, 0.114])
        start, end = grey @ start, grey @ end
    for t, share in enumerate(np.linspace(0, 1, len(frames))):
        matrix = (1 - share) * start + share * end
        frames[t] = cv2.transform(frames[t], matrix)


def soften_frames(rng: np.random.Generator, frames: np.ndarray, noise: np.ndarray) -> None:
    """Blur of the lens or camera, and sensor noise, each in some clips; in place.

    noise: [H, W, 3] int16 of unit variance times 64, at least as large as a frame plus 16.
    """
    kind = rng.random()
    for t in range(len(frames)):
        if kind < 0.1:
            frames[t] = cv2.GaussianBlur(frames[t], (0, 0), rng.uniform(0.3, 1.6))
        elif kind < 0.2 and rng.random() < 0.6:
            kernel = line_kernel(*rng.normal(0, 5, 2), limit=11)
            frames[t] = frames[t] if kernel is None else cv2.filter2D(frames[t], -1, kernel)
    if rng.random() < 0.15:
        size, scale = frames.shape[1], uniform_log(rng, 1.5, 10) / 64
        for t in range(len(frames)):
            y, x = rng.integers(0, 16, 2)
            part = noise[y : y + size, x : x + size]
            frames[t] = cv2.addWeighted(frames[t], 1, part, scale, 0, dtype=cv2.CV_8U)


def fill_hole(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The picture with the pixels of `hole` [H, W] uint8 guessed from around it, at low detail.

    Inpainting (Telea) at one eighth of the size, enlarged: quick, and smooth as a wall.
    """
    height, width = hole.shape
    small = (max(width // 8, 4), max(height // 8, 4))
    wide = cv2.dilate(hole, np.ones((7, 7), np.uint8))
    mask = (cv2.resize(wide, small, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    guess = cv2.inpaint(cv2.resize(image, small, interpolation=cv2.INTER_AREA), mask, 3, 1)
    guess = cv2.resize(guess, (width, height), interpolation=cv2.INTER_LINEAR)
    soft = cv2.blur((wide > 0).astype(np.float32), (5, 5))
    return cv2.blendLinear(guess, np.ascontiguousarray(image), soft, 1 - soft)
