"""Drawing for the demo data: procedural textures, shaded sprites, backgrounds.

Colours are RGB floats 0..1; every function is a pure function of its arguments (a seed among them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Colour = tuple[float, float, float]
SPRITE = 192
BODY = 70.0  # mean radius of a sprite's body in its own pixels


def noise(seed: int, height: int, width: int, cell: float, octaves: int = 4) -> np.ndarray:
    """[height, width] float32 in 0..1: smooth noise whose largest features are `cell` pixels."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    weight = 1.0
    for octave in range(octaves):
        step = max(cell / 2**octave, 1.0)
        grid = rng.random((int(height / step) + 3, int(width / step) + 3)).astype(np.float32)
        scaled = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += weight * scaled[:height, :width]
        weight *= 0.5
    low, high = np.percentile(total, [1, 99])
    return np.clip((total - low) / (high - low), 0, 1)


def blend(values: np.ndarray, colours: Sequence[Colour]) -> np.ndarray:
    """[..., 3] float32: values 0..1 looked up in evenly spaced colours."""
    stops = np.linspace(0, 1, len(colours))
    channels = [np.interp(values, stops, [colour[i] for colour in colours]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Look:
    """How an object looks. pattern: noise, stripes, spots, rings or checks."""

    pattern: str
    colours: tuple[Colour, ...]
    seed: int
    lobes: tuple[float, ...] = (0.12, 0.08, 0.05)
    stretch: float = 1.0
    gloss: float = 0.35


def sprite(look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Colours [S, S, 3] and alpha [S, S] (float32, 0..1, soft edge) of an object at rest."""
    y, x = np.mgrid[0:SPRITE, 0:SPRITE].astype(np.float32) - (SPRITE - 1) / 2
    radius = _outline(look, x, y)
    inside = radius - np.hypot(x, y * look.stretch)
    alpha = np.clip(inside / 2 + 0.5, 0, 1)
    skin = blend(_pattern(look, x, y), look.colours)
    grain = noise(look.seed + 7, SPRITE, SPRITE, 12, 3)[..., None]
    return _shade(skin * (0.8 + 0.4 * grain), inside, look.gloss), alpha


def _outline(look: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    phases = np.random.default_rng(look.seed).random(len(look.lobes)) * 2 * np.pi
    angle = np.arctan2(y * look.stretch, x)
    radius = np.full_like(x, BODY)
    for number, (size, phase) in enumerate(zip(look.lobes, phases, strict=True), 2):
        radius += BODY * size * np.cos(number * angle + phase)
    return radius


def _pattern(look: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    cloud = noise(look.seed + 1, SPRITE, SPRITE, 50)
    warped = x + 26 * (cloud - 0.5)
    if look.pattern == "stripes":
        return _edge(np.sin(warped / 6.5)) * 0.8 + 0.2 * cloud
    if look.pattern == "rings":
        return _edge(np.sin(np.hypot(x - 12, y + 8) / 5 + 3 * cloud)) * 0.8 + 0.2 * cloud
    if look.pattern == "checks":
        return _edge(np.sin(warped / 8) * np.sin((y + 20 * cloud) / 8)) * 0.85 + 0.15 * cloud
    if look.pattern == "spots":
        fine = noise(look.seed + 2, SPRITE, SPRITE, 22, 2)
        return _edge((fine - 0.6) * 6) * 0.75 + 0.25 * cloud
    veins = np.abs(noise(look.seed + 2, SPRITE, SPRITE, 40) - 0.5) * 2
    return 0.7 * cloud + 0.3 * veins


def _edge(values: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(3 * values)


def _shade(skin: np.ndarray, inside: np.ndarray, gloss: float) -> np.ndarray:
    """Light the sprite as a dome, from above left, with a highlight."""
    rise = np.clip(inside / BODY, 0, 1)
    height = cv2.GaussianBlur(np.sqrt(1 - (1 - rise) ** 2) * BODY * 0.8, (0, 0), 7)
    slope_y, slope_x = np.gradient(height)
    normal = np.stack([-slope_x, -slope_y, np.ones_like(slope_x)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = np.array([-0.45, -0.6, 0.66], np.float32)
    diffuse = np.clip(normal @ light, 0, 1)[..., None]
    half = light + np.array([0, 0, 1])
    glint = np.clip(normal @ (half / np.linalg.norm(half)), 0, 1)[..., None] ** 30
    return np.clip(skin * (0.35 + 0.75 * diffuse) + gloss * glint, 0, 1).astype(np.float32)


def hills(seed: int, height: int, width: int, colours: Sequence[Colour], top: float) -> np.ndarray:
    """[height, width, 4]: a ridge of ground with soft upper edge at `top` (share of height)."""
    ridge = noise(seed, 1, width, 170, 5)[0] - 0.5
    line = height * top + ridge * height * 0.22
    y = np.arange(height, dtype=np.float32)[:, None]
    alpha = np.clip((y - line[None]) / 2 + 0.5, 0, 1)
    ground = 0.6 * noise(seed + 1, height, width, 60, 6) + 0.4 * noise(
        seed + 2, height, width, 7, 3
    )
    depth = np.clip((y - line[None]) / (height * 0.6), 0, 1)
    colour = blend(ground, colours) * (0.75 + 0.35 * depth[..., None])
    return np.dstack([np.clip(colour, 0, 1), alpha]).astype(np.float32)


def sky(seed: int, height: int, width: int, upper: Colour, lower: Colour) -> np.ndarray:
    """[height, width, 4]: a gradient with clouds, opaque."""
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None].repeat(width, axis=1)
    base = blend(share, [upper, lower])
    clouds = np.clip(noise(seed, height, width, 150, 6) * 2.2 - 1.1, 0, 1)[..., None]
    colour = base * (1 - 0.75 * clouds) + 0.75 * clouds * np.array([1.0, 0.98, 0.95])
    return np.dstack([colour, np.ones((height, width))]).astype(np.float32)


def floor(seed: int, height: int, width: int, colours: Sequence[Colour], cell: int) -> np.ndarray:
    """[height, width, 4]: tiles or planks with grain, opaque."""
    y, x = np.mgrid[0:height, 0:width]
    row = y // cell
    shift = (row % 2) * cell
    tone = np.random.default_rng(seed).random(
        (height // cell + 1, (width + cell) // (2 * cell) + 1)
    )
    tile = tone[row, (x + shift) // (2 * cell)]
    grain = noise(seed + 3, height, width, 30, 6)
    streaks = cv2.blur(noise(seed + 4, height, width, 5, 2), (41, 1))
    colour = blend(0.45 * tile + 0.3 * grain + 0.25 * streaks, colours)
    seam = np.minimum(y % cell, (x + shift) % (2 * cell))
    colour *= (0.7 + 0.3 * np.clip(seam / 3, 0, 1))[..., None]
    return np.dstack([np.clip(colour, 0, 1), np.ones((height, width))]).astype(np.float32)


def posts(seed: int, height: int, width: int, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """[height, width, 4]: upright posts (x, thickness), transparent between them."""
    x = np.arange(width, dtype=np.float32)[None].repeat(height, axis=0)
    bark = cv2.blur(noise(seed, height, width, 9, 3), (1, 61))
    colour = np.zeros((height, width, 3), np.float32)
    alpha = np.zeros((height, width), np.float32)
    for centre, thickness in spans:
        across = (x - centre) / (thickness / 2)
        part = np.clip((1 - np.abs(across)) * thickness / 4 + 0.5, 0, 1)
        round_light = np.sqrt(np.clip(1 - across**2, 0, 1))[..., None] * 0.7 + 0.25
        wood = blend(bark, [(0.22, 0.15, 0.10), (0.55, 0.42, 0.30)]) * round_light
        colour = np.where((part > 0)[..., None], wood, colour)
        alpha = np.maximum(alpha, part)
    return np.dstack([colour, alpha]).astype(np.float32)
