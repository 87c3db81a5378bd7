"""Readers of training data: they list items, and load them as uint8 RGB and uint8 labels.

Layouts of videos (`find_videos` tells them apart):
    plain        NAME/frames/*.jpg, NAME/masks/*.png
    DAVIS        JPEGImages/480p/NAME/*.jpg, Annotations/480p/NAME/*.png, ImageSets/YEAR/train.txt
    YouTube-VOS  JPEGImages/NAME/*.jpg, Annotations/NAME/*.png, masks on some frames only
Layout of stills: images/NAME.jpg, masks/NAME.png. Masks hold instance ids, 0 is background.

A `manifest.json` beside the data may say, for a set of stills, `"parts": true` (the ids are parts
of one object: their union is used) or `"partition": true` (the ids cover the whole picture: a few
random regions are used as objects); and for a video `"dense": false` (frames far apart).

What is left out: a still or video without masks; instances under 0.1 percent of the picture;
in a partition, regions under 0.5 or over 40 percent; videos of the DAVIS validation splits.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from tracker.frames import FrameError, read_image
from tracker.labels import MaskError
from tracker.media.masks import read_labels as read_values
from tracker.media.sources import is_picture, list_frames, list_pictures
from tracker.training.errors import DataError
from tracker.training.manifest import by_name, read_manifest

log = logging.getLogger(__name__)

SHORT_SIDE = 400  # pixels: larger pictures are reduced when read; the cache holds them so
MIN_SHARE = 0.001  # of the picture: smaller instances count as background
REGION_SHARE = (0.005, 0.4)  # of the picture: regions of a partition that may serve as objects

# Sampling weight by set, the part of a name before the first "_". Sets not listed weigh 1.
# Less for masks that are derived or model-made, for partitions, and for people merged into one id.
SET_WEIGHTS = {
    "bsds": 0.4,
    "human": 0.5,
    "cats": 0.6,
    "ytvos": 0.5,
    "genomni": 0.4,
    "camvid": 0.8,
    "segtrack": 0.7,
}

# DAVIS 2016 and 2017 validation sequences (davischallenge.org): never trained on.
# fmt: off
DAVIS_VALIDATION = frozenset([
    "bike-packing", "blackswan", "bmx-trees", "breakdance", "camel", "car-roundabout", "car-shadow",
    "cows", "dance-twirl", "dog", "dogs-jump", "drift-chicane", "drift-straight", "goat",
    "gold-fish", "horsejump-high", "india", "judo", "kite-surf", "lab-coat", "libby", "loading",
    "mbike-trick", "motocross-jump", "paragliding-launch", "parkour", "pigs", "scooter-black",
    "shooting", "soapbox",
])
# fmt: on

Rule = Literal["instances", "union", "partition"]


class EmptySceneError(DataError):
    """A draw that shows no object; another draw may."""


@dataclass(frozen=True)
class Still:
    """A picture, with a mask of instance ids or (backgrounds) none."""

    name: str
    image: Path
    mask: Path | None = None
    rule: Rule = "instances"
    weight: float = 1.0


@dataclass(frozen=True)
class Sprite:
    """A cut-out with an alpha channel."""

    name: str
    image: Path


@dataclass(frozen=True)
class Video:
    """Frames in order, each with its mask or None; `dense`: neighbours are close in time."""

    name: str
    frames: tuple[Path, ...]
    masks: tuple[Path | None, ...]
    dense: bool = True
    weight: float = 1.0

    @property
    def annotated(self) -> Video:
        """The same video with only the frames that have a mask."""
        pairs = [(f, m) for f, m in zip(self.frames, self.masks, strict=True) if m is not None]
        frames, masks = zip(*pairs, strict=True) if pairs else ((), ())
        return replace(self, frames=tuple(frames), masks=tuple(masks))


def read_rgb(path: Path, short_side: int | None = None) -> np.ndarray:
    """The picture as [H, W, 3] uint8 RGB, its short side reduced to `short_side` if longer."""
    try:
        image = read_image(path)
    except FrameError as error:
        raise DataError(str(error)) from error
    size = _reduced(image.shape, short_side)
    return image if size is None else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def read_labels(path: Path, short_side: int | None = None) -> np.ndarray:
    """The mask as [H, W] uint8 ids (palette indices or grey values), reduced by nearest."""
    try:
        values = read_values(path)
    except MaskError as error:
        raise DataError(str(error)) from error
    if values.min(initial=0) < 0 or values.max(initial=0) > 255:
        raise DataError(f"mask {path} has values outside 0 to 255; number its objects from 1")
    labels = values.astype(np.uint8, copy=False)
    size = _reduced(labels.shape, short_side)
    return labels if size is None else cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)


def read_sprite(path: Path, short_side: int | None = None) -> np.ndarray:
    """The cut-out as [H, W, 4] uint8 RGBA; a picture without alpha is an error."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        raise DataError(f"{path} is not a picture with an alpha channel")
    image = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    size = _reduced(image.shape, short_side)
    return image if size is None else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _reduced(shape: tuple[int, ...], short_side: int | None) -> tuple[int, int] | None:
    height, width = shape[:2]
    if short_side is None or min(height, width) <= short_side:
        return None
    scale = short_side / min(height, width)
    return round(width * scale), round(height * scale)


