"""VOT data sets on disk: what the sequences are, and writing new ones.

    DATA/list.txt                        one sequence name a line
    DATA/NAME/sequence                   key=value lines
    DATA/NAME/color/%08d.jpg             frames, from 1
    DATA/NAME/groundtruth_<id>.txt       one region a frame
    DATA/NAME/groundtruth.txt            one object, where there is no groundtruth_<id>.txt; the
                                         key `groundtruth` of `sequence` gives another name

Only this layout is read and written here; the toolkit knows a few more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker.vot import soundness
from tracker.vot.errors import VotError
from tracker.vot.regions import UNKNOWN_LINE
from tracker.vot.text import read_lines, write_text


@dataclass(frozen=True)
class SequenceInfo:
    """One sequence of a data set.

    objects: the ids in the names of the ground truth files, without those that begin with `_`
    (areas to ignore). length: frames, stated or counted. size: (width, height) in pixels, None when
    not stated.
    starts: the frame (from 0) in which each object starts: its first line that is not `0`.
    known: frames that have a line of ground truth; those after them are not scored.
    scored: frames of these in which the ground truth of an object is known.
    """

    name: str
    folder: Path
    length: int
    size: tuple[int, int] | None
    objects: tuple[str, ...]
    starts: Mapping[str, int]
    known: int
    scored: int


def is_dataset(folder: Path) -> bool:
    """Whether `folder` holds a VOT data set (has a list.txt)."""
    return (folder / "list.txt").is_file()


def read_names(folder: Path) -> list[str]:
    """The sequence names of list.txt; VotError when it is missing or empty."""
    path = folder / "list.txt"
    if not path.is_file():
        raise VotError(f"{folder} is no VOT data set: there is no list.txt")
    names = [line.strip() for line in read_lines(path) if line.strip()]
    if not names:
        raise VotError(f"{path} names no sequence")
    return [checked_name(name, path) for name in names]


def checked_name(name: str, origin: Path) -> str:
    """A name that becomes a folder: VotError when it would lead out of the folder it belongs to."""
    if name in ("", ".", "..") or any(c in "/\\" or not c.isprintable() for c in name):
        raise VotError(f"{origin}: {name!r} is no name of a sequence; it must be a plain file name")
    return name


def read_metadata(folder: Path) -> dict[str, str]:
    """The key=value lines of the file `sequence`; VotError when it is missing."""
    path = folder / "sequence"
    if not path.is_file():
        raise VotError(f"{path} is missing: {folder.name} is no VOT sequence")
    pairs = (line.partition("=") for line in read_lines(path) if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def groundtruth_files(folder: Path) -> dict[str, Path]:
    """Object id -> ground truth file, sorted by id."""
    paths = sorted(folder.glob("groundtruth_*.txt"))
    if not paths:
        single = folder / read_metadata(folder).get("groundtruth", "groundtruth.txt")
        return {"groundtruth": single} if single.is_file() else {}
    files = {path.stem.removeprefix("groundtruth_"): path for path in paths}
    return {name: files[name] for name in sorted(files) if not name.startswith("_")}


def read_sequence(folder: Path) -> SequenceInfo:
    """What is known of one sequence; VotError when it cannot be used."""
    soundness.check_path(folder)
    metadata = read_metadata(folder)
    files = groundtruth_files(folder)
    if not files:
        raise VotError(f"{folder} has no groundtruth.txt and no groundtruth_<id>.txt")
    lines = {name: read_lines(path) for name, path in files.items()}
    length, width, height = (
        _whole_number(folder, metadata, key) for key in ("length", "width", "height")
    )
    length = length or count_frames(folder, metadata)
    starts = {name: first_known(text) for name, text in lines.items()}
    for name, path in files.items():
        soundness.check_groundtruth(path, lines[name], starts[name], length)
    name = checked_name(metadata.get("name", folder.name), folder / "sequence")
    size = (width, height) if width and height else None
    if size is not None:
        soundness.check_size(folder, _first_frame(folder, metadata), size)
    known = max(map(len, lines.values()))
    scored = {i for text in lines.values() for i, line in enumerate(text) if _is_known(line)}
    return SequenceInfo(name, folder, length, size, tuple(files), starts, known, len(scored))


def _whole_number(folder: Path, metadata: Mapping[str, str], key: str) -> int:
    """The number of this key in the file `sequence`, 0 where it is not stated."""
    text = metadata.get(key, "0")
    if not re.fullmatch("[0-9]{1,9}", text):
        raise VotError(
            f"{folder / 'sequence'}: {key}={text}: it must be a whole number; without a line "
            f"{key}= it is taken from the frames"
        )
    return int(text)


def count_frames(folder: Path, metadata: Mapping[str, str]) -> int:
    """The frames of a sequence without `length`, as the toolkit counts: to the first missing file.

    Data sets that the toolkit has downloaded need not state their length, and their ground truth
    may end early. VotError when there is no frame at all.
    """
    path = _frames(folder, metadata)
    try:
        path.name % 1
    except (TypeError, ValueError) as error:
        raise VotError(
            f"{folder / 'sequence'}: the channel {str(path.relative_to(folder))!r} holds no number "
            "such as %08d, and there is no length; correct one of them"
        ) from error
    length = 0
    while path.with_name(path.name % (length + 1)).is_file():
        length += 1
    if not length:
        raise VotError(f"{folder}: `sequence` states no length, and there is no {path} from 1")
    return length


def frames_pattern(folder: Path) -> Path:
    """The path of the frames of a sequence, with a pattern such as %08d for their number."""
    return _frames(folder, read_metadata(folder))


def _frames(folder: Path, metadata: Mapping[str, str]) -> Path:
    channels = (metadata.get(f"channels.{name}") for name in ("color", "depth", "ir"))
    pattern = next(filter(None, channels), "color").replace("\\", "/")
    return folder / (pattern if Path(pattern).suffix else f"{pattern}/%08d.jpg")


def frame_files(folder: Path) -> list[os.DirEntry[str]]:
    """The frames of a sequence that are there, sorted by name."""
    path = frames_pattern(folder)
    if not path.parent.is_dir():
        return []
    with os.scandir(path.parent) as entries:
        found = [entry for entry in entries if entry.name.endswith(path.suffix) and entry.is_file()]
    return sorted(found, key=lambda entry: entry.name)


def _first_frame(folder: Path, metadata: Mapping[str, str]) -> Path:
    path = _frames(folder, metadata)
    try:
        return path.with_name(path.name % 1)
    except (TypeError, ValueError):
        return path


def first_known(lines: Sequence[str]) -> int:
    """The index of the first line that does not say unknown, their number when all do."""
    return next((i for i, line in enumerate(lines) if _is_known(line)), len(lines))


def _is_known(line: str) -> bool:
    return line.strip() != UNKNOWN_LINE


def anchors(info: SequenceInfo, name: str = "anchor") -> list[tuple[int, bool]]:
    """The frames (from 0) in which a multi-start experiment starts, each with whether it runs
    forward: all forward ones, then the backward ones. VotError when the sequence has none.
    """
    path = info.folder / f"{name}.value"
    try:
        values = [float(line or 0) for line in path.read_text().split("\n")][: info.length]
    except (OSError, ValueError) as error:
        raise VotError(
            f"{info.folder.name} has no {path.name} with one number a frame: a multi-start "
            "experiment starts at 1 (forward) and -1 (backward)"
        ) from error
    found = [(frame, value > 0) for frame, value in enumerate(values) if value]
    if not found:
        raise VotError(f"{path} marks no frame with 1 (forward) or -1 (backward)")
    return sorted(found, key=lambda anchor: not anchor[1])


def read_dataset(folder: Path) -> list[SequenceInfo]:
    """All sequences of list.txt, in its order; VotError when two of them have one name."""
    found: dict[str, SequenceInfo] = {}
    for name in read_names(folder):
        info = read_sequence(folder / name)
        if (other := found.setdefault(info.name, info)) is not info:
            raise VotError(
                f"{folder / 'list.txt'}: {other.folder.name} and {name} are both the sequence "
                f"{info.name!r}, and their results would be mixed; take one out, or change `name=` "
                "in its file `sequence`"
            )
    return list(found.values())


def object_ids(numbers: Sequence[int]) -> list[str]:
    """Names of objects, padded so that sorting by name sorts by number."""
    width = max(2, len(str(max(numbers, default=1))))
    return [f"{number:0{width}d}" for number in numbers]


def write_sequence(
    folder: Path,
    regions: Mapping[str, Sequence[str]],
    size: tuple[int, int],
    fps: int,
    suffix: str = ".jpg",
) -> None:
    """Write `sequence` and the ground truth of a sequence whose frames lie in folder/color.

    regions: object id -> one line a frame. size: (width, height). fps: an integer, the toolkit
    takes no other. `length` is always written: without it the toolkit cuts a sequence at the
    first missing frame and says nothing.
    """
    length = len(next(iter(regions.values())))
    metadata = {
        "channel.default": "color",
        "channels.color": f"color/%08d{suffix}",
        "format": "default",
        "fps": str(int(fps)),
        "height": str(size[1]),
        "length": str(length),
        "name": folder.name,
        "width": str(size[0]),
    }
    text = "".join(f"{key}={value}\n" for key, value in metadata.items())
    write_text(folder / "sequence", text)
    for name, lines in regions.items():
        write_text(folder / f"groundtruth_{name}.txt", "\n".join(lines) + "\n")


def write_list(folder: Path, names: Sequence[str]) -> None:
    """Write list.txt; written last, it marks a data set as complete."""
    write_text(folder / "list.txt", "".join(f"{name}\n" for name in names))
