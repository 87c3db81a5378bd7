"""`python -m tracker run VIDEO|FOLDER|CAMERA`: track objects in your own video.

Objects are numbered in the order in which they start; in one frame masks come first, then boxes,
points, and the entries of --prompts.
"""

from __future__ import annotations

import argparse
import errno
import functools
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from tracker.alone import OccupiedError, alone_in
from tracker.cli.ahead import check_in_time, check_late_starts
from tracker.cli.asked import contents
from tracker.cli.earlier import RunError, check_inputs, earlier_results
from tracker.cli.progress import RECORD_FILE, Progress, ResumeError, fitting
from tracker.cli.stopping import Stopper
from tracker.cli.words import parse
from tracker.config import ConfigError
from tracker.exits import INTERRUPTED
from tracker.frames import FrameError
from tracker.labels import MaskError
from tracker.media import prompt_file, results
from tracker.media.masks import soft_values
from tracker.media.prompt_file import Start
from tracker.media.sources import Frame, Frames
from tracker.media.video import open_frames
from tracker.overrides import read_overrides
from tracker.saved import StateError
from tracker.stages import FrameResult
from tracker.streaming import follow

if TYPE_CHECKING:
    from tracker.pipeline import HQTracker

logger = logging.getLogger(__name__)

MISSING_SHARE = 0.01
"""Share of the frames that a video tells of which may be missing without a word."""


def main(argv: list[str], make_tracker: Callable[..., HQTracker] | None = None) -> int:
    """Run the command; `make_tracker(preset, weights, device, **settings)` is for tests."""
    arguments = parse(argv, __doc__)
    from tracker.checkpoints import CheckpointError
    from tracker.out_of_memory import OutOfMemoryError

    if make_tracker is None:
        from tracker.pipeline import HQTracker

        make_tracker = HQTracker.from_preset
    refusals = (
        RunError,
        ResumeError,
        OccupiedError,
        StateError,
        FrameError,
        MaskError,
        ConfigError,
    )
    try:
        finished = _run(arguments, make_tracker)
    except KeyboardInterrupt:
        finished = False
    except (*refusals, CheckpointError, OutOfMemoryError, OSError) as error:
        logger.error("%s%s", error, _remedy(error, _out(arguments)))
        return 1
    if not finished:
        logger.error("interrupted; %s", _kept(_out(arguments)))
    return 0 if finished else INTERRUPTED


