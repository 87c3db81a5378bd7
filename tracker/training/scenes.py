"""Makers of scenes: from stills, from one video, and from objects of one video over another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from tracker.training import sources
from tracker.training.augment import (
    fill_hole,
    random_bend,
    random_colour,
    random_motion,
    similarity,
    smooth_path,
    translation,
    uniform_log,
)
from tracker.training.layers import (
    Background,
    Cutout,
    Layer,
    cut,
    from_sprite,
    middle,
    recolour,
    shrink,
)
from tracker.training.sources import Cache, Sprite, Still, Video

OBJECT_COUNTS = (0.34, 0.28, 0.17, 0.1, 0.03, 0.02, 0.02, 0.02, 0.01, 0.01)  # of 1, 2, ... objects
OBJECT_SIZE = (0.1, 0.75)  # root of the area of the box around an object, in sides of the canvas
ZOOM = (0.6, 1.8)  # canvas pixels per source pixel of a background
PACE = (0.004, 0.08)  # motion per frame, in sides of the canvas


@dataclass
class Library:
    """All sources of clips, and the cache through which they are read."""

    stills: list[Still]
    videos: list[Video]
    sprites: list[Sprite]
    backgrounds: list[Still]
    cache: Cache

    @classmethod
    def open(cls, root: Path, cache: Cache | None = None) -> Library:
        """Everything under `root`: train_static, train_video, sprites, backgrounds; each optional.

        Raises DataError if there is neither a still nor a video.
        """
        root = Path(root)

        def found(name: str, reader: Callable) -> list:
            return reader(root / name) if (root / name).is_dir() else []

        videos = [v.annotated for v in found("train_video", sources.find_videos)]
        library = cls(
            found("train_static", sources.static_folder),
            videos,
            found("sprites", sources.sprites),
            found("backgrounds", sources.backgrounds),
            Cache() if cache is None else cache,
        )
        if not library.stills and not library.videos:
            raise sources.DataError(f"no train_static or train_video with masks in {root}")
        return library

    def preload(self) -> int:
        """Read everything into the cache; returns its size in bytes."""
        for still in [*self.stills, *self.backgrounds]:
            self.cache.rgb(still.image)
            if still.mask is not None:
                self.cache.labels(still.mask)
        for video in self.videos:
            for frame, mask in zip(video.frames, video.masks, strict=True):
                self.cache.rgb(frame)
                self.cache.labels(mask)
        for sprite in self.sprites:
            self.cache.sprite(sprite.image)
        return self.cache.used

    @cached_property
    def _still_odds(self) -> np.ndarray:
        weights = np.cumsum([s.weight for s in self.stills])
        return weights / weights[-1]

    @cached_property
    def _video_odds(self) -> np.ndarray:
        weights = np.cumsum([v.weight for v in self.videos])
        return weights / weights[-1]

    def any_still(self, rng: np.random.Generator) -> Still:
        return self.stills[int(np.searchsorted(self._still_odds, rng.random()))]

    def any_video(self, rng: np.random.Generator) -> Video:
        return self.videos[int(np.searchsorted(self._video_odds, rng.random()))]


@dataclass
class Scene:
    """What to draw, and at most how many of its objects to label."""

    background: Background
    layers: list[Layer]
    limit: int


def static_scene(rng: np.random.Generator, library: Library, frames: int, size: int) -> Scene:
    """A still that moves, with its own objects or some cut out, and cut-outs of other stills."""
    limit = object_count(rng)
    pace = uniform_log(rng, *PACE)
    image, labels = _backdrop(rng, library)
    ids = _choose(rng, labels, limit)
    labels = sources.keep_ids(labels, ids)
    matrices = _view(rng, labels, size, frames, pace * rng.uniform(0, 1))
    layers: list[Layer] = []
    if ids and rng.random() < 0.5:
        own = int(rng.integers(1, len(ids) + 1))
        image, labels, layer = _lift(rng, image, labels, own, matrices, size, pace)
        layers += [layer] if layer is not None else []
    bend = None
    if rng.random() < 0.3:
        bend = random_bend(rng, frames, image.shape, uniform_log(rng, 0.005, 0.04))
    background = Background([image], [labels], matrices, bend)
    for label in range(len(ids) + 1, limit + 1):
        cutout = any_cutout(rng, library)
        if cutout is not None:
            layers.append(place(rng, cutout, frames, size, pace, label))
    return Scene(background, _add_events(rng, library, layers, frames, size, pace), limit)


def video_scene(
    rng: np.random.Generator, library: Library, frames: int, size: int, max_gap: int
) -> Scene:
    """Frames of one video, cropped around one of its objects."""
    background, _ = _video_background(rng, library, frames, size, max_gap)
    return Scene(background, [], object_count(rng))


def composed_scene(
    rng: np.random.Generator, library: Library, frames: int, size: int, max_gap: int
) -> Scene:
    """A video, and over it objects cut from other videos (with their real motion) and stills."""
    limit = max(object_count(rng), 2)
    pace = uniform_log(rng, *PACE)
    background, used = _video_background(rng, library, frames, size, max_gap)
    layers: list[Layer] = []
    for label in range(used + 1, used + limit):
        layer = None
        if rng.random() < 0.65:
            layer = _video_layer(rng, library, frames, size, max_gap, label)
        elif (cutout := any_cutout(rng, library)) is not None:
            layer = place(rng, cutout, frames, size, pace, label)
        layers += [layer] if layer is not None else []
    return Scene(background, _add_events(rng, library, layers, frames, size, pace), limit)


def object_count(rng: np.random.Generator) -> int:
    """1 to 10, mostly 1 to 4."""
    return 1 + int(np.searchsorted(np.cumsum(OBJECT_COUNTS), rng.random() * sum(OBJECT_COUNTS)))


def any_cutout(rng: np.random.Generator, library: Library, tries: int = 6) -> Cutout | None:
    """An object of a still, or a sprite. Objects cut off by the picture's border are rarer."""
    if library.sprites and (not library.stills or rng.random() < 0.15):
        sprite = library.sprites[rng.integers(len(library.sprites))]
        return from_sprite(library.cache.sprite(sprite.image))
    for _ in range(tries if library.stills else 0):
        image, labels = sources.load_still(library.any_still(rng), library.cache, rng)
        ids = _choose(rng, labels, 1, least=600)
        cutout = cut(image, labels, ids[0]) if ids else None
        if cutout is not None and not (cutout.at_border and rng.random() < 0.6):
            return cutout
    return None


