"""Reading ahead changes when files are read, never what comes out."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tracker.frames_ahead as frames_ahead
from tracker.frames import FrameError, read_image
from tracker.frames_ahead import FramesAhead, successor


@pytest.fixture
def frames():
    reader = FramesAhead()
    yield reader
    reader.close()


@pytest.fixture
def read(monkeypatch):
    """Names of the files that were read, and by which thread, in order."""
    calls = []

    def noted(path):
        calls.append((Path(path).name, threading.current_thread() is threading.main_thread()))
        return read_image(path)

    monkeypatch.setattr(frames_ahead, "read_image", noted)
    return calls


def write(path: Path, value: int) -> Path:
    Image.fromarray(np.full((4, 5, 3), value, np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "following"),
    [
        ("00000009.jpg", "00000010.jpg"),
        ("999.png", "1000.png"),
        ("cam2_frame_07_left.jpg", "cam2_frame_08_left.jpg"),
        ("frame.jpg", None),
    ],
)
def test_the_next_name_has_the_next_number(name, following):
    expected = None if following is None else Path("v5") / following
    assert successor(Path("v5") / name) == expected


def test_a_sequence_is_read_once_all_but_the_first_ahead(tmp_path, frames, read):
    paths = [write(tmp_path / f"{n:08d}.png", 10 * n) for n in range(1, 4)]
    for number, path in enumerate(paths, start=1):
        np.testing.assert_array_equal(frames.read(path), np.full((4, 5, 3), 10 * number))
    assert read == [("00000001.png", True), ("00000002.png", False), ("00000003.png", False)]


def test_a_wrong_guess_is_dropped(tmp_path, frames, read):
    for n in range(1, 8):
        write(tmp_path / f"{n}.png", n)
    frames.read(tmp_path / "1.png")
    assert frames.read(tmp_path / "6.png")[0, 0, 0] == 6
    assert frames.read(tmp_path / "7.png")[0, 0, 0] == 7
    assert [name for name, _ in read] == ["1.png", "2.png", "6.png", "7.png"]


def test_a_file_that_changed_since_is_read_again(tmp_path, frames):
    write(tmp_path / "1.png", 1)
    write(tmp_path / "2.png", 2)
    frames.read(tmp_path / "1.png")
    frames._ahead.image.result()
    other = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    Image.fromarray(other).save(tmp_path / "2.png")
    np.testing.assert_array_equal(frames.read(tmp_path / "2.png"), other)


def test_a_frame_that_is_still_being_written_is_read_when_it_is_asked_for(tmp_path, frames):
    write(tmp_path / "1.png", 1)
    (tmp_path / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    frames.read(tmp_path / "1.png")
    assert frames._ahead.image.exception() is not None
    write(tmp_path / "2.png", 2)
    assert frames.read(tmp_path / "2.png")[0, 0, 0] == 2


def test_errors_are_those_of_reading(tmp_path, frames):
    write(tmp_path / "1.png", 1)
    (tmp_path / "2.png").write_bytes(b"no picture")
    frames.read(tmp_path / "1.png")
    with pytest.raises(FrameError, match=r"2\.png"):
        frames.read(tmp_path / "2.png")
    with pytest.raises(FrameError, match=r"9\.png"):
        frames.read(tmp_path / "9.png")


def test_what_is_no_file_is_not_read_ahead(tmp_path, frames, read):
    """A named pipe that nobody writes to would be waited for without end."""
    write(tmp_path / "1.png", 1)
    os.mkfifo(tmp_path / "2.png")
    frames.read(tmp_path / "1.png")
    assert [name for name, _ in read] == ["1.png"]


def test_its_thread_ends_with_it(tmp_path):
    write(tmp_path / "1.png", 1)
    write(tmp_path / "2.png", 2)
    reader = FramesAhead()
    reader.read(tmp_path / "1.png")
    reader.close()
    assert not any(t.name.startswith("frame-ahead") for t in threading.enumerate())
