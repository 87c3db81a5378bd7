"""The stills, cut-outs and videos of a folder.

Layouts of videos (`find_videos` tells them apart):
    plain        NAME/frames/*.jpg, NAME/masks/*.png
    DAVIS        JPEGImages/480p/NAME/*.jpg, Annotations/480p/NAME/*.png, ImageSets/YEAR/train.txt
    YouTube-VOS  JPEGImages/NAME/*.jpg, Annotations/NAME/*.png, masks on some frames only
Layout of stills: images/NAME.jpg, masks/NAME.png. Masks hold instance ids, 0 is background.

A `manifest.json` beside the data may say, for a set of stills, `"parts": true` (the ids are parts
of one object: their union is used) or `"partition": true` (the ids cover the whole picture: a few
random regions are used as objects); and for a video `"dense": false` (frames far apart).

What is left out: a still or video without masks; videos of the DAVIS validation splits.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from tracker.frames import FrameError
from tracker.media.sources import is_picture, list_frames, list_pictures
from tracker.training.errors import DataError
from tracker.training.items import Rule, Sprite, Still, Video
from tracker.training.manifest import by_name, read_manifest

log = logging.getLogger(__name__)

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
