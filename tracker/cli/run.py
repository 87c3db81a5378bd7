"""`python -m tracker run VIDEO|FOLDER --masks first.png`: track objects in your own video."""

from __future__ import annotations

import argparse
import ast
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from tracker.config import ConfigError
from tracker.frames import FrameError
from tracker.labels import MaskError
from tracker.media.masks import draw, read_objects, write_labels
from tracker.media.tables import TableWriter, object_rows
from tracker.media.video import VideoWriter, open_frames

if TYPE_CHECKING:
    from tracker.pipeline import FrameResult, HQTracker

logger = logging.getLogger(__name__)

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells count it."""


class RunError(ValueError):
    """A command line that cannot be done."""


def main(argv: list[str], make_tracker: Callable[..., HQTracker] | None = None) -> int:
    """Run the command; `make_tracker(preset, weights, device, **settings)` is for tests."""
    arguments = _parser().parse_args(argv)
    from tracker.checkpoints import CheckpointError

    if make_tracker is None:
        from tracker.pipeline import HQTracker

        make_tracker = HQTracker.from_preset
    try:
        _run(arguments, make_tracker)
    except KeyboardInterrupt:
        logger.error("interrupted; what was done so far is in %s", _out(arguments))
        return INTERRUPTED
    except (RunError, FrameError, MaskError, ConfigError, CheckpointError, OSError) as error:
        logger.error("%s", error)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tracker run", description=__doc__)
    add = parser.add_argument
    add("source", type=Path, help="video file, or folder of frames")
    add(
        "--masks",
        nargs="+",
        required=True,
        metavar="[FRAME=]PNG",
        help="indexed or grey mask of the objects, one value per object; they start in frame FRAME "
        "(from 0, default 0); several masks may name one frame",
    )
    add("--out", type=Path, help="folder for the results (default: runs/NAME)")
    add("--overwrite", action="store_true", help="replace the results of an earlier run there")
    add("--overlay", action="store_true", help="also write overlay.mp4")
    add("--preset", default="hqtrack", help="hqtrack (default) or hqtrack-lite")
    add("--weights", type=Path, help="folder of weights")
    add("--device", help="cpu, cuda, cuda:1 (default: CUDA where there is one)")
    add("--set", nargs="+", default=[], metavar="SECTION__SETTING=VALUE", help="other settings")
    return parser


def _run(arguments: argparse.Namespace, make_tracker: Callable[..., HQTracker]) -> None:
    starts = read_starts(arguments.masks)
    settings = read_settings(arguments.set)
    frames = open_frames(arguments.source)
    if arguments.source.is_dir():
        _check_starts(arguments.source, starts, frames.count)
    out = _out(arguments)
    masks = _empty_folder(out / "masks", arguments.overwrite)
    tracker = make_tracker(arguments.preset, arguments.weights, arguments.device, **settings)
    logger.info("weights: %s", tracker.weights_note)
    began, done = time.perf_counter(), 0
    with contextlib.ExitStack() as stack:
        table = stack.enter_context(TableWriter(out / "objects.csv"))
        overlay = None
        if arguments.overlay:
            overlay = stack.enter_context(
                VideoWriter(out / "overlay.mp4", frames.fps, frames.time_base)
            )
        bar = stack.enter_context(tqdm(frames, total=frames.count, unit="frame"))
        for frame in bar:
            number, image = frame.number, frame.image
            result = track_frame(tracker, image, starts.pop(number, []))
            labels = np.zeros(image.shape[:2], np.uint8) if result is None else result.labels
            write_labels(masks / f"{number:08d}.png", labels)
            if result is not None:
                table.add(number, frame.time, object_rows(result))
            if overlay is not None:
                overlay.add(draw(image, labels), frame.time)
            done = number + 1
    seconds = time.perf_counter() - began
    logger.info("%d frames in %.1f s (%.2f frames/s): %s", done, seconds, done / seconds, out)
    _check_starts(arguments.source, starts, done)
    if frames.count is not None and done < frames.count:
        logger.warning(
            "%s tells of %d frames, %d could be read", arguments.source, frames.count, done
        )


def track_frame(
    tracker: HQTracker, image: np.ndarray, starts: Sequence[Path]
) -> FrameResult | None:
    """One frame in which the objects of the files `starts` appear; None before the first ones."""
    if not starts:
        return tracker.track(image) if tracker.count else None
    begin = tracker.add_objects if tracker.count else tracker.initialize
    try:
        return begin(image, [mask for path in starts for mask in read_objects(path)])
    except MaskError as error:
        raise MaskError(f"{', '.join(map(str, starts))}: {error}") from error


def read_starts(specifications: Sequence[str]) -> dict[int, list[Path]]:
    """`first.png` or `30=later.png` -> the mask files of each frame, in the order given.

    Raises MaskError for a file that is missing, empty or no mask, before any work is done.
    """
    starts: dict[int, list[Path]] = {}
    for specification in specifications:
        frame, separator, name = specification.partition("=")
        numbered = bool(separator) and frame.isdecimal()
        path = Path(name if numbered else specification)
        read_objects(path)
        starts.setdefault(int(frame) if numbered else 0, []).append(path)
    return starts


def read_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """`memory__interval=25` -> {"memory__interval": 25}; what is no Python value is a string."""
    settings: dict[str, Any] = {}
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise RunError(f"--set takes SECTION__SETTING=VALUE, not {assignment!r}")
        try:
            settings[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            settings[key] = text
    return settings


def _out(arguments: argparse.Namespace) -> Path:
    return arguments.out or Path("runs") / arguments.source.resolve().stem


def _empty_folder(folder: Path, overwrite: bool) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    earlier = list(folder.glob("*.png"))
    if earlier and not overwrite:
        raise RunError(
            f"{folder} holds {len(earlier)} masks of an earlier run; "
            "name another folder with --out, or add --overwrite"
        )
    for path in earlier:
        path.unlink()
    return folder


def _check_starts(source: Path, starts: dict[int, list[Path]], count: int) -> None:
    late = [f"{number}={path}" for number in starts if number >= count for path in starts[number]]
    if late:
        raise RunError(
            f"{source} has {count} frames, numbered from 0: "
            f"too late for the masks {', '.join(late)}"
        )
