"""What a new run takes the place of in its folder of results, and what it must not touch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tracker.cli.progress import RECORD_FILE, record_files
from tracker.media import results
from tracker.media.sources import list_pictures


class RunError(ValueError):
    """A command line that cannot be done."""


def earlier_results(out: Path, overwrite: bool) -> list[Path]:
    """Files of an earlier run that a new one replaces. RunError when it shall not."""
    found = results.written_files(out)
    if found and not overwrite:
        unfinished = ", go on with --resume" if (out / RECORD_FILE).is_file() else ""
        raise RunError(
            f"{out} holds {len(found)} files of an earlier run, as {found[0].relative_to(out)}; "
            f"name another folder with --out{unfinished}, or add --overwrite"
        )
    return found


def check_inputs(out: Path, source: Path, others: Iterable[Path]) -> None:
    """Raises RunError when what is read would be deleted or written over, or mixed with masks.

    source: a video, a folder of pictures, or no file at all (a camera). others: files. Links count
    as what they lead to.
    """
    masks = out / results.MASKS
    if source.is_dir() and masks.is_dir() and source.samefile(masks):
        raise RunError(
            f"the masks would be written among the frames in {source}; name another --out than "
            f"{out}"
        )
    taken = {_identity(path) for path in (*results.written_files(out), *record_files(out))}
    if not taken:
        return
    for path in (*others, *(list_pictures(source) if source.is_dir() else [source])):
        if path.is_file() and _identity(path) in taken:
            raise RunError(
                f"{path} is read by this run, and its results in --out {out} would take the place "
                "of that file; nothing was touched: name another folder with --out"
            )


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:  # a link that leads nowhere
        status = path.lstat()
    return status.st_dev, status.st_ino
