"""The data set that a workspace has of frames and masks, and the note of what it was made of.

The note, `converted_from.txt`, holds the folder, the names of the sequences, and a digest over
names, sizes and times of all frames and masks: sources that have changed since are noticed.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from tracker.media.sources import is_picture
from tracker.vot import convert, toolkit
from tracker.vot.dataset import is_dataset
from tracker.vot.errors import VotError
from tracker.vot.text import read_lines, write_text
from tracker.vot.workspace import Workspace

_log = logging.getLogger(__name__)
_NAME = "converted_from.txt"
_DIGEST = "digest "  # the names of sequences hold no space


def convert_into(workspace: Workspace, source: Path, force: bool = False) -> None:
    """Convert `source`, or see that the data set that is there was made of it as it is now.

    force: one that was made of the same folder is made anew where the folder has changed.
    VotError for a data set of another folder, and without `force` for a changed one.
    """
    note = workspace.folder / _NAME
    found = convert.find_sources(source)
    names = [str(source), *(one.name for one in found)]
    made_of = "\n".join([*names, f"{_DIGEST}{_digest(found)}"]) + "\n"
    if not is_dataset(workspace.sequences):
        write_text(note, made_of)
        convert.convert(source, workspace.sequences)
        return
    noted = read_lines(note) if note.is_file() else []
    if noted == made_of.splitlines():
        return
    if force and noted[:1] == [str(source)]:
        _replace(workspace.sequences, source)
        write_text(note, made_of)
    elif noted in ([], names):
        _log.warning(
            "%s does not say which frames and masks it was made of: changes of %s go unnoticed; "
            "FORCE=1 converts again where a note names the folder",
            workspace.sequences,
            source,
        )
    else:
        raise VotError(_other(workspace, source, noted[0]))


def noted_digest(workspace: Workspace) -> str:
    """The digest of the frames and masks that the data set was made of; "" without a note."""
    note = workspace.folder / _NAME
    lines = read_lines(note) if note.is_file() else []
    return next((line for line in lines if line.startswith(_DIGEST)), "")


def _other(workspace: Workspace, source: Path, noted: str) -> str:
    remedy = "name another WORKSPACE=folder, or remove this one"
    if noted == str(source):
        remedy = f"FORCE=1 converts again and runs all again; or {remedy}"
    return (
        f"{workspace.sequences} was converted from {noted}, and not from {source} as it is now; "
        f"{remedy}"
    )


def _replace(folder: Path, source: Path) -> None:
    """Convert again; the old data set goes when the new one is whole."""
    _log.warning("%s has changed: converting again", source)
    fresh = folder.with_name(folder.name + ".new")
    toolkit.remove_folder(fresh)
    convert.convert(source, fresh)
    toolkit.remove_folder(folder)
    fresh.rename(folder)


def _digest(sources: Sequence[convert.Source]) -> str:
    """Over names, sizes and times of change of all frames and masks."""
    total = hashlib.sha256()
    for source in sources:
        for kind, folder in (("frames", source.frames), ("masks", source.masks)):
            total.update(f"{source.name}/{kind}\n".encode())
            for path in sorted(path for path in folder.iterdir() if is_picture(path)):
                stat = path.stat()
                total.update(f"{path.name}/{stat.st_size}/{stat.st_mtime_ns}\n".encode())
    return total.hexdigest()[:16]
