"""Makers of scenes: from stills, from one video, and from objects of one video over another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracker.training.augment import (
    fill_hole,
    random_bend,
    random_motion,
    similarity,
    translation,
    uniform_log,
)
from tracker.training.cutouts import any_cutout, backdrop, choose, place, random_scale
from tracker.training.errors import EmptySceneError
from tracker.training.events import add_events
from tracker.training.items import Video
from tracker.training.layers import Background, Cutout, Layer, cut, middle, shrink
from tracker.training.library import Library, Stage
from tracker.training.reading import keep_ids

__all__ = ["Library", "Scene", "Stage", "composed_scene", "static_scene", "video_scene"]

OBJECT_COUNTS = (0.34, 0.28, 0.17, 0.1, 0.03, 0.02, 0.02, 0.02, 0.01, 0.01)  # of 1, 2, ... objects
ZOOM = (0.6, 1.8)  # canvas pixels per source pixel of a background, more if it would not fill it
MOST_IDS = 255  # label maps are uint8
PACE = (0.008, 0.11)  # motion per frame, in sides of the canvas


@dataclass
class Scene:
    """What to draw, and at most how many of its objects to label."""

    background: Background
    layers: list[Layer]
    limit: int


def static_scene(stage: Stage) -> Scene:
    """A still that moves, with its own objects or one cut out, and cut-outs of other stills."""
    rng = stage.rng
    limit, pace = object_count(rng), uniform_log(rng, *PACE)
    image, labels = backdrop(stage)
    ids = choose(rng, labels, limit)
    labels = keep_ids(labels, ids)
    matrices = _view(stage, labels, pace * rng.uniform(0, 1))
    layers: list[Layer] = []
    if ids and rng.random() < 0.5:
        own = int(rng.integers(1, len(ids) + 1))
        image, labels, layers = _lift(stage, image, labels, own, matrices, pace)
    bend = None
    if rng.random() < 0.3:
        bend = random_bend(rng, stage.frames, image.shape, uniform_log(rng, 0.005, 0.04))
    background = Background([image], [labels], matrices, bend)
    for label in range(len(ids) + 1, limit + 1):
        cutout = any_cutout(stage)
        if cutout is not None:
            layers.append(place(stage, cutout, pace, label))
    return Scene(background, add_events(stage, background, layers, pace), limit)


def video_scene(stage: Stage) -> Scene:
    """Frames of one video, cropped around one of its objects."""
    return Scene(_video_background(stage), [], object_count(stage.rng))


def composed_scene(stage: Stage) -> Scene:
    """A video, and over it objects cut from other videos (with their real motion) and stills."""
    rng = stage.rng
    limit, pace = object_count(rng), uniform_log(rng, *PACE)
    background = _video_background(stage)
    used = int(max(m.max() for m in background.labels))
    layers: list[Layer] = []
    for label in range(used + 1, min(used + max(limit, 2), MOST_IDS + 1)):
        layer = None
        if rng.random() < 0.65:
            layer = _video_layer(stage, label)
        elif (cutout := any_cutout(stage)) is not None:
            layer = place(stage, cutout, pace, label)
        layers += [layer] if layer is not None else []
    return Scene(background, add_events(stage, background, layers, pace), limit)


def object_count(rng: np.random.Generator) -> int:
    """1 to 10, mostly 1 to 4."""
    return 1 + int(np.searchsorted(np.cumsum(OBJECT_COUNTS), rng.random() * sum(OBJECT_COUNTS)))


def sample_times(rng: np.random.Generator, video: Video, frames: int, max_gap: int) -> list[int]:
    """Frame numbers with random gaps, forwards or backwards; short videos go to and fro."""
    last = len(video.frames) - 1
    largest = rng.integers(1, max_gap + 1) if video.dense else 1
    steps = np.concatenate([[0], np.cumsum(rng.integers(1, largest + 1, frames - 1))])
    start = rng.integers(0, max(last - int(steps[-1]), 0) + 1)
    if last == 0:
        return [0] * frames
    times = (last - np.abs((start + steps) % (2 * last) - last)).astype(int)
    return times[::-1].tolist() if rng.random() < 0.5 else times.tolist()


def _view(stage: Stage, labels: np.ndarray, pace: float) -> np.ndarray:
    """[T, 3, 3] from picture to canvas: a random crop that shows an object, and camera motion."""
    rng, size = stage.rng, stage.size
    zoom, stretch = uniform_log(rng, *ZOOM), np.exp(rng.normal(0, 0.08))
    height, width = labels.shape
    scales = max(zoom * stretch, size / width), max(zoom / stretch, size / height)
    ids = choose(rng, labels, 1)
    shown = labels == ids[0] if ids else np.ones_like(labels, dtype=bool)
    x, y = (
        _corner(rng, np.flatnonzero(shown.any(axis)), size / scale, side)
        for axis, (scale, side) in enumerate(zip(scales, (width, height), strict=True))
    )
    matrix = similarity(0, *scales) @ translation(-x, -y)
    if rng.random() < 0.5:
        matrix = translation(size - 1, 0) @ similarity(0, -1, 1) @ matrix
    half = translation(size / 2, size / 2)
    motion = random_motion(rng, stage.frames, size, pace)
    return half @ motion @ np.linalg.inv(half) @ matrix


def _corner(rng: np.random.Generator, where: np.ndarray, span: float, side: int) -> float:
    """Where a window of length `span` starts so that it shows the object (its pixels: `where`)."""
    first, last = where[0], where[-1]
    low, high = last - span, float(first)  # the whole object fits
    if low > high:
        middle_ = rng.uniform(first, last)
        low, high = middle_ - 0.8 * span, middle_ - 0.2 * span
    return float(np.clip(rng.uniform(low, high), 0, max(side - span, 0)))


def _lift(
    stage: Stage,
    image: np.ndarray,
    labels: np.ndarray,
    own: int,
    view: np.ndarray,
    pace: float,
) -> tuple[np.ndarray, np.ndarray, list[Layer]]:
    """Cut object `own` out of its picture: the picture, the labels without it, and its layer.

    The hole is filled, or (sometimes) keeps the object, as an unlabelled look-alike.
    """
    rng = stage.rng
    cutout = cut(image, labels, own)
    if cutout is None:
        return image, labels, []
    if rng.random() < 0.75:
        image = fill_hole(image, _hole(cutout, labels.shape))
    labels = np.where(labels == own, np.uint8(0), labels)
    corner = translation(cutout.x, cutout.y)
    centre = view[0] @ corner @ np.linalg.inv(middle(cutout)) @ [0, 0, 1]
    pivot = translation(*(centre[:2] / centre[2]))
    motion = random_motion(rng, stage.frames, stage.size, pace)
    matrices = pivot @ motion @ np.linalg.inv(pivot) @ view[0] @ corner
    bend = None
    if rng.random() < 0.35:
        bend = random_bend(rng, stage.frames, cutout.alpha.shape, uniform_log(rng, 0.02, 0.12))
    return image, labels, [Layer([cutout], matrices, own, np.ones(stage.frames, bool), bend)]


def _hole(cutout: Cutout, shape: tuple[int, ...]) -> np.ndarray:
    hole = np.zeros(shape, np.uint8)
    height, width = cutout.alpha.shape
    hole[cutout.y : cutout.y + height, cutout.x : cutout.x + width] = cutout.alpha
    return hole


def _video_frames(stage: Stage, least: int) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    """A stretch of video that starts with an object: images, label maps, the object."""
    library = stage.library
    for _ in range(8):
        video = library.any_video(stage.rng)
        times = sample_times(stage.rng, video, stage.frames, stage.max_gap)
        labels = [library.cache.labels(video.masks[t]) for t in times]
        ids = choose(stage.rng, labels[0], 1, least)
        if ids:
            return [library.frame(video, t)[0] for t in times], labels, ids[0]
    raise EmptySceneError("no object in the first frame of eight stretches of video")


def _video_background(stage: Stage) -> Background:
    images, labels, _ = _video_frames(stage, least=300)
    labels = _renumbered(labels)
    pace = uniform_log(stage.rng, 0.002, 0.03) if stage.rng.random() < 0.5 else 0.0
    return Background(images, labels, _view(stage, labels[0], pace))


def _renumbered(labels: list[np.ndarray]) -> list[np.ndarray]:
    """Label maps with their ids as 1..N, so that layers find free numbers above them."""
    areas = sum(np.bincount(m.ravel(), minlength=MOST_IDS + 1) for m in labels)
    ids = (np.flatnonzero(areas[1:]) + 1).tolist()
    return [keep_ids(m, ids) for m in labels]


def _video_layer(stage: Stage, label: int) -> Layer | None:
    """An object of a video, frame by frame, moved as a whole to a random place of the canvas."""
    rng = stage.rng
    images, masks, own = _video_frames(stage, least=600)
    cutouts = [cut(*pair, own, least=40) for pair in zip(images, masks, strict=True)]
    first = cutouts[0]
    if first is None:
        return None
    scale = max(random_scale(stage, first), 0.1)
    base = similarity(0, scale * rng.choice([-1.0, 1.0]), scale)
    start = base @ middle(first) @ translation(-first.x, -first.y)
    target = translation(*(rng.uniform(0.2, 0.8, 2) * stage.size))
    motion = random_motion(rng, stage.frames, stage.size, uniform_log(rng, 0.002, 0.02))
    matrices = target @ motion @ start
    for t, cutout in enumerate(cutouts):
        if cutout is None:
            continue
        matrices[t] = matrices[t] @ translation(cutout.x, cutout.y)
        if scale < 0.5:
            small = shrink(cutout, scale)
            back = np.array(cutout.alpha.shape) / small.alpha.shape
            cutouts[t] = small
            matrices[t] = matrices[t] @ similarity(0, back[1], back[0])
    return Layer(cutouts, matrices, label, np.ones(stage.frames, bool))
