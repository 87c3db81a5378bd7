"""Folders that are there whole or not at all: converted data sets and the demo."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vot_data import write_frames
from tracker.alone import alone_in
from tracker.vot import convert, demo
from tracker.vot.errors import VotError
from tracker.vot.whole import made_whole


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
