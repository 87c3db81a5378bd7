"""Are the results of a workspace complete and sound? And what they say beside masks.

The toolkit counts a trajectory as done when a file of its name exists. Here every file is read.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tracker.vot.errors import VotError
from tracker.vot.expected import TrajectoryFile
from tracker.vot.regions import INITIALIZATION, MaskRegion, Region, Shape, Special
from tracker.vot.trajectory import read_trajectory, read_values
from tracker.vot.workspace import Workspace


@dataclass(frozen=True)
class Problem:
    """Something wrong with one trajectory. `fatal`: scores or an entry made of it are worthless."""

    file: TrajectoryFile
    text: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.file.sequence.name}, object {self.file.object_id}: {self.text}"


def check_trajectory(file: TrajectoryFile) -> list[Problem]:
    """Everything wrong with one trajectory; an empty list when it is sound."""
    files = file.files
    if not files:
        return [Problem(file, "no trajectory")]
    if len(files) > 1:
        names = " and ".join(path.name for path in files)
        return [Problem(file, f"{names}: analyses read the .txt, packs ship the .bin")]
    try:
        regions = read_trajectory(files[0])
    except VotError as error:
        return [Problem(file, f"unreadable: {error}")]
    info = file.sequence
    if len(regions) != info.length:
        return [Problem(file, f"{len(regions)} frames of {info.length}")]
    return _check_regions(file, regions) + _check_times(file) + _check_properties(file)


def _check_regions(file: TrajectoryFile, regions: list[Region]) -> list[Problem]:
    problems = []
    if regions[0] != Special(INITIALIZATION):
        problems.append(Problem(file, "the first frame is not marked as the initialisation"))
    first = file.sequence.starts[file.object_id] + 1
    special = [i for i in range(first, len(regions)) if isinstance(regions[i], Special)]
    points = any(isinstance(region, Shape) and region.kind == "point" for region in regions)
    if special and not file.may_fail and not points:
        text = f"no region in frame {special[0] + 1} ({len(special)} such frames)"
        problems.append(Problem(file, text))
    masks = [region for region in regions if isinstance(region, MaskRegion)]
    if file.sequence.size is not None:
        outside = sum(_leaves(region, file.sequence.size) for region in masks)
        if outside:
            problems.append(Problem(file, f"{outside} masks reach beyond the image"))
    if masks and not any(region.area for region in masks):
        problems.append(Problem(file, "all masks are empty", fatal=False))
    return problems


def _leaves(region: MaskRegion, size: tuple[int, int]) -> bool:
    width, height = size
    inside = region.x >= 0 and region.y >= 0
    return not (inside and region.x + region.width <= width and region.y + region.height <= height)


def _check_times(file: TrajectoryFile) -> list[Problem]:
    path = file.values("time")
    if not path.is_file():
        return [Problem(file, "no times", fatal=False)]
    try:
        values = read_values(path)
        [float(value) for value in values if value]
    except (VotError, ValueError) as error:
        return [Problem(file, f"unreadable times: {error}")]
    if len(values) != file.sequence.length:
        return [Problem(file, f"{len(values)} times for {file.sequence.length} frames")]
    return []


def _check_properties(file: TrajectoryFile) -> list[Problem]:
    """What the tracker said beside the regions: a line a frame, as the toolkit writes them."""
    problems = []
    for path in sorted(file.stem.parent.glob(f"{file.stem.name}_*.value")):
        if path == file.values("time"):
            continue
        try:
            lines = len(read_values(path))
        except VotError as error:
            problems.append(Problem(file, f"unreadable values: {error}"))
            continue
        if lines != file.sequence.length:
            text = f"{path.name} has {lines} lines for {file.sequence.length} frames"
            problems.append(Problem(file, text))
    return problems


def check_results(workspace: Workspace, tracker: str) -> list[Problem]:
    """Everything wrong with the results of a tracker, over all sequences and experiments."""
    return [problem for file in workspace.expected(tracker) for problem in check_trajectory(file)]


def remove_damaged(workspace: Workspace, tracker: str) -> list[str]:
    """Remove trajectories that are damaged, so that the toolkit runs their sequences again.

    Returns what was wrong with each. Results that are merely missing are left alone.
    """
    removed = []
    for file in workspace.expected(tracker):
        problems = [problem for problem in check_trajectory(file) if problem.fatal]
        if not file.files or not problems:
            continue
        for path in file.files:
            path.unlink()
        removed.append(str(problems[0]))
    return removed


def frame_rates(workspace: Workspace, tracker: str) -> dict[tuple[str, str], tuple[int, float]]:
    """(Experiment, sequence) -> (frames, seconds) as the toolkit measured them, without the first.

    The first frame's time holds the initialisation. The times of a sequence are the same for all
    its objects: they are tracked together. Of several runs over a sequence the first counts.
    """
    rates = {}
    for file in workspace.expected(tracker):
        path = file.values("time")
        place = (file.experiment, file.sequence.name)
        if place in rates or not path.is_file():
            continue
        times = [float(value) for value in read_values(path)[1:] if value]
        rates[place] = (len(times), sum(times))
    return rates


def recorded_weights(workspace: Workspace, tracker: str) -> list[str]:
    """What the tracker said about its weights (result property `weights`), each text once."""
    said: dict[str, None] = {}
    for file in workspace.expected(tracker):
        path = file.values("weights")
        if path.is_file():
            said.update(dict.fromkeys(value for value in read_values(path) if value))
    return list(said)


def missing_sequences(problems: list[Problem]) -> dict[str, list[str]]:
    """Sequence -> what is wrong in it, for fatal problems."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        if problem.fatal:
            grouped[problem.file.sequence.name].append(f"{problem.file.object_id}: {problem.text}")
    return dict(grouped)
