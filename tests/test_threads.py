"""Threads that wait for each other: how long they stay awake, and that PyTorch hears of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import PROJECT
from tracker.threads import SPINS, wait_briefly


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": SPINS}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
    ],
)
def test_the_wish_of_the_environment_comes_first(
    given: dict[str, str], expected: dict[str, str]
) -> None:
    environment = dict(given)
    wait_briefly(environment)
    assert environment == expected


def spins(*command: str, **variables: str) -> str | None:
    """What GNU OpenMP says of its spins where a command loads it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, *command], cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=120, env=environment | {"OMP_DISPLAY_ENV": "VERBOSE"} | variables,
    )  # fmt: skip
    log = Path(variables.get("HQTRACK_RUNTIME_DIR", ""), "hqtrack-lite.log")
    lines = (done.stderr + (log.read_text() if log.is_file() else "")).splitlines()
    said = [line for line in lines if "GOMP_SPINCOUNT" in line]
    return said[0].split("'")[1] if said else None


@pytest.fixture(scope="module")
def usual() -> str:
    found = spins("-c", "import torch")
    if found is None:
        pytest.skip("PyTorch computes with another OpenMP than GNU's here")
    return found


def test_every_way_in_sets_it_before_pytorch_is_loaded(usual: str, tmp_path: Path) -> None:
    assert int(usual) > int(SPINS)
    commands = "from tracker.__main__ import main; main(['stop', '--list']); import torch"
    assert spins("-c", commands, HQTRACK_RUNTIME_DIR=str(tmp_path)) == SPINS
    attach = ("-m", "tracker.attach", "--in-process", "--preset", "hqtrack-lite")
    assert spins(*attach, HQTRACK_RUNTIME_DIR=str(tmp_path)) == SPINS
