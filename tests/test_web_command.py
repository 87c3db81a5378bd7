"""`python -m tracker web`: its options and what it says when it cannot start."""

from __future__ import annotations

import logging
import socket

import pytest

from tracker.web.command import HOST, main


def test_only_this_computer():
    assert HOST == "127.0.0.1"


def test_help_needs_no_page_library(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "--folder" in text and "--max-frames" in text and "default 3000" in text


def test_a_port_in_use_is_told(caplog):
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with caplog.at_level(logging.ERROR):
            assert main(["--port", str(port)]) == 1
    assert f"port {port} cannot be used" in caplog.text and "--port" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--folder", "/no/such/folder"], "no folder /no/such/folder"),
        (["--preset", "hqtrack-huge"], "unknown preset"),
        (["--weights", "/no/such/folder"], "no weights folder"),
    ],
)
def test_what_is_not_there_is_told(arguments, words, caplog):
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with caplog.at_level(logging.ERROR):
        assert main(["--port", str(port), *arguments]) == 1
    assert words in caplog.text


def test_without_its_library_the_page_says_what_to_install(monkeypatch, caplog):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("tracker.web.command._check_port", lambda port: None)
    with caplog.at_level(logging.ERROR):
        assert main([]) == 1
    assert "python -m pip install -e '.[web]' in the repository" in caplog.text


def test_limits_are_above_zero(capsys):
    with pytest.raises(SystemExit):
        main(["--max-frames", "0"])
    assert "--max-frames" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["70000", "65536", "0", "-1", "http"])
def test_what_is_no_port_is_told(port, capsys):
    with pytest.raises(SystemExit) as ended:
        main([f"--port={port}"])
    assert ended.value.code == 2
    assert f"--port: {port!r} is no whole number from 1 to 65535" in capsys.readouterr().err
