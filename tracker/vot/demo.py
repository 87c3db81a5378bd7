"""`python -m tracker demo`: a small data set in VOT format, drawn by the project itself.

Three sequences: objects crossing behind posts, one of them arriving late; one that leaves the
picture and comes back; one beside its look-alike. The masks are exact. The same version of
NumPy and OpenCV gives the same data.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tracker.vot import demo_art as art
from tracker.vot.dataset import is_dataset, object_ids, write_list, write_sequence
from tracker.vot.errors import VotError
from tracker.vot.regions import ABSENT_LINE, UNKNOWN_LINE, encode_mask, format_mask
from tracker.vot.workspace import DEFAULT_WORKSPACE

_log = logging.getLogger(__name__)

WIDTH, HEIGHT = 640, 360
FPS = 24
_MARGIN = 160  # of backgrounds around the picture
_SHADOW = 36  # how far an object's shadow reaches, in pixels
_SUBFRAMES = (-0.22, 0.0, 0.22)  # of the frame time, for motion blur; the mask is that of 0
_GRAIN = 0.008  # standard deviation of the sensor's noise, of the full range
_QUALITY = 86
_MIN_AREA = 12  # pixels; an object seen with less counts as absent
_START_SHARE = 0.6  # a late object starts when this share of it is seen


Parts = tuple[np.ndarray, np.ndarray]  # colours [..., 3] and alpha
Drawn = tuple[np.ndarray, np.ndarray]


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
    """A picture [H + 2M, W + 2M, 4] that moves with the camera by `parallax`, M = _MARGIN."""

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


def _big(draw: Callable, *arguments: object) -> np.ndarray:
    return draw(arguments[0], HEIGHT + 2 * _MARGIN, WIDTH + 2 * _MARGIN, *arguments[1:])


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
        Layer(_big(art.sky, 21, (0.35, 0.55, 0.8), (0.85, 0.87, 0.85)), 0.15),
        Layer(_big(art.hills, 22, ((0.25, 0.35, 0.3), (0.45, 0.55, 0.4)), 0.42), 0.4),
        Layer(
            _big(art.hills, 25, ((0.2, 0.28, 0.1), (0.55, 0.5, 0.25), (0.35, 0.45, 0.15)), 0.62),
            0.8,
        ),
    )
    before = (Layer(_big(art.posts, 28, ((420, 34), (660, 26))), 1.15),)
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
    tiles = art.floor(
        41, HEIGHT + 2 * _MARGIN, WIDTH + 2 * _MARGIN, ((0.35, 0.22, 0.14), (0.75, 0.58, 0.4)), 60
    )
    camera = lambda t: (_swing(0, 24, 60)(t), _swing(0, 12, 45)(t))  # noqa: E731
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
        Layer(_big(art.sky, 61, (0.2, 0.32, 0.42), (0.5, 0.6, 0.6)), 0.1),
        Layer(_big(art.hills, 62, ((0.3, 0.25, 0.3), (0.6, 0.5, 0.5)), 0.3), 0.5),
        Layer(
            _big(art.hills, 64, ((0.4, 0.36, 0.3), (0.72, 0.66, 0.55), (0.5, 0.48, 0.42)), 0.55),
            1.0,
        ),
    )
    return Scene(
        "lookalike", 50, behind, actors, (), lambda t: (25 - 1.1 * t, _swing(0, 4, 30)(t)), 3
    )


def scenes() -> list[Scene]:
    """The sequences of the demo."""
    return [_crossing(), _leaving(), _lookalike()]


def _sway(actor: Actor, parts: Parts, t: float) -> Parts:
    """The sprite with its outline swaying."""
    if not actor.wobble:
        return parts
    y, x = np.mgrid[0 : art.SPRITE, 0 : art.SPRITE].astype(np.float32)
    sway_x = x + actor.wobble * np.sin(y / 23 + t / 2.5)
    sway_y = y + actor.wobble * np.sin(x / 29 + t / 3.1)
    colour, alpha = (cv2.remap(part, sway_x, sway_y, cv2.INTER_LINEAR) for part in parts)
    return colour, alpha


def _place(actor: Actor, parts: Parts, t: float) -> tuple[tuple[slice, slice], Parts] | None:
    """The part of the picture an actor may reach at time t, with its colours and alpha there.

    None when it is out of the picture.
    """
    pose = actor.path(t)
    reach = 1.45 * pose.radius + _SHADOW
    left, top = max(int(pose.x - reach), 0), max(int(pose.y - reach), 0)
    right, bottom = min(int(pose.x + reach), WIDTH), min(int(pose.y + reach), HEIGHT)
    if right <= left or bottom <= top:
        return None
    centre = (art.SPRITE - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), pose.angle, pose.radius / art.BODY)
    matrix[:, 2] += (pose.x - centre - left, pose.y - centre - top)
    size = (right - left, bottom - top)
    colour, alpha = _sway(actor, parts, t)
    colour = cv2.warpAffine(colour, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return np.s_[top:bottom, left:right], (colour, cv2.warpAffine(alpha, matrix, size))


def _layers(layers: Sequence[Layer], camera: tuple[float, float]) -> Parts:
    """The layers on one another: colours [H, W, 3] and alpha [H, W]."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    covered = np.zeros((HEIGHT, WIDTH), np.float32)
    for layer in layers:
        x, y = (-_MARGIN - part * layer.parallax for part in camera)
        matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
        image = cv2.warpAffine(layer.image, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        alpha = image[..., 3]
        picture = _over(picture, image[..., :3], alpha)
        covered = covered + (1 - covered) * alpha
    return picture, covered


def _over(picture: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return picture + (colour - picture) * alpha[..., None]


def _shadow(picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    shift = np.array([[1, 0, 12], [0, 1, 16]], np.float32)
    moved = cv2.warpAffine(alpha, shift, alpha.shape[::-1])
    return picture * (1 - 0.45 * cv2.GaussianBlur(moved, (0, 0), 9))[..., None]


def _actors(scene: Scene, sprites: list[Parts], t: float, background: np.ndarray) -> Drawn:
    """Picture [H, W, 3] with the actors at time t, and how much of each is seen [N, H, W]."""
    picture = background.copy()
    seen = np.zeros((len(scene.actors), HEIGHT, WIDTH), np.float32)
    for index, (actor, parts) in enumerate(zip(scene.actors, sprites, strict=True)):
        placed = _place(actor, parts, t)
        if placed is None:
            continue
        area, (colour, alpha) = placed
        picture[area] = _over(_shadow(picture[area], alpha), colour, alpha)
        seen[(slice(index), *area)] *= 1 - alpha
        seen[(index, *area)] = alpha
    return picture, seen


def _expose(scene: Scene, picture: np.ndarray, t: int) -> np.ndarray:
    """Light falling off over the picture and changing slowly, sensor noise; uint8 RGB."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    light = 1.08 - 0.25 * (x / WIDTH - 0.3) ** 2 - 0.25 * (y / HEIGHT - 0.4) ** 2
    light *= np.float32(1 + 0.05 * np.sin(t / 9))
    rng = np.random.default_rng((scene.seed, t))
    grain = _GRAIN * rng.standard_normal((HEIGHT, WIDTH, 1), np.float32)
    return (np.clip(picture * light[..., None] + grain, 0, 1) * 255 + 0.5).astype(np.uint8)


def render_frame(
    scene: Scene, sprites: list[Parts], t: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frame t: image [H, W, 3] uint8 RGB, masks [N, H, W] bool and shares seen of the tracked.

    A pixel belongs to the object that is seen with more than half of it at the middle of the
    exposure. The share is of the object's whole area, in or out of the picture.
    """
    camera = scene.camera(t)
    background, _ = _layers(scene.behind, camera)
    drawn = [_actors(scene, sprites, t + shift, background) for shift in _SUBFRAMES]
    picture = sum(picture for picture, _ in drawn) / np.float32(len(drawn))
    seen = drawn[len(drawn) // 2][1]
    if scene.before:
        front, covered = _layers(scene.before, camera)
        picture, seen = _over(picture, front, covered), seen * (1 - covered)
    tracked = [index for index, actor in enumerate(scene.actors) if actor.tracked]
    masks = seen[tracked] > 0.5
    actors = [scene.actors[index] for index in tracked]
    whole = [np.pi * actor.path(t).radius ** 2 / actor.look.stretch for actor in actors]
    return _expose(scene, picture, t), masks, masks.sum(axis=(1, 2)) / whole


def groundtruth_lines(masks: np.ndarray, shares: np.ndarray) -> list[str]:
    """The lines of one object: masks [T, H, W] bool and shares seen [T].

    Unknown before its first frame, known absent where it is not seen after that.
    """
    started = np.flatnonzero(shares > _START_SHARE)
    if masks[0].any():
        first = 0
    elif len(started):
        first = started[0]
    else:
        raise VotError("an object of the demo is never seen")
    lines = [UNKNOWN_LINE] * first
    for mask in masks[first:]:
        seen = mask.sum() >= _MIN_AREA
        lines.append(format_mask(encode_mask(mask)) if seen else ABSENT_LINE)
    return lines


def write_scene(scene: Scene, folder: Path) -> None:
    """Draw a scene into folder/NAME."""
    target = folder / scene.name
    (target / "color").mkdir(parents=True)
    sprites = [art.sprite(actor.look) for actor in scene.actors]
    masks, shares = [], []
    for t in range(scene.length):
        image, frame_masks, frame_shares = render_frame(scene, sprites, t)
        path = target / "color" / f"{t + 1:08d}.jpg"
        options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        if not cv2.imwrite(str(path), image[..., ::-1], options):
            raise VotError(f"cannot write {path}: disk full?")
        masks.append(frame_masks)
        shares.append(frame_shares)
    stacked, seen = np.stack(masks, axis=1), np.array(shares).T
    regions = [groundtruth_lines(*pair) for pair in zip(stacked, seen, strict=True)]
    lines = dict(zip(object_ids(range(1, len(regions) + 1)), regions, strict=True))
    write_sequence(target, lines, (WIDTH, HEIGHT), FPS)


def make_demo(folder: Path) -> None:
    """Draw the demo data set into `folder`, which must not hold other things."""
    if folder.exists() and any(folder.iterdir()) and not _is_partial(folder):
        raise VotError(f"{folder} is not empty; name another folder or remove it")
    _log.info("drawing the demo data set in %s", folder)
    names = []
    for scene in scenes():
        shutil.rmtree(folder / scene.name, ignore_errors=True)
        write_scene(scene, folder)
        names.append(scene.name)
    write_list(folder, names)


def _is_partial(folder: Path) -> bool:
    """Whether it holds only what an interrupted run of this module leaves."""
    names = {scene.name for scene in scenes()}
    return not is_dataset(folder) and all(path.name in names for path in folder.iterdir())


def main(argv: list[str]) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tracker demo", description=__doc__)
    default = DEFAULT_WORKSPACE / "sequences"
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    args = parser.parse_args(argv)
    try:
        if is_dataset(args.folder):
            print(f"{args.folder} holds a data set already")
        else:
            make_demo(args.folder)
            print(f"demo data set: {args.folder}")
    except (VotError, OSError) as error:
        print(f"demo failed: {error}", file=sys.stderr)
        return 1
    return 0