def place(
    rng: np.random.Generator, cutout: Cutout, frames: int, size: int, pace: float, label: int
) -> Layer:
    """A layer from a cut-out: random size, place, flip, turn, motion, bend and streak."""
    height, width = cutout.alpha.shape
    scale = size * uniform_log(rng, *OBJECT_SIZE) / np.sqrt(height * width)
    scale = float(np.clip(scale, 0.05, 2.0))
    if scale < 0.5:
        cutout, scale = shrink(cutout, scale), 1.0
    flip = rng.choice([-1.0, 1.0])
    base = similarity(rng.normal(0, 0.2), flip * scale, scale * np.exp(rng.normal(0, 0.1)))
    x, y = rng.uniform(0.12, 0.88, 2) * size
    motion = random_motion(rng, frames, size, pace * uniform_log(rng, 0.5, 2))
    matrices = translation(x, y) @ motion @ base @ middle(cutout)
    bend = None
    if rng.random() < 0.35:
        bend = random_bend(rng, frames, cutout.alpha.shape, uniform_log(rng, 0.02, 0.15))
    streak = rng.uniform(0.2, 0.6) if rng.random() < 0.15 else 0.0
    return Layer([cutout], matrices, label, np.ones(frames, bool), bend, streak)


def _choose(rng: np.random.Generator, labels: np.ndarray, most: int, least: int = 300) -> list[int]:
    """Up to `most` ids with at least `least` pixels, in random order."""
    areas = np.bincount(labels.ravel(), minlength=2)
    ids = np.flatnonzero(areas[1:] >= least) + 1
    return rng.permutation(ids)[:most].tolist()


def _backdrop(rng: np.random.Generator, library: Library) -> tuple[np.ndarray, np.ndarray]:
    if library.backgrounds and (not library.stills or rng.random() < 0.3):
        still = library.backgrounds[rng.integers(len(library.backgrounds))]
    else:
        still = library.any_still(rng)
    return sources.load_still(still, library.cache, rng)


