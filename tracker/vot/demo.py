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
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from tracker.arguments import some_path
from tracker.checkout import DEFAULT_WORKSPACE
from tracker.vot import demo_art as art
from tracker.vot.dataset import is_dataset, object_ids, write_list, write_sequence
from tracker.vot.demo_scenes import HEIGHT, MARGIN, WIDTH, Actor, Layer, Scene, scenes
from tracker.vot.errors import VotError
from tracker.vot.regions import ABSENT_LINE, UNKNOWN_LINE, encode_mask, format_mask
from tracker.vot.whole import made_whole

_log = logging.getLogger(__name__)

FPS = 24
_SHADOW = 36  # how far an object's shadow reaches, in pixels
_SUBFRAMES = (-0.22, 0.0, 0.22)  # of the frame time, for motion blur; the mask is that of 0
_GRAIN = 0.008  # standard deviation of the sensor's noise, of the full range
_QUALITY = 86
_MIN_AREA = 12  # pixels; an object seen with less counts as absent
_START_SHARE = 0.6  # a late object starts when this share of it is seen


Parts = tuple[np.ndarray, np.ndarray]  # colours [..., 3] and alpha
Drawn = tuple[np.ndarray, np.ndarray]


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
        x, y = (-MARGIN - part * layer.parallax for part in camera)
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
    """Draw the demo data set into `folder`, which must not hold other things.

    Works in a folder beside it and renames at the end: nobody sees half a data set.
    """
    if folder.is_dir() and _is_partial(folder):
        for path in folder.iterdir():
            shutil.rmtree(path)
    with made_whole(folder) as part:
        _log.info("drawing the demo data set in %s", folder)
        for scene in scenes():
            write_scene(scene, part)
        write_list(part, [scene.name for scene in scenes()])


def _is_partial(folder: Path) -> bool:
    """Whether it holds only what an interrupted run of an earlier version has left."""
    names = {scene.name for scene in scenes()}
    return not is_dataset(folder) and all(path.name in names for path in folder.iterdir())


def main(argv: list[str]) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tracker demo", description=__doc__)
    default = DEFAULT_WORKSPACE / "sequences"
    parser.add_argument(
        "folder", nargs="?", type=some_path, default=default, help=f"default: {default}"
    )
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
