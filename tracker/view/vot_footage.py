"""Sequences and results of a workspace of the toolkit, as footage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tracker.frames import read_image
from tracker.view.footage import Footage, FrameRegions
from tracker.vot.dataset import SequenceInfo, groundtruth_files, read_metadata
from tracker.vot.errors import VotError
from tracker.vot.regions import UNKNOWN, Region, Special
from tracker.vot.trajectory import parse_regions, read_trajectory
from tracker.vot.workspace import TrajectoryFile, Workspace

IGNORED = "groundtruth__ignore.txt"
"""The file of the areas that the toolkit's measures leave out."""

_DEFAULT_FPS = 24.0
_LOWEST_FPS, _HIGHEST_FPS = 1e-5, 1e3


class VotFootage(Footage):
    """One sequence and the trajectories of its objects, first repetition of one experiment."""

    def __init__(self, info: SequenceInfo, files: Sequence[TrajectoryFile]) -> None:
        """`files`: one for each object of the sequence. VotError for what cannot be read."""
        truths = groundtruth_files(info.folder)
        metadata = read_metadata(info.folder)
        self.name, self.objects, self.length = info.name, info.objects, info.length
        self.fps = _fps(metadata)
        self.starts = tuple(info.starts[name] for name in self.objects)
        self._pattern = _pattern(info.folder, metadata)
        self.shape = info.size[::-1] if info.size else read_image(self._path(0)).shape[:2]
        self._answers = [_answers(file, info.length) for file in files]
        self._truths = [_truth(truths[name], info.length) for name in self.objects]
        ignored = info.folder / IGNORED
        self._ignored = _truth(ignored, info.length) if ignored.is_file() else None

    def regions(self, number: int) -> FrameRegions:
        """The regions of a frame, from 0."""
        return FrameRegions(
            tuple(answers[number] for answers in self._answers),
            tuple(truths[number] for truths in self._truths),
            self._ignored[number] if self._ignored else Special(UNKNOWN),
        )

    def images(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """The frames of these numbers; FrameError names one that cannot be read."""
        return (read_image(self._path(number)) for number in numbers)

    def _path(self, number: int) -> Path:
        return self._pattern.with_name(self._pattern.name % (number + 1))


def workspace_footage(
    workspace: Workspace, tracker: str, names: Sequence[str] = ()
) -> Iterator[VotFootage]:
    """The sequences of a workspace (those of `names`, or all), read one by one.

    Of several experiments the first that runs over whole sequences counts. Raises VotError, before
    the first one, where there is none, for a tracker without results, and for an unknown name.
    """
    files = _whole_runs(workspace, workspace.expected(tracker))
    _check_results(workspace, tracker)
    sequences = {file.sequence.name: file.sequence for file in files}
    unknown = [name for name in names if name not in sequences]
    if unknown:
        raise VotError(
            f"no sequence {', '.join(unknown)} in {workspace.sequences}; "
            f"there are: {', '.join(sequences)}"
        )
    wanted = [sequences[name] for name in names] or list(sequences.values())
    return (VotFootage(info, _first_runs(info, files)) for info in wanted)


def _whole_runs(workspace: Workspace, files: Sequence[TrajectoryFile]) -> list[TrajectoryFile]:
    """Those of the first experiment in which every run is one over a whole sequence."""
    whole = {info.folder: info for info in workspace.dataset()}
    parts = {file.experiment for file in files if not _is_whole(file, whole[file.sequence.folder])}
    found = next((file.experiment for file in files if file.experiment not in parts), None)
    if found is None:
        raise VotError(
            f"stack {workspace.stack_name} has no experiment over whole sequences: runs over parts "
            "of them (from anchors, or over repeated frames) are not shown; name another --stack"
        )
    return [file for file in files if file.experiment == found]


def _is_whole(file: TrajectoryFile, info: SequenceInfo) -> bool:
    start = file.sequence.starts[file.object_id]
    return (file.sequence.length, start) == (info.length, info.starts[file.object_id])


def _first_runs(info: SequenceInfo, files: Sequence[TrajectoryFile]) -> list[TrajectoryFile]:
    """The first repetition of each object."""
    own = [file for file in files if file.sequence is info]
    return [next(file for file in own if file.object_id == name) for name in info.objects]


def _check_results(workspace: Workspace, tracker: str) -> None:
    folder = workspace.folder / "results"
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if tracker in found:
        return
    remedy = f"name one of those with --tracker: {', '.join(found)}; or run" if found else "run"
    raise VotError(
        f"no results of tracker {tracker!r} in {folder}; {remedy} `make evaluate TRACKER={tracker}`"
    )


def _answers(file: TrajectoryFile, length: int) -> list[Region]:
    if not file.files:
        raise VotError(
            f"no trajectory {file.stem}.bin (or .txt); `make evaluate` runs what is missing"
        )
    regions = read_trajectory(file.files[0])
    if len(regions) != length:
        raise VotError(
            f"{file.files[0]} has {len(regions)} frames, the sequence {length}; "
            "`make evaluate` runs it again"
        )
    return regions


def _truth(path: Path, length: int) -> list[Region]:
    """One region a frame; a file that ends early knows nothing of the rest."""
    try:
        regions = parse_regions(path, length)
    except VotError as error:
        raise VotError(f"{error}; get the data set again") from error
    return regions + [Special(UNKNOWN)] * (length - len(regions))


def _pattern(folder: Path, metadata: dict[str, str]) -> Path:
    channel = metadata.get("channel.default", "color")
    pattern = metadata.get(f"channels.{channel}", "color").replace("\\", "/")
    return folder / (pattern if Path(pattern).suffix else f"{pattern}/%08d.jpg")


def _fps(metadata: dict[str, str]) -> float:
    try:
        fps = float(metadata.get("fps", _DEFAULT_FPS))
    except ValueError:
        return _DEFAULT_FPS
    return fps if _LOWEST_FPS <= fps <= _HIGHEST_FPS else _DEFAULT_FPS
