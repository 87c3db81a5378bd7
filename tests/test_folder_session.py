"""The toolkit's folder protocol: points in and out, other regions, late and lost objects."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.serving import PROJECT, Station, station, wait_until, write_frame
from tests.static_tracker import StaticTracker
from tracker.folder_session import PointAnchor, read_queries, run_folder
from tracker.vot.regions import parse_region


class _Seen(StaticTracker):
    """Remembers what it was given; an object called for at (x, y) is the 9 x 9 square around it."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[list[object]] = []

    def initialize(self, image: np.ndarray, objects: list):
        self.masks = np.zeros((0, *image.shape[:2]), bool)
        return self.add_objects(image, objects)

    def add_objects(self, image: np.ndarray, objects: list):
        self.given.append(objects)
        return super().add_objects(image, [self._square(image, item) for item in objects])

    def _square(self, image: np.ndarray, item: object) -> object:
        if not hasattr(item, "points"):
            return item
        [(x, y)] = item.points
        mask = np.zeros(image.shape[:2], bool)
        mask[int(y) - 4 : int(y) + 5, int(x) - 4 : int(x) + 5] = True
        return mask


def _folder(path: Path, queries: dict[str, str], frames: int = 5) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    names = [path / f"{n:03d}.png" for n in range(frames)]
    for name in names:
        write_frame(name)
    (path / "frames_color.txt").write_text("".join(f"{name}\n" for name in names))
    for query, text in queries.items():
        (path / f"query_{query}.txt").write_text(text)
    return path


def _output(path: Path, name: str) -> list[str]:
    return (path / f"output_{name}.txt").read_text().splitlines()


def test_points_are_answered_by_points(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {"obj0": "0\n20,15\n", "obj1": "2\n40,30\n"})
    tracker = _Seen()
    assert run_folder(tracker, folder) is None
    assert tracker.given[0][0].points == ((20.5, 15.5),)
    assert [len(objects) for objects in tracker.given] == [1, 0, 1, 0, 0]
    assert _output(folder, "obj0") == [f"{20 + n}.000,15.000" for n in range(5)]
    assert _output(folder, "obj1") == ["0", "0", *(f"{40 + n}.000,30.000" for n in range(3))]
    assert _output(folder, "obj1_confidence") == ["0", "0", "0.5000", "0.5000", "0.5000"]
    assert _output(folder, "obj1_weights") == ["", "", "static: no weights", "", ""]
    assert tracker.masks.size == 0, "the tracker still holds the video"


def test_answers_are_of_the_kind_that_started_the_object(tmp_path: Path) -> None:
    queries = {
        "obj0": "0\nm3,4,8,8,0,64\n", "obj1": "0\n20,20,11,9\n",
        "obj2": "0\n40,5,50,5,50,15,40,15\n",
    }  # fmt: skip
    folder = _folder(tmp_path, queries)
    assert run_folder(StaticTracker(), folder) is None
    assert _output(folder, "obj0")[4] == "m7,4,8,8,0,64"
    assert [float(v) for v in _output(folder, "obj1")[4].split(",")] == [24, 20, 11, 9]
    polygon = parse_region(_output(folder, "obj2")[4]).values
    assert sorted(zip(polygon[::2], polygon[1::2], strict=True)) == [
        (44, 5), (44, 15), (54, 5), (54, 15),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("start", "line"), [("20,15", "0"), ("m3,4,8,8,0,64", "m0,0,0,0,0"), ("9,9,9,9", "0,0,0,0")]
)
def test_an_absent_object_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str, line: str
) -> None:
    folder = _folder(tmp_path, {"obj0": f"0\n{start}\n"})
    tracker = _Seen()
    track = tracker.track

    def lost(image: np.ndarray):
        result = track(image)
        if len(tracker.given) == 3:
            result.labels[:] = 0
        return result

    monkeypatch.setattr(tracker, "track", lost)
    assert run_folder(tracker, folder) is None
    answers = _output(folder, "obj0")
    assert answers[2] == line
    assert all(answer != line for i, answer in enumerate(answers) if i != 2)