def _remedy(error: Exception, out: Path) -> str:
    """What to do about an error that does not say it."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"; make room for {out}, then go on with --resume"
    if isinstance(error, OccupiedError):
        return "; wait for it to end, or name another folder with --out"
    return ""


def _kept(out: Path) -> str:
    """What an interrupted run leaves in its folder: nothing where its first frame was not done."""
    if not (out / RECORD_FILE).is_file():
        return "no frame was done"
    return f"what was done so far is in {out}; the same command with --resume goes on"


def _run(arguments: argparse.Namespace, make_tracker: Callable[..., HQTracker]) -> bool:
    """Whether the video was tracked to its end (a camera: until it was stopped)."""
    starts, settings, out = read_starts(arguments), read_overrides(arguments.set), _out(arguments)
    _check_out(out)
    _warn_of_soft(starts)
    files = _files(arguments, starts)
    check_inputs(out, Path(arguments.source), files)
    asked = {"source": arguments.source, "objects": [start.where for start in starts]}
    asked |= {"preset": arguments.preset, "settings": arguments.set}
    with open_frames(arguments.source) as frames:
        progress = Progress(out, asked | contents(arguments.source, files))
        if arguments.resume and frames.live:
            raise RunError("a camera cannot be resumed; its frames are gone")
        if arguments.resume:
            progress.resumable()
        if not frames.live:
            check_late_starts(Path(arguments.source), starts, frames.count)
        earlier = [] if arguments.resume else earlier_results(out, arguments.overwrite)
        tracker = make_tracker(arguments.preset, arguments.weights, arguments.device, **settings)
        logger.info("weights: %s", tracker.weights_note)
        name = Path(arguments.source).name
        out.mkdir(parents=True, exist_ok=True)
        with alone_in(out):
            if arguments.resume:
                progress.resume(tracker)
            begin = functools.partial(_begin, arguments, frames, earlier, progress)
            done, stopped = track_all(tracker, frames, starts, begin, progress)
            if stopped and not frames.live:
                return False
            progress.check_length(name, done)
            progress.finish()
        check_in_time(arguments.source, [] if stopped else starts, done)
        if frames.count is not None and done < frames.count * (1 - MISSING_SHARE):
            count = frames.count
            logger.warning("%s tells of %d frames, %d could be read", name, count, done)
    logger.info("results in %s", out)
    return True


def _begin(
    arguments: argparse.Namespace, frames: Frames, earlier: Sequence[Path], progress: Progress
) -> results.ResultsWriter:
    """Make room for the results, and open them."""
    out, overlay = _out(arguments), not arguments.no_overlay
    (out / results.MASKS).mkdir(exist_ok=True)
    for path in earlier:
        path.unlink(missing_ok=True)
    if not arguments.resume:
        progress.begin()
    name = Path(arguments.source).name
    return results.ResultsWriter(out, name, frames, overlay, arguments.rle)


def track_all(
    tracker: HQTracker,
    frames: Frames,
    starts: Sequence[Start],
    begin: Callable[[], results.ResultsWriter],
    progress: Progress,
) -> tuple[int, bool]:
    """Frames written, and whether it was stopped before the end; see `tracker.cli.progress`.

    `begin` opens the results when the first frame has its answer: a run that cannot start, as its
    prompts do not fit the frame, leaves those of an earlier one.
    """
    safe, first, began, done = progress.results(), progress.done, time.perf_counter(), 0
    with ExitStack() as files:
        writer = None
        with Stopper() as stopper, tqdm(frames, total=frames.count, unit="frame") as bar:
            for frame in bar:
                done, again = frame.number + 1, frame.number < first
                if again:
                    result = fitting(next(safe), frame)
                else:
                    result = track_frame(tracker, frame, starts)
                if writer is None:
                    writer = files.enter_context(begin())
                writer.add(frame, result, masks=not again)
                if not again:
                    progress.add(result, tracker, frame.number)
                if stopper.asked:
                    break
        if stopper.asked and done > first:
            progress.save(tracker, done)
        seconds, new = time.perf_counter() - began, max(0, done - first)
        logger.info("%d frames in %.1f s (%.2f frames/s)", new, seconds, new / seconds)
    return done, stopper.asked


def track_frame(tracker: HQTracker, frame: Frame, starts: Sequence[Start]) -> FrameResult:
    """One frame, in which the objects asked for start. Errors name what asked for them."""
    due = [start for start in starts if start.frame == frame.number]
    objects: list[Any] = [one for start in due for one in start.objects()]
    if objects:
        told = "1 object starts" if len(objects) == 1 else f"{len(objects)} objects start"
        logger.info("%s in frame %d", told, frame.number)
    try:
        return follow(tracker, frame.image, objects)
    except MaskError as error:
        raise MaskError(f"{', '.join(start.where for start in due)}: {error}") from error


def read_starts(arguments: argparse.Namespace) -> list[Start]:
    """The objects asked for. Raises RunError when there are none, PromptError, MaskError."""
    starts = [prompt_file.mask_start(words) for words in arguments.mask]
    starts += [prompt_file.box_start(words) for words in arguments.box]
    starts += [prompt_file.point_start(words) for words in arguments.point]
    starts += prompt_file.read_prompts(arguments.prompts) if arguments.prompts else []
    if not starts:
        raise RunError("no objects: give --mask, --box, --point or --prompts")
    return starts


def _warn_of_soft(starts: Sequence[Start]) -> None:
    for start in starts:
        if isinstance(start.what, Path) and (count := soft_values(start.what)):
            logger.warning(
                "%s: a grey mask with %d values, most of them of a few pixels, and each is an "
                "object; if its edges are soft, threshold it at 128",
                *(start.where, count),
            )


def _out(arguments: argparse.Namespace) -> Path:
    return arguments.out or Path("runs") / Path(arguments.source).resolve().stem


def _files(arguments: argparse.Namespace, starts: Sequence[Start]) -> list[Path]:
    """The files that tell which objects start."""
    masks = [start.what for start in starts if isinstance(start.what, Path)]
    return masks + ([arguments.prompts] if arguments.prompts else [])


def _check_out(out: Path) -> None:
    place = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not place.is_dir():
        raise RunError(f"--out {out}: {place} is a file; results go into a folder, name another")
