"""The repaired experiments give the trajectories of vot-toolkit 0.7.4, and late objects are run."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from vot.dataset.common import read_sequence
from vot.region import Special
from vot.tracker import ObjectStatus
from vot.workspace.storage import LocalStorage

from tests import scripted_experiments as scripted
from tracker.vot import experiments
from tracker.vot.experiments.realtime import RealtimeRuntime
from tracker.vot.regions import Special as Started
from tracker.vot.trajectory import read_trajectory, read_values

RECORDED = json.loads((Path(__file__).parent / "vot_0.7.4.json").read_text())
CLASSES = {
    "multistart": experiments.MultiStart,
    "supervised": experiments.Supervised,
    "unsupervised": experiments.Unsupervised,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    folder = tmp_path_factory.mktemp("experiments")
    return scripted.run(CLASSES, folder), folder


@pytest.mark.parametrize("case", scripted.CASES)
def test_trajectories_are_those_of_0_7_4(made: tuple[dict, Path], case: str) -> None:
    assert made[0][case] == RECORDED[case]


def test_the_recorded_clock_skips_frames_and_the_recorded_tracker_fails() -> None:
    """Otherwise equality with the recording would say little."""
    same = set(RECORDED["multistart"].items()) & set(RECORDED["multistart-realtime"].items())
    assert len(RECORDED["multistart"]) == 4 and not same
    assert len(RECORDED["supervised"]) == 3
    assert RECORDED["supervised"]["walk_001.bin"] != RECORDED["supervised-realtime"]["walk_001.bin"]


def test_a_lost_object_is_started_again(made: tuple[dict, Path]) -> None:
    path = made[1] / "supervised/results/Scripted/experiment/walk/walk_001.bin"
    regions = read_trajectory(path)
    codes = {i: region.code for i, region in enumerate(regions) if hasattr(region, "code")}
    assert codes == {0: 1, 6: 2, 7: 0, 8: 0, 9: 0, 10: 0, 11: 1, 17: 2, 18: 0, 19: 0, 20: 0, 21: 0,
                     22: 1}  # fmt: skip


def _times(folder: Path, name: str) -> list[str]:
    return read_values(folder / "results/Scripted/experiment/walk" / f"walk_{name}_time.value")


def test_every_reply_is_stored_with_its_own_time(made: tuple[dict, Path]) -> None:
    def replies(number: int) -> list[float]:
        return [scripted.SECONDS[i % len(scripted.SECONDS)] for i in range(number)]

    for name, length in (("00000000", 24), ("00000008", 16), ("00000015", 16), ("00000023", 24)):
        assert [*map(float, _times(made[1] / "multistart", name))] == replies(length)
    times = _times(made[1] / "supervised", "001")
    starts = {0: 7, 11: 7, 22: 2}
    for start, number in starts.items():
        assert [*map(float, times[start : start + number])] == replies(number)
    assert times[7:11] == times[18:22] == [""] * 4


@pytest.mark.parametrize(
    ("tagged", "starts"), [([11, 12], [0, 13]), ([6, 7], [0, 11, 22]), (range(9, 24), [0])]
)
def test_a_lost_object_is_not_started_again_in_frames_to_be_skipped(
    tmp_path: Path, tagged: Sequence[int], starts: list[int]
) -> None:
    scripted.write_sequence(tmp_path / "walk", "box")
    lines = ["01"[frame in tagged] for frame in range(scripted.LENGTH)]
    (tmp_path / "walk" / "hidden.tag").write_text("\n".join(lines) + "\n")
    settings = {"repetitions": 1, "skip_initialize": 5, "skip_tags": ["hidden"]}
    _execute("supervised", tmp_path, **settings)
    (path,) = (tmp_path / "results").rglob("*.bin")
    regions = read_trajectory(path)
    assert [i for i, region in enumerate(regions) if region == Started(1)] == starts


def _execute(kind: str, folder: Path, force: bool = False, **settings: object) -> None:
    experiment = CLASSES[kind](_identifier="x", _storage=LocalStorage(str(folder)), **settings)
    sequence = read_sequence(str(folder / "walk"))
    experiment.execute(scripted.ScriptedTracker(), sequence, force=force)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("multistart", ["00000000", "00000008", "00000015", "00000023"]),
        ("supervised", ["001", "002"]),
    ],
)
def test_runs_that_are_there_are_made_again_by_force_only(
    tmp_path: Path, kind: str, names: list[str]
) -> None:
    scripted.write_sequence(tmp_path / "walk", "box")
    settings = {} if kind == "multistart" else {"repetitions": 2}
    _execute(kind, tmp_path, **settings)
    paths = sorted((tmp_path / "results").rglob("*.bin"))
    assert [path.stem for path in paths] == [f"walk_{name}" for name in names]
    whole = [path.read_bytes() for path in paths]
    kept = struct.pack("<hI", 1, 0)
    paths[0].write_bytes(kept)
    paths[1].unlink()
    _execute(kind, tmp_path, **settings)
    assert [path.read_bytes() for path in paths] == [kept, *whole[1:]]
    _execute(kind, tmp_path, force=True, **settings)
    assert [path.read_bytes() for path in paths] == whole


def test_several_objects_are_no_supervised_experiment(tmp_path: Path) -> None:
    scripted.write_sequence(tmp_path / "walk", "two")
    with pytest.raises(ValueError, match="walk: a supervised experiment takes one object"):
        _execute("supervised", tmp_path)


@pytest.mark.parametrize("kind", list(CLASSES))
def test_a_tracker_that_takes_whole_sequences_is_not_held_to_the_clock(
    tmp_path: Path, kind: str
) -> None:
    class Batch(scripted.ScriptedTracker):
        def runtime(self, log: bool = False) -> object:
            return contextlib.nullcontext()

    scripted.write_sequence(tmp_path / "walk", "box")
    settings = {"_storage": LocalStorage(str(tmp_path)), "realtime": {"grace": 3}}
    experiment = CLASSES[kind](_identifier="x", **settings)
    with pytest.raises(ValueError, match="needs a tracker that answers frame by frame"):
        experiment.execute(Batch(), read_sequence(str(tmp_path / "walk")))


class _Calls(scripted.ScriptedRuntime):
    """Notes what reaches the tracker."""

    def __init__(self, seconds: list[float]) -> None:
        super().__init__(scripted.ScriptedTracker())
        self.seconds = seconds
        self.seen: list[tuple[int, int]] = []

    def initialize(self, frame, new=None, properties=None):
        return self._note(frame, new)

    def update(self, frame, new=None, properties=None):
        return self._note(frame, new)

    def _note(self, frame, new):
        self.seen.append((frame, len(new)))
        return [ObjectStatus(Special(0), {"frame": frame})], self.seconds[len(self.seen) - 1]


def test_frames_that_come_too_early_never_reach_the_tracker() -> None:
    calls = _Calls([0.3, 0.15, 0.35, 0.05, 0.05])
    clock = RealtimeRuntime(calls, grace=1, interval=0.1)
    answers = [clock.initialize(0, [None]), *(clock.update(i, []) for i in range(1, 7))]
    assert calls.seen == [(0, 1), (1, 0), (2, 0), (5, 0), (6, 0)]
    assert [status[0].properties["frame"] for status, _ in answers] == [0, 1, 2, 2, 2, 5, 6]
    assert [seconds for _, seconds in answers] == [0.3, 0.15, 0.35, 0, 0, 0.05, 0.05]


def test_a_new_object_reaches_a_late_tracker() -> None:
    calls = _Calls([1.0, 0.05, 0.05])
    clock = RealtimeRuntime(calls, grace=0, interval=0.1)
    clock.initialize(0, [None])
    clock.update(1, [])
    clock.update(2, ["new"])
    clock.update(3, [])
    assert calls.seen == [(0, 1), (2, 1), (3, 0)]


def test_every_start_has_all_its_credits() -> None:
    calls = _Calls([0.3] * 6)
    clock = RealtimeRuntime(calls, grace=2, interval=0.1)
    for _ in range(2):
        clock.initialize(0, [None])
        clock.update(1, [])
        clock.update(2, [])
        clock.update(3, [])
    assert [frame for frame, _ in calls.seen] == [0, 1, 2, 0, 1, 2]


def test_redetection_shows_the_second_picture(tmp_path: Path) -> None:
    scripted.write_sequence(tmp_path / "sequences" / "walk", "box")
    experiment = experiments.Unsupervised(
        _identifier="redetection",
        _storage=LocalStorage(str(tmp_path)),
        transformers=[{"type": "tracker.vot.experiments.Redetection", "length": 20, "scaling": 3}],
    )
    [sequence] = experiment.transform([read_sequence(str(tmp_path / "sequences" / "walk"))])
    assert sequence.name == "walk" and len(sequence) == 20
    assert sequence.size == (3 * scripted.WIDTH, 3 * scripted.HEIGHT)
    shown = [Path(sequence.frame(i).filename()).name for i in range(20)]
    assert shown == ["00000001.jpg"] * 5 + ["00000002.jpg"] * 15
    experiment.execute(scripted.ScriptedTracker(), sequence)
    regions = read_trajectory(tmp_path / "results/Scripted/redetection/walk/walk_001.bin")
    assert [region.values[0] for region in regions[1:]] == [5.0 + i for i in range(1, 20)]


def test_a_sequence_without_anchors_says_what_is_missing(tmp_path: Path) -> None:
    scripted.write_sequence(tmp_path / "walk", "box")
    (tmp_path / "walk" / "anchor.value").unlink()
    experiment = experiments.MultiStart(_identifier="x", _storage=LocalStorage(str(tmp_path)))
    with pytest.raises(RuntimeError, match=r"walk has no anchors.*anchor\.value"):
        experiment.execute(scripted.ScriptedTracker(), read_sequence(str(tmp_path / "walk")))


def _forget(folder: Path, frames: Sequence[int]) -> None:
    """Make the ground truth of `walk` unknown in these frames."""
    path = folder / "walk" / "groundtruth.txt"
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{'0' if i in frames else lines[i]}\n" for i in range(len(lines))))


@pytest.mark.parametrize(("kind", "frame"), [("supervised", 0), ("multistart", 8)])
def test_a_start_without_a_region_is_named(tmp_path: Path, kind: str, frame: int) -> None:
    scripted.write_sequence(tmp_path / "walk", "box")
    _forget(tmp_path, [frame])
    with pytest.raises(ValueError, match=rf"walk, frame {frame + 1}: the object is to start here"):
        _execute(kind, tmp_path)


def test_a_lost_object_is_not_started_again_where_its_place_is_unknown(tmp_path: Path) -> None:
    scripted.write_sequence(tmp_path / "walk", "box")
    _forget(tmp_path, [11, 12])
    _execute("supervised", tmp_path, repetitions=1, skip_initialize=5)
    (path,) = (tmp_path / "results").rglob("*.bin")
    starts = [i for i, region in enumerate(read_trajectory(path)) if region == Started(1)]
    assert starts == [0, 13]


def test_anchors_are_those_of_the_file_that_the_stack_names(tmp_path: Path) -> None:
    scripted.write_sequence(tmp_path / "walk", "box")
    (tmp_path / "walk" / "start.value").write_text("0\n" * 20 + "1\n")
    _execute("multistart", tmp_path, anchor="start")
    assert [path.name for path in (tmp_path / "results").rglob("*.bin")] == ["walk_00000020.bin"]


class _Noting(scripted.ScriptedTracker):
    """Says its weights with the first answer of a run, as the server of this project does."""

    def runtime(self, log: bool = False) -> scripted.ScriptedRuntime:
        return _NotingRuntime(self)


class _NotingRuntime(scripted.ScriptedRuntime):
    def initialize(self, frame, new=None, properties=None):
        [status], seconds = super().initialize(frame, new)
        said = {"weights": "w.safetensors", "confidence": 0.5}
        return [ObjectStatus(status.region, said)], seconds


@pytest.mark.parametrize(
    ("kind", "starts"), [("multistart", [0, 0, 0, 0]), ("supervised", [0, 11, 22])]
)
def test_the_note_about_the_weights_is_stored_where_an_object_starts(
    tmp_path: Path, kind: str, starts: list[int]
) -> None:
    scripted.write_sequence(tmp_path / "walk", "box")
    settings = {} if kind == "multistart" else {"repetitions": 1, "skip_initialize": 5}
    experiment = CLASSES[kind](_identifier="x", _storage=LocalStorage(str(tmp_path)), **settings)
    experiment.execute(_Noting(), read_sequence(str(tmp_path / "walk")))
    notes = sorted((tmp_path / "results").rglob("*_weights.value"))
    rows = [row for path in notes for row in enumerate(read_values(path)) if row[1]]
    assert rows == [(frame, "w.safetensors") for frame in starts]
    assert not list((tmp_path / "results").rglob("*_confidence.value")), "0.7.4 stores none"
