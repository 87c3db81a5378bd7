"""What is there whole or not at all: converted data sets, the demo, the files of a workspace."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.vot_data import write_frames
from tracker.alone import alone_in
from tracker.vot import convert, demo
from tracker.vot.errors import VotError
from tracker.vot.text import write_whole
from tracker.vot.whole import made_whole
from tracker.vot.workspace import Workspace, made, plan_workspace


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_is_seen_at_the_end_and_not_after_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    with pytest.raises(KeyboardInterrupt), made_whole(folder) as part:
        (part / "a").write_text("1")
        raise KeyboardInterrupt
    assert _names(tmp_path / "deep") == []
    folder.mkdir()
    with made_whole(folder) as part:
        (part / "a").write_text("2")
        assert _names(folder) == []
    assert _names(tmp_path / "deep") == ["data"]
    assert (folder / "a").read_text() == "2"


def test_the_present_folder_is_not_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VotError, match="has no name of its own; name a new"), made_whole(Path()):
        pytest.fail("it would be another folder of the same name")
    assert Path.cwd().is_dir()


def test_what_a_killed_process_left_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "data.part" / "old").mkdir(parents=True)
    (tmp_path / "data.part" / "file").write_text("")
    with made_whole(tmp_path / "data") as part:
        (part / "a").write_text("")
    assert _names(tmp_path) == ["data"] and _names(tmp_path / "data") == ["a"]


def test_another_process_keeps_what_it_is_making(tmp_path: Path) -> None:
    write_frames(tmp_path / "raw", "single", 2)
    with made_whole(tmp_path / "data") as part:
        (part / "a").write_text("1")
        with pytest.raises(VotError, match=r"another process is making .*data; wait"):
            convert.convert(tmp_path / "raw", tmp_path / "data")
        with pytest.raises(VotError, match="another process is making"):
            demo.make_demo(tmp_path / "data")
    assert _names(tmp_path / "data") == ["a"]


def test_a_folder_that_was_filled_in_between_stays(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with pytest.raises(VotError, match="is not empty"), made_whole(folder):
        folder.mkdir()
        (folder / "other").write_text("")
    assert _names(tmp_path) == ["data"] and _names(folder) == ["other"]


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "data.part").mkdir()
    with alone_in(tmp_path / "data.part"):
        pass
    with made_whole(tmp_path / "data"):
        pass
    assert _names(tmp_path) == ["data"]


def test_the_demo_is_not_seen_before_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sequences"
    drawn = []

    def write_scene(scene: demo.Scene, place: Path) -> None:
        assert not folder.exists()
        (place / scene.name).mkdir()
        drawn.append(scene.name)
        if len(drawn) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(demo, "write_scene", write_scene)
    with pytest.raises(KeyboardInterrupt):
        demo.make_demo(folder)
    assert _names(tmp_path) == []
    demo.make_demo(folder)
    assert _names(folder) == ["crossing", "leaving", "list.txt", "lookalike"]


def test_of_two_commands_at_once_one_gets_the_workspace(tmp_path: Path) -> None:
    """Several threads ask for different stacks in one folder; nobody reads half a file."""
    stacks = ["vots2023", "vots2024/main", "vots2025/main", "vots2026/main"]
    for number in range(25):
        folder, barrier = tmp_path / str(number), threading.Barrier(len(stacks))

        def ask(stack: str, folder: Path = folder, barrier: threading.Barrier = barrier) -> str:
            barrier.wait()
            try:
                return made(plan_workspace(folder, folder / "sequences", stack)).stack_name
            except VotError as error:
                return str(error)

        with ThreadPoolExecutor(len(stacks)) as pool:
            answers = list(pool.map(ask, stacks))
        (got,) = [answer for answer in answers if answer in stacks]
        assert Workspace(folder).stack_name == got
        others = [answer for answer in answers if answer != got]
        assert all(f"config.yaml says stack: {got}, you ask for " in text for text in others)
        assert [path.name for path in folder.iterdir()] == ["config.yaml"]


def test_a_repaired_stack_is_never_seen_in_part(tmp_path: Path) -> None:
    """One command after the other asks for the stack that a running toolkit reads."""
    made(plan_workspace(tmp_path, tmp_path / "sequences", "vots2025/realtime"))
    place = tmp_path / "vots2025/realtime.yaml"
    text, stamp = place.read_text(), place.stat().st_mtime_ns
    made(plan_workspace(tmp_path, tmp_path / "sequences", "vots2025/realtime"))
    assert place.stat().st_mtime_ns == stamp
    with place.open() as reader:
        place.write_text("of an earlier version")
        made(plan_workspace(tmp_path, tmp_path / "sequences", "vots2025/realtime"))
        assert (reader.read(), place.read_text()) == ("of an earlier version", text)


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_is_there_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refused(path: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refused)
    path = tmp_path / "a.txt"
    for text in ("first", "second"):
        write_whole(path, text, keep=True)
        assert path.read_text() == "first"
    write_whole(path, "third")
    assert path.read_text() == "third"
    assert list(tmp_path.iterdir()) == [path]
