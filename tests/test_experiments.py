"""The repaired experiments give the trajectories of vot-toolkit 0.7.4, and late objects are run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from vot.dataset.common import read_sequence
from vot.region import Special
from vot.tracker import ObjectStatus
from vot.workspace.storage import LocalStorage

from tests import scripted_experiments as scripted
from tracker.vot import experiments
from tracker.vot.experiments.realtime import RealtimeRuntime
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
