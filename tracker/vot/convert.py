"""`python -m tracker convert SRC DST`: a VOT data set out of frames and indexed masks.

Layouts of SRC:
    NAME/frames/* and NAME/masks/*.png            one folder a sequence
    JPEGImages[/480p]/NAME and Annotations[/480p]/NAME      DAVIS
    frames/* and masks/*.png                      a single sequence

A mask is a PNG whose values are ids of objects (palette or grey): 0 is background, 255 is void and
counts as background, unless a sequence has no other value: then it is its one object (DAVIS-2016);
or higher ones (16 bits): then it is an object like them.
A mask belongs to the frame of the same name or number (`tracker.vot.pairing`). A frame without a
mask file is unknown ground truth; an object that has been seen and is not in a mask is absent. An
object starts where it is two pixels wide and high: the toolkit takes a thinner mask for an empty
one. One that never is, is left out with a warning.

Frames become `%08d.jpg`, or `%08d.png` where they are no JPEGs: the toolkit takes no other names,
and tells the kind of a picture by its content.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.arguments import some_path, whole
from tracker.frames import PICTURE_ERRORS, FrameError, picture_fault, stated_size
from tracker.labels import MaskError
from tracker.media.masks import read_labels
from tracker.media.sources import is_picture, list_frames
from tracker.vot.dataset import first_known, is_dataset, object_ids, write_list, write_sequence
from tracker.vot.errors import VotError
from tracker.vot.pairing import pair_masks
from tracker.vot.regions import ABSENT_LINE, UNKNOWN_LINE, encode_mask, format_mask
from tracker.vot.whole import made_whole

_log = logging.getLogger(__name__)

VOID = 255
# Values of the orientation tag that exchange width and height.
_FRAME_FOLDERS = ("frames", "color", "images")
_MASK_FOLDERS = ("masks", "annotations")


@dataclass(frozen=True)
class Source:
    """One sequence to convert: its name, folder of frames, folder of masks."""

    name: str
    frames: Path
    masks: Path


def find_sources(root: Path) -> list[Source]:
    """The sequences under `root`, sorted by name; VotError says what was looked for.

    No two have the same name: VotError names the folders.
    """
    if root.is_file():
        raise VotError(f"{root} is a file; name a folder of frames and masks")
    if not root.is_dir():
        raise VotError(f"there is no folder {root}")
    single = _sequence_folder(root)
    if single:
        return [single]
    folders = [path for path in sorted(root.iterdir()) if path.is_dir()]
    found = _davis_sources(root) or [source for source in map(_sequence_folder, folders) if source]
    known: dict[str, Source] = {}
    for source in found:
        if (other := known.setdefault(source.name, source)) is not source:
            raise VotError(
                f"{other.frames} and {source.frames} both give a sequence {source.name!r}; "
                "rename one of them"
            )
    if not found:
        raise VotError(
            f"no sequences in {root}: looked for NAME/frames with NAME/masks, for "
            "JPEGImages/480p/NAME with Annotations/480p/NAME, and for frames with masks"
        )
    return found


def _sequence_folder(folder: Path) -> Source | None:
    frames = next((folder / name for name in _FRAME_FOLDERS if (folder / name).is_dir()), None)
    masks = next((folder / name for name in _MASK_FOLDERS if (folder / name).is_dir()), None)
    if frames is None:
        return None
    if masks is None:
        raise VotError(f"{folder} has {frames.name} and no folder masks")
    return Source(_safe_name(folder.resolve().name), frames, masks)


def _davis_sources(root: Path) -> list[Source]:
    for part in ("480p", "."):
        frames, masks = root / "JPEGImages" / part, root / "Annotations" / part
        if not frames.is_dir() or not masks.is_dir():
            continue
        names = sorted(path.name for path in frames.iterdir() if (masks / path.name).is_dir())
        if names:
            return [Source(_safe_name(name), frames / name, masks / name) for name in names]
    return []


def _safe_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)


def _frame_size(path: Path) -> tuple[int, int]:
    """(width, height) as the toolkit and the tracker read the file: its orientation tag counts."""
    try:
        return stated_size(path)
    except PICTURE_ERRORS as error:
        raise VotError(f"{path} cannot be read as a picture: {picture_fault(error)}") from error


def _size_of_all(frames: Sequence[Path]) -> tuple[int, int]:
    size = _frame_size(frames[0])
    for frame in frames[1:]:
        if _frame_size(frame) != size:
            raise VotError(f"{frame} differs in size from {frames[0].name}: {size[0]} x {size[1]}")
    return size


def groundtruth(frames: Sequence[Path], masks: Path, size: tuple[int, int]) -> dict[str, list[str]]:
    """Object id -> one line a frame, from the masks of the frames; size is (width, height).

    VotError for masks that do not belong to the frames; MaskError for one that cannot be read.
    """
    found = sorted(path for path in masks.glob("*.png") if is_picture(path))
    if not found:
        raise VotError(f"no masks (*.png) in {masks}")
    paths = pair_masks(frames, found)
    lines: dict[int, list[str]] = {}
    seen: set[int] = set()
    for index, (frame, path) in enumerate(zip(frames, paths, strict=True)):
        labels = None if path is None else read_labels(path)
        if labels is not None:
            _check_size(path, labels, frame, size)
            for label in np.unique(labels[labels > 0]).tolist():
                if label not in lines and _can_start(labels == label):
                    lines[label] = [UNKNOWN_LINE] * index
                seen.add(label)
        for label, text in lines.items():
            text.append(_line(labels, label))
    if not lines:
        raise VotError(f"the masks in {masks} hold no object of two by two pixels")
    void = {VOID} if max(seen) <= VOID else set()
    for label in sorted(seen - lines.keys() - void):
        _log.warning("%s: object %d is left out: it is never two by two pixels", masks, label)
    only = lines.pop(VOID, None) if void else None
    if not lines:
        lines = {1: only}
    labels = sorted(lines)
    return dict(zip(object_ids(labels), [lines[label] for label in labels], strict=True))


def _check_size(path: Path, labels: np.ndarray, frame: Path, size: tuple[int, int]) -> None:
    if labels.shape != (size[1], size[0]):
        raise VotError(
            f"{path} is {labels.shape[1]} x {labels.shape[0]}, {frame.name} is "
            f"{size[0]} x {size[1]}: masks must have the size of the frames"
        )


def _can_start(mask: np.ndarray) -> bool:
    return mask.any(axis=0).sum() > 1 and mask.any(axis=1).sum() > 1


def _line(labels: np.ndarray | None, label: int) -> str:
    if labels is None:
        return UNKNOWN_LINE
    mask = labels == label
    return format_mask(encode_mask(mask)) if mask.any() else ABSENT_LINE


def convert_sequence(source: Source, target: Path, fps: int, copy: bool = False) -> None:
    """Write one sequence into `target`; frames become links, or copies. VotError says why not."""
    try:
        frames = list_frames(source.frames)
        size = _size_of_all(frames)
        lines = groundtruth(frames, source.masks, size)
    except (FrameError, MaskError) as error:
        raise VotError(str(error)) from error
    first = min(first_known(text) for text in lines.values())
    if first:
        _log.warning("%s: no object before %s, frames left out", source.name, frames[first].name)
        frames = frames[first:]
        lines = {name: text[first:] for name, text in lines.items()}
    suffix = ".jpg" if frames[0].suffix.lower() in (".jpg", ".jpeg") else ".png"
    (target / "color").mkdir(parents=True)
    for number, frame in enumerate(frames, 1):
        place = target / "color" / f"{number:08d}{suffix}"
        if copy:
            shutil.copyfile(frame, place)
        else:
            place.symlink_to(os.path.relpath(frame.resolve(), place.parent.resolve()))
    write_sequence(target, lines, size, fps, suffix)


def convert(root: Path, folder: Path, fps: int = 24, copy: bool = False) -> list[str]:
    """Convert all sequences under `root` into the data set `folder`; returns their names.

    Works in a folder beside it and renames at the end: an interrupted run leaves no half data set.
    VotError when `folder` exists and is not empty, and for input that cannot be used.
    """
    sources = find_sources(root)
    names = [source.name for source in sources]
    with made_whole(folder) as part:
        for source in sources:
            _log.info("converting %s", source.name)
            convert_sequence(source, part / source.name, fps, copy)
        write_list(part, names)
    return names


def main(argv: list[str]) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tracker convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=some_path)
    parser.add_argument("folder", type=some_path, help="the new data set")
    parser.add_argument("--fps", type=whole(1), default=24, help="frames per second (default 24)")
    parser.add_argument("--copy", action="store_true", help="copy the frames instead of linking")
    args = parser.parse_args(argv)
    try:
        if is_dataset(args.source):
            raise VotError(f"{args.source} is a VOT data set already")
        names = convert(args.source, args.folder, args.fps, args.copy)
    except (VotError, OSError) as error:
        print(f"convert failed: {error}", file=sys.stderr)
        return 1
    print(f"{len(names)} sequences in {args.folder}: {', '.join(names)}")
    return 0
