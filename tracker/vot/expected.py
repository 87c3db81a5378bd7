"""Which trajectories a complete evaluation leaves, experiment by experiment.

Names and places are those that the experiments of the toolkit give; nothing is read but the stack
and the data set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.vot.dataset import SequenceInfo, anchors
from tracker.vot.errors import VotError
from tracker.vot.soundness import check_single_names

_CLASSES = "tracker.vot.experiments."
# The toolkit stops a supervised experiment when this many repetitions are equal.
_EQUAL_REPETITIONS = 3


@dataclass(frozen=True)
class TrajectoryFile:
    """Where one trajectory should be: `stem` lacks the suffix (.bin or .txt).

    sequence: what was run, with its length and starts; part of a sequence of the data set, where
    the experiment runs parts. may_fail: frames without a region are no fault.
    """

    stem: Path
    experiment: str
    sequence: SequenceInfo
    object_id: str
    may_fail: bool = False

    @property
    def files(self) -> list[Path]:
        """The files that exist; more than one is an error of its own."""
        return _files_of(self.stem)

    def values(self, name: str) -> Path:
        """The file of a property, for instance `time`."""
        return self.stem.with_name(f"{self.stem.name}_{name}.value")


def _files_of(stem: Path) -> list[Path]:
    """The files of a trajectory: .txt in place of .bin where VOT_RESULTS_BINARY is 0."""
    names = [stem.with_name(stem.name + suffix) for suffix in (".bin", ".txt")]
    return [path for path in names if path.is_file()]


def kind_of(settings: Mapping[str, Any]) -> str:
    """The kind of an experiment: unsupervised, supervised, multistart, or another type's name."""
    return str(settings.get("type", "")).removeprefix(_CLASSES).lower()


def expected_files(
    results: Path, stack: Mapping[str, Any], dataset: list[SequenceInfo]
) -> list[TrajectoryFile]:
    """All trajectories, given the folder of a tracker's results.

    VotError for an empty stack or experiment, and where two sequences would write to one place.
    """
    experiments = stack.get("experiments")
    if not isinstance(experiments, dict) or not experiments:
        raise VotError("the stack names no experiments")
    for name, settings in experiments.items():
        if not isinstance(settings, dict):
            raise VotError(f"the stack's experiment {name} holds no settings: {settings!r}")
        check_single_names((info.name, _origin(info)) for info in _sequences(settings, dataset))
    return [
        file
        for name, settings in experiments.items()
        for info in _sequences(settings, dataset)
        for file in _files(results / name / info.name, name, settings, info)
    ]


def _origin(info: SequenceInfo) -> str:
    """What a sequence of an experiment is of: a sequence of the data set, with its objects."""
    return f"sequence {info.folder.name} (object {', '.join(info.objects)})"


def _sequences(settings: Mapping[str, Any], dataset: list[SequenceInfo]) -> Iterator[SequenceInfo]:
    """The sequences of an experiment: one for each object where it takes single ones."""
    shown = _redetection_length(settings)
    for info in dataset:
        if settings.get("multiobject"):
            yield info
            continue
        for object_id in info.objects:
            name = info.name if len(info.objects) == 1 else f"{info.name}_{object_id}"
            starts = {object_id: info.starts[object_id]}
            single = dataclasses.replace(info, name=name, objects=(object_id,), starts=starts)
            if shown is None:
                yield single
            else:
                yield dataclasses.replace(single, length=shown, size=None, starts={object_id: 0})


def _redetection_length(settings: Mapping[str, Any]) -> int | None:
    """The frames of the made sequences of a re-detection experiment."""
    for transformer in settings.get("transformers") or []:
        if kind_of(transformer) == "redetection":
            return int(transformer.get("length", 100))
    return None


def _files(
    folder: Path, experiment: str, settings: Mapping[str, Any], info: SequenceInfo
) -> Iterator[TrajectoryFile]:
    kind = kind_of(settings)
    if kind == "multistart":
        yield from _from_anchors(folder, experiment, info, settings.get("anchor", "anchor"))
        return
    for object_id in info.objects:
        middle = f"_{object_id}" if len(info.objects) > 1 else ""
        for number in range(1, _repetitions(folder, settings, info) + 1):
            stem = folder / f"{info.name}{middle}_{number:03d}"
            yield TrajectoryFile(stem, experiment, info, object_id, kind == "supervised")


def _from_anchors(
    folder: Path, experiment: str, info: SequenceInfo, anchor: str
) -> Iterator[TrajectoryFile]:
    (object_id,) = info.objects
    for frame, forward in anchors(info, anchor):
        length = info.length - frame if forward else frame + 1
        part = dataclasses.replace(info, length=length, starts={object_id: 0})
        yield TrajectoryFile(folder / f"{info.name}_{frame:08d}", experiment, part, object_id)


def _repetitions(folder: Path, settings: Mapping[str, Any], info: SequenceInfo) -> int:
    """How many repetitions there should be; the toolkit makes no more when three were equal."""
    wanted = int(settings.get("repetitions", 1))
    stops = str(settings.get("early_stop", True)).lower() != "false"
    if not stops or wanted <= _EQUAL_REPETITIONS or len(info.objects) > 1:
        return wanted
    numbers = range(1, wanted + 1)
    stems = [folder / f"{info.name}_{number:03d}" for number in numbers]
    there = [files[0] for stem in stems if (files := _files_of(stem))]
    first = there[:_EQUAL_REPETITIONS]
    equal = len(first) == _EQUAL_REPETITIONS and len({path.read_bytes() for path in first}) == 1
    return len(there) if equal else wanted
