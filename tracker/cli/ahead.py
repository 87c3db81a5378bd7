"""Objects that start late are checked before anything is tracked: do they fit their frame?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tracker.cli.earlier import RunError
from tracker.frames import read_image
from tracker.labels import MaskError, check_masks
from tracker.media.prompt_file import Start
from tracker.media.sources import list_frames
from tracker.media.video import open_frames
from tracker.prompts import check_prompt

Shape = tuple[int, int]


def check_late_starts(source: Path, starts: Sequence[Start], count: int | None) -> None:
    """Raise MaskError for a late start that does not fit its frame, RunError for one after the end.

    source: a video or a folder of frames; count: how many frames it tells of. A video is read up to
    a start only where the start does not fit the video's first frame or lies beyond `count`.
    """
    late = [start for start in starts if start.frame > 0]
    if not late:
        return
    if source.is_dir():
        check_in_time(source, late, len(list_frames(source)))
    beginning = None if source.is_dir() else _shape(source, 0)
    for start in late:
        beyond = count is not None and start.frame >= count
        if beginning is None or beyond or not _fits(start, beginning):
            try:
                _check(start, _shape(source, start.frame))
            except MaskError as error:
                raise MaskError(f"{start.where}: {error}") from error
            except IndexError as end:
                check_in_time(source, late, end.args[0])


def check_in_time(source: str | Path, starts: Sequence[Start], count: int) -> None:
    """Raise RunError for starts after the last of `count` frames."""
    if late := [start.where for start in starts if start.frame >= count]:
        raise RunError(
            f"{source} has {count} frames, numbered from 0: too late for {', '.join(late)}"
        )


def _shape(source: Path, number: int) -> Shape:
    """(H, W) of a frame. IndexError with the number of frames where a video has none."""
    if source.is_dir():
        return read_image(list_frames(source)[number]).shape[:2]
    read = 0
    with open_frames(source) as frames:
        for frame in frames:
            if frame.number == number:
                return frame.image.shape[:2]
            read += 1
    raise IndexError(read)


def _fits(start: Start, shape: Shape) -> bool:
    try:
        _check(start, shape)
    except MaskError:
        return False
    return True


def _check(start: Start, shape: Shape) -> None:
    if isinstance(start.what, Path):
        check_masks(start.objects(), shape)
    else:
        check_prompt(start.what, shape)