def test_queries_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {f"obj{n}": f"0\n{n},1\n" for n in range(12)})
    assert [query.name for query in read_queries(folder)] == [f"obj{n}" for n in range(12)]


@pytest.mark.parametrize(
    ("line", "point"),
    [
        ("64,20", (63.5, 20.5)),
        ("63.5,47.5", (63.5, 47.5)),
        ("-0.75,48.2", (0.5, 47.5)),
        ("20,15.25", (20.5, 15.75)),
    ],
)
def test_a_point_on_or_just_over_the_edge_is_moved_into_the_frame(
    tmp_path: Path, line: str, point: tuple[float, float]
) -> None:
    folder = _folder(tmp_path, {"obj0": f"0\n{line}\n"})
    tracker = _Seen()
    assert run_folder(tracker, folder) is None
    assert tracker.given[0][0].points == (point,)
    assert len(_output(folder, "obj0")) == 5


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("90,20", r"query_obj0\.txt.*point \(90, 20\) lies outside the frame of 64 x 48 pixels"),
        ("20,-7", r"point \(20, -7\) lies outside the frame"),
        ("nan,20", r"query_obj0\.txt.*nan,20.*finite numbers"),
        ("20,inf", r"query_obj0\.txt.*20,inf.*finite numbers"),
        ("0,0,1e9,0,1e9,1e9", r"query_obj0\.txt.*far outside any frame.*1e\+09"),
    ],
)
def test_coordinates_that_mark_nothing_are_named(tmp_path: Path, line: str, reason: str) -> None:
    import re

    folder = _folder(tmp_path, {"obj0": f"0\n{line}\n"})
    assert re.search(reason, run_folder(_Seen(), folder))
    assert not list(folder.glob("output_*"))


@pytest.mark.parametrize(
    ("queries", "reason"),
    [
        ({"obj0": "5\n20,15\n"}, r"query_obj0\.txt starts in frame 5, .* has 5, .* from 0"),
        ({"obj0": "\u00b2\n20,15\n"}, "a frame number and a region"),
        ({"obj0": "0\n0\nprompt=the red car\n"}, "prompt=the red car.*does not find objects by"),
        ({"obj0": "first\n1,2\n"}, "a frame number and a region"),
        ({"obj0": "0\n1,2,x\n"}, "not a region"),
        ({}, "nothing to track"),
    ],
)
def test_what_cannot_be_run_is_refused(tmp_path: Path, queries: dict, reason: str) -> None:
    import re

    folder = _folder(tmp_path, queries)
    assert re.search(reason, run_folder(StaticTracker(), folder))
    assert not list(folder.glob("output_*"))


def test_a_frame_that_is_not_there_ends_the_run(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {"obj0": "0\n20,15\n"})
    (folder / "003.png").unlink()
    assert "003.png" in run_folder(_Seen(), folder)
    (folder / "frames_color.txt").unlink()
    assert "HQTrack needs colour" in run_folder(_Seen(), folder)


def test_a_point_stays_at_its_place_on_an_object_that_grows() -> None:
    small, large = np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    small[10:20, 10:20] = True
    large[20:40, 30:50] = True
    anchor = PointAnchor.of((11.5, 12.5), small)
    np.testing.assert_allclose(anchor.on(small), (11.5, 12.5))
    np.testing.assert_allclose(anchor.on(large), (39.5 - 6.0, 29.5 - 4.0))


@pytest.fixture
def here() -> Iterator[Station]:
    with station() as result:
        yield result


