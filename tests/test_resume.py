"""`python -m tracker run --resume` over records that are cut, foreign or odd."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.test_run import SHAPE, Interrupted, contents, rows, run
from tracker.media.masks import write_labels

DEEP = "[" * 100_000
ANSWER = "[[false, false], [0.5, 0.5]]\n"


@dataclass(frozen=True)
class Stopped:
    """A run of six frames and two objects that was stopped after four; words: its command line."""

    words: list[object]
    out: Path
    caplog: pytest.LogCaptureFixture

    def resume(self) -> str:
        """The one line that tells why it cannot go on."""
        self.caplog.clear()
        assert run([*self.words, "--out", self.out, "--resume"])[0] == 1
        (error,) = (r.getMessage() for r in self.caplog.records if r.levelno == logging.ERROR)
        return error


@pytest.fixture
def stopped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Stopped:
    clip, first = tmp_path / "clip", tmp_path / "first.png"
    clip.mkdir()
    for number in range(6):
        image = np.full((*SHAPE, 3), 40 * number, np.uint8)
        Image.fromarray(image).save(clip / f"{number}.png")
    values = np.zeros(SHAPE, np.uint8)
    values[4:8, 2:6], values[20:23, 10:20] = 1, 2
    write_labels(first, values)
    words = [clip, "--mask", first]
    assert run([*words, "--out", tmp_path / "out"], Interrupted(3))[0] == 130
    return Stopped(words, tmp_path / "out", caplog)


Change = Callable[[str], str]


def done(number: str) -> Change:
    return lambda text: text.replace('"done": 4', f'"done": {number}')


def instead(text: str) -> Change:
    return lambda _: text


def before(text: str) -> Change:
    return lambda rest: f"{text}\n{rest}"


def cut(size: int) -> Change:
    return lambda text: text[:size]


RECORDS = {
    "cut": (cut(9), "run.json: Expecting value"),
    "empty": (instead(""), "run.json: Expecting value"),
    "deep": (instead(DEEP), "run.json: maximum recursion depth"),
    "list": (instead("[1]"), "run.json does not tell what was asked for"),
    "null": (instead("null"), "run.json does not tell what was asked for"),
    "foreign": (instead('{"a": 1}'), "run.json does not tell what was asked for"),
    "asked for a number": (instead('{"asked": 3, "done": 1}'), "run.json does not tell"),
    "done is a text": (done('"4"'), "run.json does not tell what was asked for"),
    "done is negative": (done("-4"), "run.json does not tell what was asked for"),
    "too many done": (done("5"), "frames.jsonl has 4 lines of 5"),
    "done without a state": (done("3"), "there are 2 objects, but 0 in state-3"),
}
LOGS = {
    "cut": (cut(len(ANSWER) + 9), "frames.jsonl, after line 1: Expecting value"),
    "short": (cut(len(ANSWER)), "frames.jsonl has 1 lines of 4"),
    "number": (before("5"), "frames.jsonl, after line 0: cannot unpack"),
    "deep": (before(DEEP), "frames.jsonl, after line 0: maximum recursion depth"),
    "words": (before('[["a"], ["b"]]'), "frames.jsonl, after line 0: could not convert"),
    "uneven": (before("[[true], []]"), "frames.jsonl, after line 0: no list of confidences"),
    "no objects": (instead("[[], []]\n" * 4), "there are 0 objects, but 2 in state-4"),
    "one object": (before("[[true], [1.0]]"), "mask of frame 0 .* up to 2; .* with 1 objects"),
}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        *(("run.json", *case) for case in RECORDS.values()),
        *(("frames.jsonl", *case) for case in LOGS.values()),
    ],
    ids=[*(f"record {name}" for name in RECORDS), *(f"log {name}" for name in LOGS)],
)
def test_an_odd_record_is_one_line_and_a_fresh_start_helps(
    stopped: Stopped, name: str, change: Change, message: str
) -> None:
    path = stopped.out / "resume" / name
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))
    told = stopped.resume()
    assert re.search(message, told), told
    assert "start afresh with --overwrite" in told
    assert run([*stopped.words, "--out", stopped.out, "--overwrite"])[0] == 0
    assert len(rows(stopped.out)) == 12


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("run.json", "nothing to resume"),
        ("frames.jsonl", "frames.jsonl, after line 0: .*No such file"),
        ("state-4.safetensors", "there are 2 objects, but 0 in state-4"),
    ],
)
def test_a_record_with_a_missing_part_is_told(stopped: Stopped, name: str, message: str) -> None:
    (stopped.out / "resume" / name).unlink()
    assert re.search(message, stopped.resume())


def test_a_mask_of_another_size_is_not_gone_on_from(stopped: Stopped) -> None:
    write_labels(stopped.out / "masks" / "00000001.png", np.ones((5, 7), np.uint8))
    assert "the mask of frame 1 is (5, 7)" in stopped.resume()


def test_a_video_that_has_become_shorter_is_told_and_costs_nothing(
    stopped: Stopped, tmp_path: Path
) -> None:
    clip = tmp_path / "clip"
    for number in range(3, 6):
        (clip / f"{number}.png").rename(tmp_path / f"{number}.png")
    told = stopped.resume()
    assert "clip ends after 3 frames, but 4 were done" in told
    assert "resume with the whole video, or start afresh with --overwrite" in told
    for number in range(3, 6):
        (tmp_path / f"{number}.png").rename(clip / f"{number}.png")
    assert run([*stopped.words, "--out", stopped.out, "--resume"])[0] == 0
    assert run([*stopped.words, "--out", tmp_path / "whole"])[0] == 0
    assert contents(stopped.out) == contents(tmp_path / "whole")


def test_a_last_line_without_its_end_is_completed(stopped: Stopped, tmp_path: Path) -> None:
    log = stopped.out / "resume" / "frames.jsonl"
    log.write_text(log.read_text().rstrip())
    again = [*stopped.words, "--out", stopped.out, "--resume"]
    assert run(again, Interrupted(0))[0] == 130
    assert log.read_text() == ANSWER * 5
    assert run(again)[0] == 0
    assert run([*stopped.words, "--out", tmp_path / "whole"])[0] == 0
    assert contents(stopped.out) == contents(tmp_path / "whole")
