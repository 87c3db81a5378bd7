"""Objects and pictures drawn from the library, and layers made of them."""

from __future__ import annotations

import numpy as np

from tracker.training.augment import (
    random_bend,
    random_motion,
    similarity,
    translation,
    uniform_log,
)
from tracker.training.items import Still
from tracker.training.layers import Cutout, Layer, cut, from_sprite, middle, shrink
from tracker.training.library import Stage
from tracker.training.reading import load_still

OBJECT_SIZE = (0.08, 0.75)  # root of the area of the box around an object, in sides of the canvas
LARGEST_SCALE = 2.0  # canvas pixels per source pixel: no further, it would only be blurred
SPRITES = 0.15  # share of cut-outs that are sprites
OF_BORDER = 0.4  # share kept of objects that the border of their picture cuts off


def choose(rng: np.random.Generator, labels: np.ndarray, most: int, least: int = 300) -> list[int]:
    """Up to `most` ids with at least `least` pixels, in random order."""
    areas = np.bincount(labels.ravel(), minlength=2)
    ids = np.flatnonzero(areas[1:] >= least) + 1
    return rng.permutation(ids)[:most].tolist()


def backdrop(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its labels: a still, or in 3 cases of 10 a background (without objects)."""
    rng, library = stage.rng, stage.library
    if library.backgrounds and (not library.stills or rng.random() < 0.3):
        still = library.backgrounds[rng.integers(len(library.backgrounds))]
    elif library.stills:
        still = library.any_still(rng)
    else:
        video = library.any_video(rng)
        t = rng.integers(len(video.frames))
        still = Still(video.name, video.frames[t], video.masks[t])
    return load_still(still, library.cache, rng)


def any_cutout(stage: Stage, tries: int = 6) -> Cutout | None:
    """An object of a still, or a sprite. Objects cut off by the picture's border are rarer."""
    rng, library = stage.rng, stage.library
    if library.sprites and (not library.stills or rng.random() < SPRITES):
        sprite = library.sprites[rng.integers(len(library.sprites))]
        return from_sprite(library.cache.sprite(sprite.image))
    for _ in range(tries if library.stills else 0):
        image, labels = load_still(library.any_still(rng), library.cache, rng)
        ids = choose(rng, labels, 1, least=600)
        cutout = cut(image, labels, ids[0]) if ids else None
        if cutout is not None and not (cutout.at_border and rng.random() > OF_BORDER):
            return cutout
    return None


def random_scale(stage: Stage, cutout: Cutout) -> float:
    """Canvas pixels per pixel of the cut-out, for a size in OBJECT_SIZE."""
    height, width = cutout.alpha.shape
    scale = stage.size * uniform_log(stage.rng, *OBJECT_SIZE) / np.sqrt(height * width)
    return float(np.clip(scale, 0.05, LARGEST_SCALE))


def place(stage: Stage, cutout: Cutout, pace: float, label: int) -> Layer:
    """A layer from a cut-out: random size, place, flip, turn, motion, bend and streak."""
    rng, frames = stage.rng, stage.frames
    scale = random_scale(stage, cutout)
    if scale < 0.5:
        cutout, scale = shrink(cutout, scale), 1.0
    flip = rng.choice([-1.0, 1.0])
    base = similarity(rng.normal(0, 0.2), flip * scale, scale * np.exp(rng.normal(0, 0.1)))
    x, y = rng.uniform(0.12, 0.88, 2) * stage.size
    motion = random_motion(rng, frames, stage.size, pace * uniform_log(rng, 0.5, 2))
    matrices = translation(x, y) @ motion @ base @ middle(cutout)
    bend = None
    if rng.random() < 0.35:
        bend = random_bend(rng, frames, cutout.alpha.shape, uniform_log(rng, 0.02, 0.15))
    streak = rng.uniform(0.2, 0.6) if rng.random() < 0.15 else 0.0
    return Layer([cutout], matrices, label, np.ones(frames, bool), bend, streak)