class Cache:
    """Decoded pictures in memory, up to `budget` bytes; beyond that, files are read each time.

    Read everything before worker processes are forked and they share one copy.
    """

    def __init__(self, budget: int = 6 * 2**30, short_side: int = SHORT_SIDE) -> None:
        self.budget, self.short_side, self.used = budget, short_side, 0
        self._arrays: dict[Path, np.ndarray] = {}

    def rgb(self, path: Path) -> np.ndarray:
        return self._get(path, read_rgb)

    def labels(self, path: Path) -> np.ndarray:
        return self._get(path, read_labels)

    def sprite(self, path: Path) -> np.ndarray:
        return self._get(path, read_sprite)

    def _get(self, path: Path, read) -> np.ndarray:
        array = self._arrays.get(path)
        if array is None:
            array = read(path, self.short_side)
            array.flags.writeable = False
            if self.used + array.nbytes <= self.budget:
                self._arrays[path] = array
                self.used += array.nbytes
        return array


def load_still(still: Still, cache: Cache, rng: np.random.Generator) -> tuple:
    """([H, W, 3] uint8 RGB, [H, W] uint8 labels 0..N); the still's rule is applied.

    For a partition, one to three regions drawn with `rng` become the objects.
    """
    image = cache.rgb(still.image)
    if still.mask is None:
        return image, np.zeros(image.shape[:2], np.uint8)
    labels = cache.labels(still.mask)
    if labels.shape != image.shape[:2]:
        raise DataError(f"{still.mask}: size {labels.shape}, its picture {image.shape[:2]}")
    if still.rule == "union":
        return image, (labels > 0).astype(np.uint8)
    shares = np.bincount(labels.ravel(), minlength=256) / labels.size
    low, high = REGION_SHARE if still.rule == "partition" else (MIN_SHARE, 1.0)
    keep = [i for i in range(1, 256) if low <= shares[i] <= high]
    if still.rule == "partition" and keep:
        keep = rng.permutation(keep)[: rng.integers(1, 4)].tolist()
    return image, keep_ids(labels, keep)


def keep_ids(labels: np.ndarray, ids: list[int]) -> np.ndarray:
    """Labels with `ids` renumbered 1..N in the order given, and everything else 0."""
    table = np.zeros(256, np.uint8)
    table[ids] = np.arange(1, len(ids) + 1)
    return cv2.LUT(labels, table)