@pytest.mark.parametrize("arguments", [(), ("--in-process",)])
def test_the_command_runs_in_the_resident_server_or_alone(
    here: Station, arguments: tuple[str, ...]
) -> None:
    folder = _folder(here.folder / "job", {"obj0": "0\nm3,4,8,8,0,64\n"})
    for _ in range(2):
        process = here.spawn(*arguments, module="tracker.folder", cwd=folder)
        assert process.communicate(timeout=60)[0] is not None
        assert process.returncode == 0
        assert _output(folder, "obj0")[2] == "m5,4,8,8,0,64"
    assert here.loads == (2 if arguments else 1)


def test_the_reason_of_a_refusal_is_in_the_log(here: Station) -> None:
    folder = _folder(here.folder / "job", {"obj0": "0\n0\nprompt=a car\n"})
    process = here.spawn(module="tracker.folder", cwd=folder)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert "prompt=a car" in here.log.read_text()


@pytest.mark.parametrize("arguments", [(), ("--in-process",)])
def test_the_reason_of_a_failure_reaches_the_terminal(
    here: Station, arguments: tuple[str, ...]
) -> None:
    folder = _folder(here.folder / "job", {"obj0": "0\n0\nprompt=a car\n"})
    process = here.spawn(*arguments, module="tracker.folder", cwd=folder)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    lines = [line for line in output.decode().splitlines() if "prompt=a car" in line]
    assert len(lines) == 1 and lines[0].startswith("hqtrack: ")
    assert str(here.log) in lines[0]


def test_a_failure_to_load_reaches_the_terminal(here: Station) -> None:
    folder = _folder(here.folder / "job", {"obj0": "0\n20,15\n"})
    process = here.spawn("--in-process", module="tracker.folder", cwd=folder, STATIC_FAULT="raise")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "hqtrack: weights/static.pth is cut short" in output.decode()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"HQTRACK_IDLE_SECONDS": "soon"}, "'soon' is no time in seconds"),
        ({"HQTRACK_SET": "memory"}, "memory"),
        ({"STATIC_FAULT": "exit"}, "did not start: it ended with status 3"),
    ],
)
def test_a_reason_that_no_server_could_log_is_in_the_log(
    here: Station, fault: dict[str, str], reason: str
) -> None:
    folder = _folder(here.folder / "job", {"obj0": "0\n20,15\n"})
    process = here.spawn(module="tracker.folder", cwd=folder, **fault)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and reason in output.decode()
    last = here.log.read_text().splitlines()[-1]
    assert reason in last and "ERROR tracker.folder: " in last


@pytest.mark.parametrize(
    ("arguments", "log", "reason"),
    [
        (("--preset", "nope"), "nope.log", "unknown preset 'nope'"),
        (("--preset", "hqtrack-lite", "--idle-seconds", "soon"), "hqtrack-lite.log", "'soon' is"),
        (("--set", "memory", "--preset=hqtrack-lite"), "hqtrack-lite.log", "--set memory: "),
        (("--preset",), "hqtrack.log", "--preset: expected one argument"),
    ],
)
def test_the_log_is_that_of_the_preset_on_the_command_line(
    here: Station, arguments: tuple[str, ...], log: str, reason: str
) -> None:
    folder = _folder(here.folder / "job", {"obj0": "0\n20,15\n"})
    process = here.spawn(*arguments, module="tracker.folder", factory=(), cwd=folder)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert [path.name for path in here.runtime.glob("*.log")] == [log]
    last = (here.runtime / log).read_text().splitlines()[-1]
    assert reason in last and "ERROR tracker.folder: " in last


def test_a_server_killed_during_a_run_is_in_the_log(here: Station) -> None:
    folder = _folder(here.folder / "job", {"obj0": "0\nm3,4,8,8,0,64\n"}, frames=3000)
    process = here.spawn(module="tracker.folder", cwd=folder)
    wait_until(lambda: any(state["phase"] == "busy" for state in here.states()))
    os.kill(here.states()[0]["pid"], signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the resident server ended during this session" in here.log.read_text()


def test_the_module_is_light() -> None:
    code = "import sys, tracker.folder; print([m for m in ('torch', 'cv2') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
