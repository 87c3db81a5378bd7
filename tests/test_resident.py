"""Parts of the resident server, each by itself: queue, messages, log, time limit, refusals."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving import PROJECT
from tracker.resident import launch, refusal, server, wire
from tracker.resident.jobs import Job, Jobs
from tracker.resident.loading import explain, factory_of
from tracker.resident.options import OptionsError, ServeOptions
from tracker.resident.places import Place


@pytest.fixture
def client() -> Iterator[Callable[[], tuple[Job, wire.Messages]]]:
    """Makes sessions: the server's side of one, and what its client is told."""
    ends: list[socket.socket] = []

    def make() -> tuple[Job, wire.Messages]:
        ends.extend(socket.socketpair())
        nothing = [os.open(os.devnull, os.O_RDWR) for _ in range(2)]
        jobs.append(Job(ends[-1], *nothing))
        return jobs[-1], wire.Messages(ends[-2])

    jobs: list[Job] = []
    yield make
    for job in jobs:
        job.close()
    for end in ends:
        end.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def closed(read_end: int) -> bool:
    """Whether nobody holds the other end of a pipe (any more); closes this one."""
    readable, _, _ = select.select([read_end], [], [], 5)
    try:
        return bool(readable) and os.read(read_end, 1) == b""
    finally:
        os.close(read_end)


def test_a_client_is_told_its_place_and_when_the_models_are_loaded(client) -> None:
    jobs = Jobs()
    first, told_first = client()
    assert jobs.add(first, {"pid": 7})
    assert told_first.next(5) == {"event": "accepted", "phase": "loading", "ahead": 0, "pid": 7}
    jobs.loaded()
    assert told_first.next(5) == {"event": "ready"}
    assert jobs.take(5) is first
    second, told_second = client()
    assert jobs.add(second, {})
    assert told_second.next(5) == {"event": "accepted", "phase": "busy", "ahead": 1}
    assert told_second.next(5) == {"event": "ready"}


def test_sessions_are_taken_in_the_order_of_their_arrival(client) -> None:
    jobs = Jobs()
    waiting = [client()[0] for _ in range(3)]
    for job in waiting:
        jobs.add(job, {})
    assert [jobs.take(5) for _ in waiting] == waiting


def test_an_idle_time_of_zero_is_no_limit(client) -> None:
    jobs = Jobs()
    job, _ = client()
    timer = threading.Timer(0.2, jobs.add, (job, {}))
    timer.start()
    assert jobs.take(0) is job
    timer.join()


def test_a_server_that_shall_stop_takes_no_more_sessions(client) -> None:
    jobs = Jobs()
    jobs.loaded()
    jobs.stop("enough")
    assert not jobs.add(client()[0], {})
    assert jobs.take(5) is None


def test_an_idle_server_that_shall_stop_does_so_at_once() -> None:
    jobs = Jobs()
    timer = threading.Timer(0.1, jobs.stop, ("enough",))
    timer.start()
    began = time.monotonic()
    assert jobs.take(20) is None
    assert time.monotonic() - began < 10
    timer.join()


def test_everybody_hears_why_the_server_leaves(client) -> None:
    jobs = Jobs()
    (running, told_running), (queued, told_queued) = client(), client()
    jobs.add(running, {})
    jobs.add(queued, {})
    assert jobs.take(5) is running
    jobs.abandon("enough")
    assert told_running.next(5)["event"] == "accepted"
    assert told_running.next(5) == {"event": "lost", "reason": "enough"}
    assert told_queued.next(5)["event"] == "accepted"
    assert told_queued.next(5) == {"event": "failed", "reason": "enough"}


@pytest.fixture
def resident(tmp_path: Path) -> Iterator[tuple[server.ResidentServer, Place]]:
    """A server that loads nothing and accepts clients as soon as its `_accept` runs."""
    place = Place(tmp_path, "own", "hqtrack")
    listener = launch.listen(place.socket)
    yield server.ResidentServer(listener, ServeOptions(), place, lambda *_: None), place
    if listener.fileno() >= 0:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_a_leaving_server_takes_only_its_own_socket_away(resident) -> None:
    old, place = resident
    with launch.listen(place.socket):
        old._leave(None)
        assert place.socket.exists()


def test_a_leaving_server_takes_its_socket_away(resident) -> None:
    alone, place = resident
    alone._leave(None)
    assert not place.socket.exists()


def test_a_server_that_still_loads_stops_at_once(resident, monkeypatch: pytest.MonkeyPatch) -> None:
    here, _ = resident
    stopped = threading.Event()
    monkeypatch.setattr(here, "_stop_now", lambda reason: stopped.set())
    here._stop("enough")
    assert stopped.wait(5)


