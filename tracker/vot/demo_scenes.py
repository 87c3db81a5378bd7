"""The scenes of the demo data: what moves where, before what.

Times are in frames, places in pixels of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tracker.vot import demo_art as art

WIDTH, HEIGHT = 640, 360
MARGIN = 160  # of backgrounds around the picture
CANVAS = (HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN)


@dataclass(frozen=True)
class Pose:
    """Where an object is: centre in pixels, radius in pixels, angle in degrees."""

    x: float
    y: float
    radius: float
    angle: float = 0.0


@dataclass(frozen=True)
class Actor:
    """An object: look, path over time (in frames), and whether it is one to be tracked.

    wobble: how far its outline sways, in sprite pixels.
    """

    look: art.Look
    path: Callable[[float], Pose]
    tracked: bool = True
    wobble: float = 3.0


@dataclass(frozen=True)
class Layer:
    """A picture [H + 2M, W + 2M, 4] that moves with the camera by `parallax`, M = MARGIN."""

    image: np.ndarray
    parallax: float


@dataclass(frozen=True)
class Scene:
    """A sequence: layers behind, actors from back to front, layers before them, camera path."""

    name: str
    length: int
    behind: Sequence[Layer]
    actors: Sequence[Actor]
    before: Sequence[Layer]
    camera: Callable[[float], tuple[float, float]]
    seed: int


def _swing(middle: float, size: float, period: float, phase: float = 0.0) -> Callable:
    return lambda t: middle + size * np.sin(2 * np.pi * t / period + phase)


def _crossing() -> Scene:
    """Three objects pass each other behind posts; the third comes in later."""
    fish = art.Look("stripes", ((0.95, 0.5, 0.1), (0.98, 0.9, 0.75)), 11, (0.05, 0.14), 1.5)
    beetle = art.Look("spots", ((0.75, 0.1, 0.08), (0.08, 0.06, 0.06)), 12, (0.04, 0.03))
    stone = art.Look("noise", ((0.25, 0.35, 0.5), (0.55, 0.7, 0.8), (0.2, 0.3, 0.3)), 13, gloss=0.1)
    actors = (
        Actor(
            stone, lambda t: Pose(730 - 9.5 * max(t - 8, 0), 215 + 10 * np.sin(t / 7), 44, -4 * t)
        ),
        Actor(
            fish,
            lambda t: Pose(90 + 9.2 * t, 140 + 28 * np.sin(t / 8), 52, 8 * np.sin(t / 5)),
            wobble=7,
        ),
        Actor(beetle, lambda t: Pose(545 - 7.5 * t, 250 - 1.6 * t, 38 + 0.25 * t, 5 * t)),
    )
    behind = (
        Layer(art.sky(21, *CANVAS, (0.35, 0.55, 0.8), (0.85, 0.87, 0.85)), 0.15),
        Layer(art.hills(22, *CANVAS, ((0.25, 0.35, 0.3), (0.45, 0.55, 0.4)), 0.42), 0.4),
        Layer(
            art.hills(25, *CANVAS, ((0.2, 0.28, 0.1), (0.55, 0.5, 0.25), (0.35, 0.45, 0.15)), 0.62),
            0.8,
        ),
    )
    before = (Layer(art.posts(28, *CANVAS, ((420, 34), (660, 26))), 1.15),)
    return Scene(
        "crossing", 48, behind, actors, before, lambda t: (1.3 * t - 30, _swing(0, 5, 40)(t)), 1
    )


def _leaving() -> Scene:
    """One object leaves the picture for some twenty frames and comes back, one stays."""
    ball = art.Look("checks", ((0.95, 0.95, 0.9), (0.1, 0.3, 0.65)), 31, (0.01,), gloss=0.6)
    moss = art.Look(
        "rings", ((0.15, 0.4, 0.25), (0.75, 0.8, 0.45)), 32, (0.1, 0.1, 0.08), 1.2, 0.15
    )

    def away(t: float) -> Pose:
        x = 470 + 16 * t if t < 20 else 470 + 16 * (54 - t)
        return Pose(x, 130 + 0.9 * t + 18 * abs(np.sin(t / 5)), 46, 7 * t)

    actors = (
        Actor(
            moss,
            lambda t: Pose(
                _swing(220, 110, 50)(t), _swing(215, 60, 36, 1)(t), 58, 20 * np.sin(t / 9)
            ),
        ),
        Actor(ball, away, wobble=0.0),
    )
    tiles = art.floor(41, *CANVAS, ((0.35, 0.22, 0.14), (0.75, 0.58, 0.4)), 60)

    def camera(t: float) -> tuple[float, float]:
        return (_swing(0, 24, 60)(t), _swing(0, 12, 45)(t))

    return Scene("leaving", 56, (Layer(tiles, 1.0),), actors, (), camera, 2)


def _lookalike() -> Scene:
    """An object passes its untracked look-alike, a second object passes before both."""
    colours = ((0.55, 0.2, 0.5), (0.9, 0.75, 0.35), (0.35, 0.15, 0.4))
    target = art.Look("noise", colours, 51, (0.1, 0.12, 0.05))
    twin = art.Look("noise", colours, 55, (0.1, 0.12, 0.05))
    leaf = art.Look("stripes", ((0.1, 0.35, 0.15), (0.5, 0.7, 0.2)), 52, (0.16, 0.02), 1.7, 0.2)
    actors = (
        Actor(twin, lambda t: Pose(470 - 5.2 * t, 165 + 16 * np.sin(t / 6 + 2), 46, 2 * t), False),
        Actor(target, lambda t: Pose(150 + 6.0 * t, 200 + 18 * np.sin(t / 6), 48, -2.5 * t)),
        Actor(
            leaf,
            lambda t: Pose(_swing(330, 210, 64, -1.2)(t), 60 + 4.6 * t, 50, 35 + 6 * t),
            wobble=6,
        ),
    )
    behind = (
        Layer(art.sky(61, *CANVAS, (0.2, 0.32, 0.42), (0.5, 0.6, 0.6)), 0.1),
        Layer(art.hills(62, *CANVAS, ((0.3, 0.25, 0.3), (0.6, 0.5, 0.5)), 0.3), 0.5),
        Layer(
            art.hills(64, *CANVAS, ((0.4, 0.36, 0.3), (0.72, 0.66, 0.55), (0.5, 0.48, 0.42)), 0.55),
            1.0,
        ),
    )
    return Scene(
        "lookalike", 50, behind, actors, (), lambda t: (25 - 1.1 * t, _swing(0, 4, 30)(t)), 3
    )


def scenes() -> list[Scene]:
    """The sequences of the demo."""
    return [_crossing(), _leaving(), _lookalike()]
