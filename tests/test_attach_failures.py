"""Clients that are killed, servers that die, starts that fail, and `python -m tracker stop`."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import trax

from tests.serving import FACTORY, PROJECT, Session, Station, square, station, wait_until
from tracker.resident import launch, refusal, wire


@pytest.fixture
def here() -> Iterator[Station]:
    with station() as result:
        yield result


def stop(here: Station, *arguments: str) -> str:
    command = [sys.executable, "-m", "tracker", "stop", *arguments]
    done = subprocess.run(
        command, cwd=PROJECT, env=here.environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def works(session: Session) -> bool:
    session.initialize(square(3, 4))
    session.frame()
    return session.quit() == 0


def test_a_killed_client_frees_the_server(here: Station) -> None:
    session = here.session()
    session.initialize(square(3, 4))
    session.process.kill()  # the pipes of the toolkit stay open
    session.process.wait()
    wait_until(lambda: here.states()[0]["phase"] == "idle", 5)
    assert works(here.session())
    assert here.loads == 1
    assert "the client's process is gone" in here.log.read_text()


def test_a_client_killed_while_it_waits_is_skipped(here: Station) -> None:
    first = here.session()
    first.initialize(square(3, 4))
    second = here.spawn()
    wait_until(lambda: here.states()[0]["waiting"] == 1)
    second.kill()
    second.wait()
    assert first.quit() == 0
    assert works(here.session())
    assert here.loads == 1


def test_a_client_killed_while_the_server_computes(here: Station) -> None:
    session = here.session()
    session.initialize(square(3, 4))
    killer = threading.Timer(0.3, session.process.kill)
    killer.start()
    thread = threading.Thread(target=lambda: _swallow(lambda: session.frame(name="slow")))
    thread.start()
    wait_until(lambda: here.states()[0]["phase"] == "idle", 8)
    assert works(here.session())
    assert here.loads == 1
    thread.join(5)


def test_a_server_that_hangs_without_a_client_is_given_up(here: Station) -> None:
    session = here.session("--hangup-seconds", "0.5")
    session.initialize(square(3, 4))
    thread = threading.Thread(target=lambda: _swallow(lambda: session.frame(name="hang")))
    thread.start()
    queued = threading.Thread(target=lambda: outcome.append(works(here.session())))
    outcome: list[bool] = []
    queued.start()
    wait_until(lambda: here.states()[0]["waiting"] == 1)
    session.process.kill()
    thread.join(10)
    queued.join(20)
    assert outcome == [True]
    assert here.loads == 2
    assert "giving this server up" in here.log.read_text()


@pytest.mark.parametrize("way", ["killed", "exits"])
def test_a_server_that_dies_is_told_to_the_client(here: Station, way: str) -> None:
    session = here.session()
    session.initialize(square(3, 4))
    [state] = here.states()
    with pytest.raises(trax.TraxException, match="server ended during this session") as caught:
        if way == "killed":
            os.kill(state["pid"], 9)
            session.frame()
        else:
            session.frame(name="exit")
    assert str(here.log) in str(caught.value)
    if way == "exits":
        assert "status 9" in str(caught.value)
        assert "the last words" in str(caught.value)
    assert session.process.wait(5) == 1
    assert works(here.session())
    assert here.loads == 2


def test_a_client_that_only_quits_is_not_kept_after_a_failed_start() -> None:
    requests, answers = os.pipe(), os.pipe()
    os.write(requests[1], b"@@TRAX:quit\n")  # and the pipe stays open
    began = time.monotonic()
    refusal.refuse(requests[0], answers[1], "no weights")
    assert time.monotonic() - began < 5, "it waited for a request"
    os.close(answers[1])
    said = os.read(answers[0], 1 << 16)
    assert b"@@TRAX:hello" in said and b"no weights" not in said
    for fd in (*requests, answers[0]):
        os.close(fd)


def test_a_bad_frame_leaves_the_server_running(here: Station) -> None:
    session = here.session()
    with pytest.raises(trax.TraxException, match=r"missing\.png"):
        session.initialize(square(3, 4), name="missing")
    assert session.quit() == 1
    assert works(here.session())
    assert here.loads == 1


def test_a_server_that_lost_its_accelerator_makes_room_for_another(here: Station) -> None:
    session = here.session()
    session.initialize(square(3, 4))
    with pytest.raises(trax.TraxException, match="CUDA error"):
        session.frame(name="cuda")
    assert session.quit() == 1
    assert works(here.session())
    assert here.loads == 2


def test_a_client_without_pipes_does_no_harm(here: Station) -> None:
    assert works(here.session())
    process = here.spawn()
    process.stdin.close()
    process.stdout.close()
    process.wait(10)
    assert works(here.session())
    assert here.loads == 1


def test_a_server_that_may_open_no_file_answers_when_it_may_again(here: Station) -> None:
    assert works(here.session())
    pid = here.states()[0]["pid"]
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    with launch.connect(next(here.runtime.glob("*.sock"))) as client:
        wire.send(client, {"op": "status"})
        wait_until(lambda: "a client has to wait: [Errno 24]" in here.log.read_text())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        assert wire.Messages(client).next(10)["phase"] == "idle"


@pytest.mark.parametrize("line", [b"[" * 60_000 + b"\n", b"\xff\x00\n", b"[1]\n", b"\n"])
def test_what_is_no_message_ends_its_client_only(here: Station, line: bytes) -> None:
    assert works(here.session())
    with launch.connect(next(here.runtime.glob("*.sock"))) as client:
        client.settimeout(10)
        client.sendall(line)
        assert client.recv(1) == b""
    assert f"a client was not understood: no message: {line[:80]!r}\n" in here.log.read_text()
    assert works(here.session())
    assert here.loads == 1


@pytest.mark.parametrize(
    ("fault", "arguments", "reason"),
    [
        ("raise", (), "static.pth is cut short: download it again"),
        ("exit", (), "did not start: it ended with status 3"),
        ("hang", ("--start-seconds", "0.5"), "not loaded within 0.5 s"),
        ("", ("--factory", "nowhere:make"), "No module named 'nowhere'"),
        ("", ("--set", "nonsense"), "--set nonsense: write it as KEY=VALUE"),
        ("", ("--idle-seconds", "soon"), "'soon' is no time in seconds"),
    ],
)
def test_the_reason_of_a_failed_start_reaches_the_client(
    here: Station, fault: str, arguments: tuple[str, ...], reason: str
) -> None:
    session = here.session(*arguments, STATIC_FAULT=fault)
    with pytest.raises(trax.TraxException) as caught:
        session.initialize(square(3, 4))
    assert reason in str(caught.value)
    assert session.quit() == 1
    assert reason in "".join(session.text)  # what `vot test` shows and the toolkit's log keeps
    assert not here.states()
    if fault in ("raise", "hang"):
        assert str(here.log) in str(caught.value)
        assert "static_tracker.py" in here.log.read_text()


def test_what_an_earlier_server_has_logged_is_no_reason_of_a_failed_start(here: Station) -> None:
    here.runtime.mkdir(mode=0o700)
    here.log.write_text("an earlier server ended\n")
    session = here.session(STATIC_FAULT="exit")
    with pytest.raises(trax.TraxException, match="ended with status 3") as caught:
        session.initialize(square(3, 4))
    assert "earlier" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "variable", "reason"),
    [
        (("--preset", "nope"), {}, "unknown preset 'nope'; the presets are hqtrack, hqtrack-lite"),
        ((), {"HQTRACK_PRESET": "nope"}, "unknown preset 'nope'"),
        (("--set", "memory__size=3"), {}, "unknown setting 'memory__size'; the settings are "),
        (("--set", "name=x"), {}, "unknown setting 'name'"),
        ((), {"HQTRACK_SET": "memory__interval=0"}, "memory__interval is 0; it must be"),
    ],
)
def test_an_unknown_preset_or_setting_is_told_before_a_server_is_started(
    here: Station, arguments: tuple[str, ...], variable: dict[str, str], reason: str
) -> None:
    process = here.spawn(*arguments, factory=(), **variable)
    session = Session(process, here.folder)
    here.sessions.append(session)
    with pytest.raises(trax.TraxException) as caught:
        session.initialize(square(3, 4))
    assert reason in str(caught.value)
    assert session.quit() == 1
    assert not here.runtime.exists()


def test_everybody_who_waits_hears_of_a_failed_start(here: Station) -> None:
    reasons: list[str] = []

    def client() -> None:
        try:
            here.session(STATIC_FAULT="raise").initialize(square(3, 4))
        except trax.TraxException as error:
            reasons.append(str(error))

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(reasons) == 3
    assert all("cut short" in reason for reason in reasons)


def test_stop_lists_and_stops_an_idle_server(here: Station) -> None:
    assert "no resident server runs" in stop(here)
    assert works(here.session())
    [state] = here.states()
    listed = stop(here, "--list")
    assert f"process {state['pid']}: hqtrack, idle, 1 sessions" in listed
    assert str(here.log) in listed
    assert here.states()
    assert "stopped" in stop(here)
    assert not list(here.runtime.glob("*.sock"))


def test_stop_ends_a_session_and_says_so(here: Station) -> None:
    session = here.session()
    session.initialize(square(3, 4))
    assert "stopped" in stop(here)
    with pytest.raises(trax.TraxException, match="stopped by"):
        session.frame()
    assert session.process.wait(5) == 1


@pytest.mark.parametrize("busy", [False, True])
def test_a_signal_stops_the_server_in_good_order(here: Station, busy: bool) -> None:
    session = here.session()
    session.initialize(square(3, 4))
    if not busy:
        assert session.quit() == 0
    [state] = here.states()
    os.kill(state["pid"], 15)
    if busy:
        assert session.process.wait(5) == 1
        assert "stopped by a signal" in told(session)
    wait_until(lambda: not list(here.runtime.glob("*.sock")))


def told(session: Session) -> str:
    """What the client learns at its next frame."""
    with pytest.raises(trax.TraxException) as caught:
        session.frame()
    return str(caught.value)


def test_stop_while_loading(here: Station) -> None:
    process = here.spawn(STATIC_FAULT="hang")
    wait_until(lambda: here.loads == 1)
    assert "loading" in stop(here)
    text, _ = process.communicate(b"@@TRAX:initialize \n@@TRAX:frame \n", timeout=10)
    assert b"stopped by" in text
    assert process.returncode == 1


def test_stop_ends_a_client_that_waits_for_its_turn(here: Station) -> None:
    """It would start another server."""
    here.session().initialize(square(3, 4))
    process = here.spawn()
    wait_until(lambda: here.states()[0]["waiting"] == 1)
    assert "1 waiting" in stop(here)
    text, _ = process.communicate(b"@@TRAX:initialize \n@@TRAX:frame \n", timeout=10)
    assert b"stopped by" in text
    assert process.returncode == 1
    assert here.loads == 1


def test_serve_by_hand_is_used_by_clients(here: Station) -> None:
    command = [sys.executable, "-m", "tracker", "serve", *FACTORY]
    server = subprocess.Popen(
        command, cwd=PROJECT, env=here.environment, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: list(here.runtime.glob("*.sock")))
        assert works(here.session())
        assert [state["pid"] for state in here.states()] == [server.pid]
        again = subprocess.run(
            command, cwd=PROJECT, env=here.environment, capture_output=True, text=True, timeout=20
        )
        assert again.returncode == 1
        assert "runs already" in again.stderr
        assert "stopped" in stop(here)
        assert "loaded in" in server.communicate(timeout=10)[1]
        assert server.returncode == 0
        assert "loaded in" in here.log.read_text()
    finally:
        server.kill()
        server.wait()


def test_a_server_by_hand_ends_in_good_order_with_ctrl_c(here: Station) -> None:
    command = [sys.executable, "-m", "tracker", "serve", *FACTORY]
    with subprocess.Popen(
        command, cwd=PROJECT, env=here.environment, stderr=subprocess.PIPE, text=True
    ) as server:
        wait_until(lambda: [state["phase"] for state in here.states()] == ["idle"])
        server.send_signal(signal.SIGINT)
        assert "leaving: stopped by a signal" in server.communicate(timeout=20)[1]
        assert server.returncode == 0


def test_a_server_by_hand_that_cannot_load_has_failed(here: Station) -> None:
    command = [sys.executable, "-m", "tracker", "serve", *FACTORY]
    env = here.environment | {"STATIC_FAULT": "raise"}
    done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "static.pth is cut short" in done.stderr
    assert not list(here.runtime.glob("*.sock"))


def test_a_server_whose_folder_was_deleted_still_leaves_in_good_order(here: Station) -> None:
    """Folders for temporary files are cleaned up."""
    command = [sys.executable, "-m", "tracker", "serve", *FACTORY]
    with subprocess.Popen(
        command, cwd=PROJECT, env=here.environment, stderr=subprocess.PIPE, text=True
    ) as server:
        wait_until(lambda: list(here.runtime.glob("*.sock")))
        assert works(here.session())
        shutil.rmtree(here.runtime)
        server.terminate()
        assert "leaving: stopped by a signal" in server.communicate(timeout=20)[1]
        assert server.returncode == 0


def test_serve_without_a_place_for_its_socket_says_so(tmp_path, monkeypatch, capsys) -> None:
    from tracker.serve import main

    (tmp_path / "file").write_text("")
    for folder, reason in (
        (tmp_path / "file", "file: "),
        (tmp_path / ("x" * 100), "is too long for a socket"),
    ):
        monkeypatch.setenv("HQTRACK_RUNTIME_DIR", str(folder))
        assert main([*FACTORY]) == 1
        told = capsys.readouterr().err
        assert told.startswith("error: ") and told.count("\n") == 1
        assert reason in told and "HQTRACK_RUNTIME_DIR" in told


def _swallow(action: Callable[[], object]) -> None:
    with contextlib.suppress(trax.TraxException):
        action()