def test_a_client_that_says_nothing_keeps_nobody_waiting(
    resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_CLIENT_SECONDS", 0.2)
    here, place = resident
    threading.Thread(target=here._accept, daemon=True).start()
    with launch.connect(place.socket), launch.connect(place.socket) as second:
        wire.send(second, {"op": "status"})
        assert wire.Messages(second).next(5)["phase"] == "loading"


def test_descriptors_that_come_with_a_question_are_closed(resident) -> None:
    here, place = resident
    threading.Thread(target=here._accept, daemon=True).start()
    read_end, write_end = os.pipe()
    with launch.connect(place.socket) as client:
        wire.send(client, {"op": "status"}, fds=[write_end])
        os.close(write_end)
        assert wire.Messages(client).next(5)["pid"] == os.getpid()
    assert closed(read_end)


def test_a_message_may_arrive_in_parts(pair) -> None:
    ours, theirs = pair
    theirs.sendall(b'{"op": ')
    timer = threading.Timer(0.1, theirs.sendall, (b'"status"}\n',))
    timer.start()
    assert wire.receive_with_fds(ours) == ({"op": "status"}, [])
    timer.join()


def test_descriptors_that_come_with_no_message_are_closed(pair) -> None:
    ours, theirs = pair
    read_end, write_end = os.pipe()
    socket.send_fds(theirs, [b"nonsense\n"], [write_end])
    os.close(write_end)
    with pytest.raises(wire.WireError, match="nonsense"):
        wire.receive_with_fds(ours)
    assert closed(read_end)


def test_a_client_that_went_without_reading_has_hung_up(pair) -> None:
    ours, theirs = pair
    wire.send(ours, {"event": "ready"})
    assert not wire.hung_up(ours)
    theirs.close()
    assert wire.hung_up(ours)


def test_the_time_limit_for_a_message_is_for_the_whole_of_it(pair) -> None:
    ours, theirs = pair
    ended = threading.Event()

    def trickle() -> None:
        while not ended.wait(0.05):
            theirs.sendall(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    threading.Timer(5, ended.set).start()
    try:
        with pytest.raises(TimeoutError):
            wire.Messages(ours).next(0.3)
        assert not ended.is_set()
    finally:
        ended.set()
        thread.join()


def test_a_long_log_is_moved_out_of_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_LONGEST_LOG", 10)
    log = tmp_path / "hqtrack.log"
    assert launch._begin_log(log) == 0
    log.write_bytes(b"x" * 10)
    assert launch._begin_log(log) == 10
    log.write_bytes(b"x" * 11)
    assert launch._begin_log(log) == 0
    assert not log.exists()
    assert (tmp_path / "hqtrack.log.old").read_bytes() == b"x" * 11


def test_only_one_client_at_a_time_looks_for_a_server(tmp_path: Path) -> None:
    entered = threading.Event()

    def other() -> None:
        with launch.locked(tmp_path / "lock"):
            entered.set()

    thread = threading.Thread(target=other)
    with launch.locked(tmp_path / "lock"):
        thread.start()
        assert not entered.wait(0.2)
    assert entered.wait(5)
    thread.join()


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "hqtrack.log"
    assert launch.last_line(log) == ""
    log.write_bytes(b"old\nnew \xff\n\n")
    assert launch.last_line(log) == launch.last_line(log, 4) == "new \ufffd"
    assert launch.last_line(log, log.stat().st_size) == ""


def timed(block: str) -> subprocess.CompletedProcess[str]:
    """A process with `time_limit` around something, then half a second of other work."""
    code = (
        "import time\nfrom tracker.resident import loading\nloading._BACKSTOP_SECONDS = 0.1\n"
        f"{block}\ntime.sleep(0.5)\nprint('still there')"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=30
    )


@pytest.mark.parametrize(
    "block",
    [
        "with loading.time_limit(0.3, print): pass",
        "with loading.time_limit(0, print): time.sleep(0.3)",
    ],
    ids=["kept", "none"],
)
def test_a_time_limit_that_was_kept_or_is_none_ends_nothing(block: str) -> None:
    done = timed(block)
    assert (done.returncode, done.stdout) == (0, "still there\n"), done.stderr


def test_a_time_limit_holds_where_telling_of_it_takes_for_ever() -> None:
    done = timed("with loading.time_limit(0.1, lambda _: time.sleep(60)): time.sleep(60)")
    assert done.returncode == 1
    assert "Timeout" in done.stderr and "still there" not in done.stdout


@pytest.mark.parametrize(
    ("error", "clause"),
    [
        (RuntimeError("the file is cut"), "the file is cut"),
        (ValueError("conf"), "ValueError: conf"),
        (KeyError("no such key here"), "KeyError: 'no such key here'"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_an_error_in_one_clause(error: Exception, clause: str) -> None:
    assert explain(error) == clause


def test_a_factory_without_a_function_is_refused() -> None:
    with pytest.raises(OptionsError, match="--factory json: write it as MODULE:FUNCTION"):
        factory_of(ServeOptions(factory="json"))


def refused(request: bytes, reason: str) -> bytes:
    """What a client is told that writes this and keeps its end open."""
    requests, answers = os.pipe(), os.pipe()
    os.write(requests[1], request)
    refusal.refuse(requests[0], answers[1], reason)
    said = os.read(answers[0], 1 << 16)
    for fd in (*requests, *answers):
        os.close(fd)
    return said


def test_a_reason_of_any_characters_arrives_whole() -> None:
    said = refused(b"@@TRAX:initialize \n@@TRAX:frame \n", 'no "w\\x" for\nt\u00e9')
    assert said.splitlines()[-1] == rb'@@TRAX:quit "trax.reason=no \"w\\x\" for t\\xe9" '


def test_a_client_that_requests_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal, "_CLIENT_SECONDS", 0.1)
    began = time.monotonic()
    assert b"@@TRAX:quit" not in refused(b"@@TRAX:initialize \n@@TRAX:fra", "no weights")
    assert time.monotonic() - began < 5


def test_a_long_reason_is_cut() -> None:
    assert refusal.one_line("x" * 1000) == "x" * 1000
    assert refusal.one_line("x" * 1001) == "x" * 997 + "..."