def static_folder(root: Path) -> list[Still]:
    """Stills of `root`/images that have a mask in `root`/masks."""
    sets = read_manifest(root).get("sets", {})
    stills = []
    for image in list_pictures(_existing(root / "images")):
        mask = root / "masks" / f"{image.stem}.png"
        if not mask.exists():
            continue
        group = image.stem.split("_")[0]
        facts = sets.get(group, {})
        rule: Rule = "partition" if facts.get("partition") else "instances"
        rule = "union" if facts.get("parts") else rule
        weight = SET_WEIGHTS.get(group, 1.0)
        stills.append(Still(image.stem, image, mask, rule, weight))
    if not stills:
        raise DataError(f"no still with a mask in {root}: expected images/NAME.jpg, masks/NAME.png")
    return stills


def sprites(root: Path) -> list[Sprite]:
    """Cut-outs: every .webp or .png of `root`."""
    pictures = list_pictures(_existing(root))
    return [Sprite(p.stem, p) for p in pictures if p.suffix.lower() in (".webp", ".png")]


def backgrounds(root: Path) -> list[Still]:
    """Pictures without masks: every picture of `root`."""
    return [Still(p.stem, p) for p in list_pictures(_existing(root))]


def find_videos(root: Path, split: str | None = None, validation: bool = False) -> list[Video]:
    """The videos under `root`, in whichever of the three layouts it has.

    split: name of a list under ImageSets (DAVIS), for instance "2017/train"; None takes all.
        DataError where the layout has no such lists.
    validation: False leaves out the DAVIS validation sequences, wherever they are.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; name one that holds videos with masks")
    if (root / "JPEGImages").is_dir():
        videos = _standard_layout(root, split)
    elif split is not None:
        raise DataError(
            f"no split {split!r} in {root}: lists under ImageSets go with JPEGImages; name the "
            "sequences instead"
        )
    else:
        videos = _plain_layout(root)
    if not validation:
        held_out = [v.name for v in videos if _is_validation(v.name)]
        if held_out:
            log.warning("left out, DAVIS validation: %s", ", ".join(held_out))
        videos = [v for v in videos if v.name not in held_out]
    if not videos:
        raise DataError(
            f"no video with masks in {root}: looked for NAME/frames with NAME/masks, for "
            "JPEGImages/480p/NAME with Annotations/480p/NAME, and for the same without 480p"
        )
    return videos


def _is_validation(name: str) -> bool:
    return name in DAVIS_VALIDATION or name.removeprefix("davis_") in DAVIS_VALIDATION


def _plain_layout(root: Path) -> list[Video]:
    facts = by_name(read_manifest(root))
    videos = []
    for folder in sorted(p for p in root.iterdir() if (p / "frames").is_dir()):
        video = _video(folder.name, folder / "frames", folder / "masks")
        dense = facts.get(folder.name, {}).get("dense", True)
        if video is not None:
            videos.append(replace(video, dense=dense))
    return videos


def _standard_layout(root: Path, split: str | None) -> list[Video]:
    images, masks = root / "JPEGImages", root / "Annotations"
    if (images / "480p").is_dir():
        images, masks = images / "480p", masks / "480p"
    names = sorted(p.name for p in images.iterdir() if p.is_dir())
    if split is not None:
        listed = root / "ImageSets" / f"{split}.txt"
        if not listed.exists():
            raise DataError(f"no list of sequences at {listed}")
        names = listed.read_text().split()
    videos = [_video(name, images / name, masks / name) for name in names]
    return [v for v in videos if v is not None]


def _video(name: str, images: Path, masks: Path) -> Video | None:
    try:
        frames = list_frames(_existing(images))
    except FrameError as error:
        raise DataError(str(error)) from error
    found = {p.stem: p for p in masks.glob("*.png") if is_picture(p)} if masks.is_dir() else {}
    if not found:
        log.warning("left out, no masks: %s", name)
        return None
    weight = SET_WEIGHTS.get(name.split("_")[0], 1.0)
    return Video(name, tuple(frames), tuple(found.get(f.stem) for f in frames), weight=weight)


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise DataError(f"no folder {folder}")
    return folder
