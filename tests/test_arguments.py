"""The checked types of the command line's arguments, and how every command ends."""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

import pytest

from tracker.__main__ import main
from tracker.arguments import above_zero, named, output_file, output_folder, some_path, whole


@pytest.mark.parametrize("text", ["1", "255", "007"])
def test_whole_numbers_are_read(text: str) -> None:
    assert whole(1, 255)(text) == int(text)


@pytest.mark.parametrize("text", ["0", "256", "-1", "1.5", "²", "", "one"])
def test_what_is_no_whole_number_of_the_span_is_named(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=f"'{text}' is no whole number from 1 to 255"):
        whole(1, 255)(text)


def test_a_span_may_begin_at_zero_and_have_no_end() -> None:
    assert [whole(0)(text) for text in ("0", "1000000")] == [0, 1_000_000]
    with pytest.raises(ArgumentTypeError, match=r"'-1' is no whole number from 0$"):
        whole(0)("-1")


def test_numbers_above_zero_are_finite() -> None:
    assert [above_zero(text) for text in ("0.5", "3", "1e-3")] == [0.5, 3, 0.001]
    for text in ("0", "-1", "nan", "inf", "soon", ""):
        with pytest.raises(ArgumentTypeError, match=f"'{text}' is no number above 0"):
            above_zero(text)


@pytest.mark.parametrize("kind", [named, some_path, output_file, output_folder])
def test_an_empty_name_is_not_the_present_folder(kind: Callable[[str], object]) -> None:
    with pytest.raises(ArgumentTypeError, match="the name is empty; the present folder is"):
        kind("")
    assert [named("0"), some_path(".")] == ["0", Path()]


@pytest.mark.parametrize("words", [["run", ""], ["run", "0", "--out", ""], ["demo", ""]])
def test_commands_refuse_an_empty_name(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "the name is empty" in capsys.readouterr().err


def test_a_file_to_write_is_no_folder_nor_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.json"
    assert output_file(str(path)) == path
    with pytest.raises(ArgumentTypeError, match="is a folder; name a file in it"):
        output_file(str(tmp_path))
    (tmp_path / "new").touch()
    with pytest.raises(ArgumentTypeError, match="new is a file, not a folder"):
        output_file(str(path))


def test_a_folder_to_write_into_is_no_file_nor_in_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "pictures"
    assert output_folder(str(path)) == path and output_folder(str(tmp_path)) == tmp_path
    (tmp_path / "new").touch()
    for place in (path, tmp_path / "new"):
        with pytest.raises(ArgumentTypeError, match=f"^{tmp_path}/new is a file, not a folder"):
            output_folder(str(place))


def test_a_folder_that_cannot_be_written_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, _: path != tmp_path)
    with pytest.raises(ArgumentTypeError, match=r"new/folder cannot be written \(no permission"):
        output_folder(str(tmp_path / "new" / "folder"))


@pytest.mark.parametrize("name", ["there.json", "new.json", "new/folder/out.json"])
def test_a_file_that_cannot_be_written_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "there.json").write_text("")
    locked = {tmp_path, tmp_path / "there.json"}
    monkeypatch.setattr("os.access", lambda path, _: path not in locked)
    with pytest.raises(ArgumentTypeError, match=f"{name} cannot be written"):
        output_file(str(tmp_path / name))


@pytest.mark.parametrize("words", [["--help"], ["weights", "--list"]])
def test_a_reader_that_has_gone_is_no_fault(words: list[str]) -> None:
    code = "import sys; sys.stdin.readline(); from tracker.__main__ import main; sys.exit(main())"
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", code, *words], text=True, **pipes) as process:
        process.stdout.close()
        process.stdout = None
        assert process.communicate("go\n", timeout=60) == (None, "")
    assert process.returncode == 1


def test_a_broken_pipe_to_another_process_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: list[str]) -> int:
        raise BrokenPipeError("a worker has gone")

    monkeypatch.setattr("tracker.cli.stop.main", broken)
    with pytest.raises(BrokenPipeError, match="a worker has gone"):
        main(["stop"])


def test_ctrl_c_in_a_command_ends_it_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(_: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("tracker.cli.stop.main", pressed)
    assert main(["stop"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
