"""What makes tracking hard: depth order, look-alikes, absence, occlusion, a cut to another shot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tracker.training.augment import (
    random_colour,
    similarity,
    smooth_path,
    translation,
    uniform_log,
)
from tracker.training.cutouts import any_cutout, backdrop, place
from tracker.training.layers import Background, Cutout, Layer, middle, recolour
from tracker.training.library import Stage

LOOK_ALIKE, ABSENCE, OCCLUDER, OTHER_SHOT = 0.3, 0.15, 0.4, 0.03  # chances (absence: per layer)

Aim = Callable[[int], np.ndarray | None]
"""The place (x, y) on the canvas of something in frame t, None when it has none."""


def add_events(stage: Stage, background: Background, layers: list[Layer], pace: float) -> list:
    """Layers in random depth order with look-alikes, absences and occluders added."""
    rng, layers = stage.rng, list(layers)
    if rng.random() < LOOK_ALIKE:
        layers += _look_alike(stage, background, layers, pace)
    layers = [layers[i] for i in rng.permutation(len(layers))]
    if stage.frames == 1:
        return layers
    for layer in layers:
        if rng.random() < ABSENCE:
            first, end = interval(stage)
            layer.visible[first:end] = False
    if rng.random() < OCCLUDER:
        aims = [layer.centre for layer in layers]
        aims += [_aim(background, i) for i in background.ids()]
        layers += _occluder(stage, aims, pace)
    return layers


def interval(stage: Stage) -> tuple[int, int]:
    """Frames [first, end) after frame 0; in 4 of 10 cases to the end of the clip."""
    first = int(stage.rng.integers(1, stage.frames))
    if stage.rng.random() < 0.4:
        return first, stage.frames
    return first, int(stage.rng.integers(first + 1, stage.frames + 1))


def other_shot(stage: Stage, frames: np.ndarray, labels: np.ndarray) -> None:
    """Sometimes one frame shows another picture, without any of the objects; in place."""
    if stage.frames == 1 or stage.rng.random() > OTHER_SHOT:
        return
    image, _ = backdrop(stage)
    height, width = image.shape[:2]
    matrix = similarity(0, stage.size / width, stage.size / height)
    shot = Background([image], [np.zeros((height, width), np.uint8)], matrix[None])
    t = stage.rng.integers(1, stage.frames)
    frames[t], labels[t] = shot.draw(0, stage.size)


def _look_alike(
    stage: Stage, background: Background, layers: list[Layer], pace: float
) -> list[Layer]:
    """A copy of an object elsewhere, slightly recoloured or turned: unlabelled, or another object.

    Its label is then 200 + the original's, free because scenes hold far fewer objects.
    """
    rng, of_picture = stage.rng, background.ids()
    number = int(rng.integers(len(layers) + len(of_picture))) if layers or of_picture else -1
    if number < 0:
        return []
    if number < len(layers):
        original, label = layers[number].cutout(0), layers[number].label
        matrix = layers[number].matrices[0]
    else:
        label = of_picture[number - len(layers)]
        original, matrix = background.cut(label), background.matrices[0]
    if original is None:
        return []
    cutout = recolour(original, random_colour(rng, rng.choice([0.0, 0.1])))
    label = label + 200 if rng.random() < 0.5 and 0 < label < 50 else 0
    copy = place(stage, cutout, pace, label)
    if rng.random() < 0.6:  # nearly of the size of the original
        sizes = [
            abs(np.linalg.det(m[:2, :2])) * c.alpha.size
            for m, c in ((matrix, original), (copy.matrices[0], copy.cutout(0)))
        ]
        share = np.sqrt(sizes[0] / sizes[1]) * uniform_log(rng, 0.8, 1.25)
        half = middle(copy.cutout(0))
        resize = np.linalg.inv(half) @ similarity(0, share, share) @ half
        copy = replace(copy, matrices=copy.matrices @ resize)
    return [copy]


def _aim(background: Background, label: int) -> Aim:
    def centre(t: int) -> np.ndarray | None:
        box = background.box(label, t)
        if box is None:
            return None
        x, y, width, height = box
        point = background.matrices[t] @ [x + width / 2, y + height / 2, 1]
        return point[:2] / point[2]

    return centre


def _occluder(stage: Stage, aims: list[Aim], pace: float) -> list[Layer]:
    """Something unlabelled that for some frames stands before an object, else beside it."""
    rng, frames = stage.rng, stage.frames
    cutout = _slab(stage) if rng.random() < 0.3 else any_cutout(stage, tries=3)
    if cutout is None:
        return []
    occluder = place(stage, cutout, pace, 0)
    if not aims:
        return [occluder]
    aim = aims[rng.integers(len(aims))]
    first, end = interval(stage)
    away = rng.choice([-1, 1], 2) * rng.uniform(0.4, 0.9, 2) * stage.size
    drift = smooth_path(rng, frames, 0.02 * stage.size)
    for t in range(frames):
        there, here = aim(t), occluder.centre(t)
        if there is not None and here is not None:
            shift = there - here + drift[t] + (0 if first <= t < end else away)
            occluder.matrices[t] = translation(*shift) @ occluder.matrices[t]
    return [occluder]


def _slab(stage: Stage) -> Cutout:
    """A rectangle cut from a picture: a wall, a pillar."""
    rng = stage.rng
    image, _ = backdrop(stage)
    height, width = image.shape[:2]
    high, wide = int(height * rng.uniform(0.2, 0.9)), int(width * rng.uniform(0.08, 0.5))
    y, x = rng.integers(0, height - high + 1), rng.integers(0, width - wide + 1)
    rgb = np.ascontiguousarray(image[y : y + high, x : x + wide])
    return Cutout(rgb, np.full((high, wide), 255, np.uint8))