def _view(
    rng: np.random.Generator, labels: np.ndarray, size: int, frames: int, pace: float
) -> np.ndarray:
    """[T, 3, 3] from picture to canvas: a random crop with an object in view, then camera motion."""
    height, width = labels.shape
    zoom, stretch = uniform_log(rng, *ZOOM), np.exp(rng.normal(0, 0.08))
    sx = max(zoom * stretch, size / width)
    sy = max(zoom / stretch, size / height)
    ids = _choose(rng, labels, 1)
    corner = []
    for axis, (scale, side) in enumerate(((sx, width), (sy, height))):
        span, free = size / scale, max(side - size / scale, 0)
        low, high = 0.0, free
        if ids:
            where = np.flatnonzero((labels == ids[0]).any(axis=axis))
            first, last = where[0], where[-1]
            low, high = last - span, float(first)  # the whole object is in view
            if low > high:
                middle_ = rng.uniform(first, last)
                low, high = middle_ - 0.8 * span, middle_ - 0.2 * span
        corner.append(float(np.clip(rng.uniform(low, high), 0, free)))
    matrix = similarity(0, sx, sy) @ translation(-corner[0], -corner[1])
    if rng.random() < 0.5:
        matrix = translation(size - 1, 0) @ similarity(0, -1, 1) @ matrix
    half = translation(size / 2, size / 2)
    return half @ random_motion(rng, frames, size, pace) @ np.linalg.inv(half) @ matrix


def _lift(rng, image, labels, own: int, view: np.ndarray, size: int, pace: float) -> tuple:
    """Cut object `own` out of its picture: (picture, labels without it, its layer or None).

    The hole is filled, or (sometimes) keeps the object, as an unlabelled look-alike.
    """
    cutout = cut(image, labels, own)
    if cutout is None:
        return image, labels, None
    if rng.random() < 0.75:
        x, y = cutout.x, cutout.y
        hole = np.zeros_like(labels)
        height, width = cutout.alpha.shape
        hole[y : y + height, x : x + width] = cutout.alpha
        image = fill_hole(image, hole)
    labels = np.where(labels == own, 0, labels)
    frames = len(view)
    centre = view[0] @ translation(cutout.x, cutout.y) @ np.linalg.inv(middle(cutout)) @ [0, 0, 1]
    pivot = translation(*(centre[:2] / centre[2]))
    motion = random_motion(rng, frames, size, pace)
    matrices = pivot @ motion @ np.linalg.inv(pivot) @ view[0] @ translation(cutout.x, cutout.y)
    bend = None
    if rng.random() < 0.35:
        bend = random_bend(rng, frames, cutout.alpha.shape, uniform_log(rng, 0.02, 0.12))
    return image, labels, Layer([cutout], matrices, own, np.ones(frames, bool), bend)


def sample_times(rng: np.random.Generator, video: Video, frames: int, max_gap: int) -> list[int]:
    """Frame numbers with random gaps, forwards or backwards; short videos go to and fro."""
    last = len(video.frames) - 1
    largest = rng.integers(1, max_gap + 1) if video.dense else 1
    gaps = rng.integers(1, largest + 1, frames - 1) if frames > 1 else np.zeros(0, int)
    steps = np.concatenate([[0], np.cumsum(gaps)])
    start = rng.integers(0, max(last - steps[-1], 0) + 1)
    if last == 0:
        return [0] * frames
    times = last - np.abs((start + steps) % (2 * last) - last)
    return times[::-1].tolist() if rng.random() < 0.5 else times.tolist()


def _video_frames(rng, library: Library, frames: int, max_gap: int, least: int = 300) -> tuple:
    """(images, label maps, ids in the first): a stretch of a video that starts with an object."""
    for _ in range(8):
        video = library.any_video(rng)
        times = sample_times(rng, video, frames, max_gap)
        labels = [library.cache.labels(video.masks[t]) for t in times]
        ids = _choose(rng, labels[0], 10, least)
        if ids:
            return [library.cache.rgb(video.frames[t]) for t in times], labels, ids
    raise sources.DataError("no object in the first frame of eight stretches of video")


def _video_background(rng, library: Library, frames: int, size: int, max_gap: int) -> tuple:
    """(background, largest id in use)."""
    images, labels, _ = _video_frames(rng, library, frames, max_gap)
    pace = uniform_log(rng, 0.002, 0.03) if rng.random() < 0.5 else 0.0
    matrices = _view(rng, labels[0], size, frames, pace)
    return Background(images, labels, matrices), int(max(m.max() for m in labels))


