"""The words of `python -m tracker run`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.test_run import BoxMover, run
from tests.test_run import first as first
from tests.test_run import folder as folder
from tracker.cli.run import read_starts
from tracker.cli.words import parse
from tracker.prompts import BoxPrompt, PointPrompt


def test_a_box_may_begin_left_of_the_frame(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run([folder, "--box", "-5,-4,10,8", "--out", out], BoxMover())[0] == 0
    with Image.open(out / "masks" / "00000000.png") as picture:
        labels = np.array(picture)
    assert labels[:4, :5].any() and not labels[4:].any() and not labels[:, 5:].any()


@pytest.mark.parametrize(
    ("words", "prompt"),
    [
        (["--box", "-5,40,60,40"], BoxPrompt(-5, 40, 60, 40)),
        (["--box", "-.5,-4e1,60,40"], BoxPrompt(-0.5, -40, 60, 40)),
        (["--box=-5,40,60,40"], BoxPrompt(-5, 40, 60, 40)),
        (["--point", "-3,40", "--no-overlay"], PointPrompt(((-3, 40),))),
        (["--point", "0=-3,-4"], PointPrompt(((-3, -4),))),
    ],
)
def test_numbers_may_begin_below_zero(words: list[str], prompt: object) -> None:
    (start,) = read_starts(parse(["clip", *words], ""))
    assert (start.frame, start.what) == (0, prompt)
    (start,) = read_starts(parse([*words, "clip"], ""))
    assert start.what == prompt


def test_an_option_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["clip", "--box", "--point", "3,4"], "")
    assert "--box: expected one argument" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--mask", "a.png"], ["--set", "memory__interval=7"]])
def test_a_source_that_an_option_took_comes_first(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run([*option, "clip"])
    told = capsys.readouterr().err
    assert "required: source; it comes first" in told and "--mask and --set take all words" in told
    assert "a name that begins with - is written ./-name" in told
