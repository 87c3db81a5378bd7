"""`python -m tracker compose`: videos of several objects with exact masks, for scoring.

Objects of one video are laid over another, as for training: they cross, leave, return, and have
look-alikes. Made from videos that were not trained on, this is what real sets with many objects
would be for. Score with `python -m tracker eval --data FOLDER`.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from PIL import Image

from tracker.arguments import output_folder, some_path, whole
from tracker.frames import PICTURE_ERRORS, stated_size
from tracker.training.clips import Clip, ClipConfig, ClipDataset
from tracker.training.errors import DataError
from tracker.training.library import Library
from tracker.training.sources import find_videos

logger = logging.getLogger(__name__)

LEAST_OBJECTS = 2
LEAST_SIZE = 16
JPEG_QUALITY = 92


def compose(data: Path, out: Path, clips: int, frames: int, size: int, seed: int) -> int:
    """Write `clips` videos of `frames` square frames, `size` pixels a side, as `out`/NAME.

    data: videos with masks in any of the known layouts, validation sequences too. Every video has
    two objects or more in its first frame. The same arguments give the same videos.
    Returns how many objects they have. Raises DataError for data without videos, for a mask of
    another size than its frame, or when `out` holds something already.
    """
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty; name another folder, or remove it")
    library = Library(videos=[video.annotated for video in find_videos(data, validation=True)])
    check_sizes(library)
    config = ClipConfig(frames=frames, size=size, static=0, video=0, composed=1, max_gap=1)
    source = ClipDataset(library, config, seed)
    objects = made = number = 0
    while made < clips:
        clip = source.clip(number)
        number += 1
        if clip.count >= LEAST_OBJECTS:
            write_clip(clip, out / f"composed_{made:03d}")
            made, objects = made + 1, objects + clip.count
    return objects


def check_sizes(library: Library) -> None:
    """DataError, as `Library.frame` raises it, for a video whose mask does not fit its frame.

    Only what differs by the headers of the files is read.
    """
    for video in library.videos:
        for t, (frame, mask) in enumerate(zip(video.frames, video.masks, strict=True)):
            if _size(frame) != _size(mask):
                library.frame(video, t)


def _size(path: Path) -> tuple[int, int] | None:
    """(width, height) by the header of a picture, None for what is no picture."""
    try:
        return stated_size(path)
    except PICTURE_ERRORS:
        return None


def write_clip(clip: Clip, folder: Path) -> None:
    """`folder`/frames/%05d.jpg and `folder`/masks/%05d.png, indexed as the clip's labels."""
    (folder / "frames").mkdir(parents=True)
    (folder / "masks").mkdir()
    for t, (frame, labels) in enumerate(zip(clip.frames, clip.labels, strict=True)):
        Image.fromarray(frame).save(folder / f"frames/{t:05d}.jpg", quality=JPEG_QUALITY)
        Image.fromarray(labels).save(folder / f"masks/{t:05d}.png")


def main(argv: list[str]) -> int:
    """Run the command. Status 1: no data, or a folder in use."""
    parser = argparse.ArgumentParser("python -m tracker compose", description=__doc__)
    add = parser.add_argument
    add("--data", type=some_path, required=True, help="folder of videos with masks")
    add("--out", type=output_folder, required=True, help="folder for the composed videos")
    add("--clips", type=whole(1), default=16, help="how many videos (default 16)")
    add("--frames", type=whole(1), default=40, help="frames of each (default 40)")
    add("--size", type=whole(LEAST_SIZE), default=481, help="side in pixels (default 481)")
    add("--seed", type=whole(0), default=0, help="another seed gives other videos (default 0)")
    args = parser.parse_args(argv)
    try:
        objects = compose(args.data, args.out, args.clips, args.frames, args.size, args.seed)
    except (DataError, OSError) as error:
        print(f"compose: {error}", file=sys.stderr)
        return 1
    logger.info("%d videos with %d objects: %s", args.clips, objects, args.out)
    return 0