def _video_layer(
    rng: np.random.Generator, library: Library, frames: int, size: int, max_gap: int, label: int
) -> Layer | None:
    """An object of a video, frame by frame, moved as a whole to a random place of the canvas."""
    images, masks, ids = _video_frames(rng, library, frames, max_gap, least=600)
    pairs = zip(images, masks, strict=True)
    cutouts = [cut(image, mask, ids[0], least=40) for image, mask in pairs]
    first = cutouts[0]
    if first is None:
        return None
    height, width = first.alpha.shape
    scale = size * uniform_log(rng, *OBJECT_SIZE) / np.sqrt(height * width)
    scale = float(np.clip(scale, 0.1, 2.0))
    base = similarity(0, scale * rng.choice([-1.0, 1.0]), scale)
    x, y = rng.uniform(0.2, 0.8, 2) * size
    start = base @ middle(first) @ translation(-first.x, -first.y)
    motion = random_motion(rng, frames, size, uniform_log(rng, 0.002, 0.02))
    matrices = np.tile(np.eye(3), (frames, 1, 1))
    for t, cutout in enumerate(cutouts):
        if cutout is None:
            continue
        matrices[t] = translation(x, y) @ motion[t] @ start @ translation(cutout.x, cutout.y)
        if scale < 0.5:
            cutouts[t] = shrink(cutout, scale)
            back = np.array(cutout.alpha.shape) / cutouts[t].alpha.shape
            matrices[t] = matrices[t] @ similarity(0, back[1], back[0])
    return Layer(cutouts, matrices, label, np.ones(frames, bool))


def _add_events(
    rng: np.random.Generator,
    library: Library,
    layers: list[Layer],
    frames: int,
    size: int,
    pace: float,
) -> list[Layer]:
    """Layers in random depth order, with look-alikes, absences and occluders added."""
    layers = list(layers)
    if layers and rng.random() < 0.3:
        layers.append(_look_alike(rng, layers[rng.integers(len(layers))], frames, size, pace))
    layers = [layers[i] for i in rng.permutation(len(layers))]
    if frames > 1:
        for layer in layers:
            if rng.random() < 0.15:
                first, end = _interval(rng, frames)
                layer.visible[first:end] = False
        if rng.random() < 0.35:
            layers += _occluder(rng, library, layers, frames, size, pace)
    return layers


def _interval(rng: np.random.Generator, frames: int) -> tuple[int, int]:
    """Frames [first, end) after frame 0; ends before the last frame where it can, mostly."""
    first = int(rng.integers(1, frames))
    end = frames if rng.random() < 0.4 else int(rng.integers(first + 1, frames + 1))
    return first, end


def _look_alike(
    rng: np.random.Generator, layer: Layer, frames: int, size: int, pace: float
) -> Layer:
    """The same cut-out elsewhere, slightly recoloured or turned; not labelled, or another object.

    Its label is then 200 + the original's, free because scenes hold far fewer objects.
    """
    cutout = recolour(layer.cutout(0), random_colour(rng, rng.choice([0.0, 0.1])))
    label = layer.label + 200 if rng.random() < 0.5 and layer.label < 50 else 0
    copy = place(rng, cutout, frames, size, pace, label)
    if rng.random() < 0.6:  # of the same size as the original
        extent = [np.sqrt(abs(np.linalg.det(x.matrices[0][:2, :2]))) for x in (layer, copy)]
        share = extent[0] * layer.cutout(0).alpha.shape[0]
        share /= extent[1] * copy.cutout(0).alpha.shape[0]
        half = np.linalg.inv(middle(copy.cutout(0)))
        resize = half @ similarity(0, share, share) @ middle(copy.cutout(0))
        copy = replace(copy, matrices=copy.matrices @ resize)
    return copy


def _occluder(rng, library: Library, layers: list[Layer], frames: int, size: int, pace) -> list:
    """Something unlabelled that for some frames stands before a layer (or anywhere)."""
    if rng.random() < 0.3:
        cutout = _slab(rng, library)
    else:
        cutout = any_cutout(rng, library, tries=3)
    if cutout is None:
        return []
    occluder = place(rng, cutout, frames, size, pace, 0)
    if layers:
        target = layers[rng.integers(len(layers))]
        first, end = _interval(rng, frames)
        away = rng.choice([-1, 1], 2) * rng.uniform(0.4, 0.9, 2) * size
        drift = smooth_path(rng, frames, 0.02 * size)
        for t in range(frames):
            aim, here = target.centre(t), occluder.centre(t)
            if aim is None or here is None:
                continue
            shift = aim - here + drift[t] + (0 if first <= t < end else away)
            occluder.matrices[t] = translation(*shift) @ occluder.matrices[t]
    return [occluder]


def _slab(rng: np.random.Generator, library: Library) -> Cutout:
    """A rectangle cut from a picture: a wall, a pillar."""
    image, _ = _backdrop(rng, library)
    height, width = image.shape[:2]
    high, wide = int(height * rng.uniform(0.2, 0.9)), int(width * rng.uniform(0.08, 0.5))
    y, x = rng.integers(0, height - high + 1), rng.integers(0, width - wide + 1)
    rgb = np.ascontiguousarray(image[y : y + high, x : x + wide])
    return Cutout(rgb, np.full((high, wide), 255, np.uint8))
