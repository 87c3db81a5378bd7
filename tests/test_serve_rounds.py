"""A thousand sessions of one server: its memory, descriptors and threads stay as they are."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.serving import Station, square, station, wait_until, write_frame
from tracker.resident import launch, wire

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SETTLED = 100
"""Rounds after which buffers, caches and heaps have their size."""


def resident_kib(pid: int) -> int:
    """Memory of a process that is its own and in use, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def round_of(here: Station, requests: bytes) -> bytes:
    """One session without a process of its own: what `tracker.attach` does, in this one."""
    [socket_file] = here.runtime.glob("*.sock")
    (from_client, to_server), (from_server, to_client) = os.pipe(), os.pipe()
    answer = b""
    with launch.connect(socket_file) as connection:
        wire.send(connection, {"op": "session"}, fds=(from_client, to_client))
        os.close(from_client)
        os.close(to_client)
        os.write(to_server, requests)
        while data := os.read(from_server, 1 << 16):
            answer += data
        messages = wire.Messages(connection)
        while (message := messages.next(20)) and message["event"] != "end":
            pass
    os.close(to_server)
    os.close(from_server)
    assert message == {"event": "end", "ok": True, "reason": None}
    return answer


def requests_of(image: Path, frames: int) -> bytes:
    frame = f'@@TRAX:frame "file://{image}" \n'.encode()
    start = b'@@TRAX:initialize "mask:8,8,20,20,0,400" \n@@TRAX:initialize "mask:40,9,9,9,0,81" \n'
    return start + frame * frames + b"@@TRAX:initialize \n" + start + frame + b"@@TRAX:quit \n"


def grown(here: Station, rounds: int, settled: int, frames: int) -> int:
    """KiB that the server has grown by between the rounds `settled` and `rounds`."""
    [state] = here.states()
    pid = state["pid"]
    requests = requests_of(write_frame(here.folder / "frame.png"), frames)
    first = round_of(here, requests)
    assert first.count(b"@@TRAX:state") == 2 * (frames + 1)
    for number in range(rounds):
        assert round_of(here, requests) == first
        if number == settled:
            wait_until(lambda: here.states()[0]["phase"] == "idle")
            begin, opened, running = resident_kib(pid), descriptors(pid), threads(pid)
    wait_until(lambda: descriptors(pid) <= opened and threads(pid) <= running)
    assert here.states()[0]["pid"] == pid
    return resident_kib(pid) - begin


def test_a_thousand_rounds_leave_memory_and_descriptors_flat() -> None:
    with station() as here:
        session = here.session()
        session.initialize(square(3, 4))
        assert session.quit() == 0
        assert grown(here, 1000, SETTLED, frames=2) < 2048
        assert here.states()[0]["sessions"] == 1002


def test_rounds_of_the_light_model_leave_memory_flat() -> None:
    """On frames of 64 x 48 pixels, at that size in the network too."""
    small = ("--preset", "hqtrack-lite", "--device", "cpu", "--set", "frame__min_pixels=null")
    with station() as here:
        session = here.session(*small, factory=())
        session.initialize(square(3, 4))
        assert session.quit() == 0
        assert grown(here, 40, 15, frames=3) < 4096
