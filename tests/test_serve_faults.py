"""What a client can do wrong: the server answers by the protocol, says one clear line, goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trax

from tests.serving import (
    PROJECT,
    SHAPE,
    Session,
    Station,
    square,
    station,
    wait_until,
    write_frame,
)
from tests.static_tracker import StaticTracker
from tracker.resident.grammar import MOST_PIXELS, Message, SessionError, parse_line
from tracker.resident.requests import Requests
from tracker.trax_session import run_session

MESSAGES = 10_000
OBJECT = b'@@TRAX:initialize "10.0,10.0,8.0,8.0" \n'


@pytest.fixture(scope="module")
def resident() -> Iterator[Station]:
    with station() as result:
        yield result


@pytest.fixture
def here(resident: Station) -> Iterator[Station]:
    """One resident server; every test ends with a good session of another client."""
    yield resident
    resident.close_sessions()
    session = resident.session()
    assert np.array_equal(session.initialize(square(3, 4)), [square(3, 4)])
    assert session.quit() == 0
    assert resident.loads == 1


def frame_line(here: Station, name: str = "frame") -> bytes:
    return f'@@TRAX:frame "file://{write_frame(here.folder / f"{name}.png")}" \n'.encode()


def sent(here: Station, data: bytes) -> tuple[int, str]:
    """A client that writes these bytes and closes its end; exit status of its process, the text."""
    process = here.spawn()
    try:
        text, _ = process.communicate(data, timeout=20)
    finally:
        process.kill()
        process.wait()
    return process.returncode, text.decode(errors="replace")


def logged(here: Station, before: int) -> list[str]:
    """Complaints of the server since its log had so many bytes."""
    lines = here.log.read_bytes()[before:].decode().splitlines()
    return [line for line in lines if " ERROR " in line]


def log_size(here: Station) -> int:
    return here.log.stat().st_size if here.log.exists() else 0


BAD_BYTES = {
    "garbage": (bytes(range(11, 256)) + b"\n", "has left without ending the session"),
    "half a line": (b"@@TRAX:initi", "has left in the middle of a request"),
    "object without frame": (OBJECT, "has left in the middle of a request"),
    "frame first": (b"FRAME", "`initialize` comes before `frame`"),
    "no object": (b"@@TRAX:initialize \nFRAME", "`initialize` comes before `frame`"),
    "unknown request": (b"@@TRAX:dance \n", "initialize, frame or quit, not 'dance'"),
    "two regions": (b'@@TRAX:initialize "1,2,3,4" "1,2,3,4" \n', "takes one region, not 2"),
    "image in memory": (OBJECT + b'@@TRAX:frame "image:9;9;gray8;AA" \n', "given by its path"),
    "no path": (OBJECT + b'@@TRAX:frame "file://" \n', "given by its path"),
    "no image": (OBJECT + b"@@TRAX:frame \n", "takes one image (colour), not 0"),
    "huge mask": (b'@@TRAX:initialize "mask:0,0,99999,99999,1" \n', "99999 x 99999 pixels"),
    "mask of nothing": (b'@@TRAX:initialize "mask:0,0,0,5" \n', "a mask of 0 x 5 pixels"),
    "runs too long": (b'@@TRAX:initialize "mask:0,0,2,2,9" \n', "do not fit its box of 2 x 2"),
    "no numbers": (b'@@TRAX:initialize "mask:a,b" \n', "not a mask: 'a,b'"),
    "infinite": (b'@@TRAX:initialize "inf,0,1,1" \n', "far outside any image"),
    "control character": (b'@@TRAX:initialize "1,2,3,4\x07" \n', "control characters"),
    "letters": ('@@TRAX:frame "file:///t\u00e9.png" \n'.encode(), "letters outside ASCII"),
    "wrong type": (b'@@TRAX:initialize "1" \nFRAME', "not by special"),
}


@pytest.mark.parametrize("what", BAD_BYTES)
def test_what_is_no_request_ends_its_session_with_one_line(here: Station, what: str) -> None:
    data, reason = BAD_BYTES[what]
    before = log_size(here)
    status, text = sent(here, data.replace(b"FRAME", frame_line(here)))
    assert status == 1
    quits = [line for line in text.splitlines() if line.startswith("@@TRAX:quit")]
    assert len(quits) == 1 and reason in quits[0] and str(here.log) in quits[0]
    complaints = logged(here, before)
    assert len(complaints) == 1 and reason in complaints[0]
    assert "Traceback" not in here.log.read_bytes()[before:].decode()


def test_a_client_that_closes_after_a_good_request_is_answered(here: Station) -> None:
    status, text = sent(here, OBJECT + frame_line(here))
    assert status == 1
    assert [line[:12] for line in text.splitlines() if line.startswith("@@")] == [
        "@@TRAX:hello", "@@TRAX:state", "@@TRAX:quit ",
    ]  # fmt: skip
    assert "has left without ending the session" in text


def test_a_client_that_reads_no_more_answers_ends_its_session(here: Station) -> None:
    """It keeps its own end open: without a look at the other the server would wait for ever."""
    before = log_size(here)
    process = here.spawn()
    try:
        process.stdin.write(OBJECT + frame_line(here))
        process.stdin.flush()
        while not process.stdout.readline().startswith(b"@@TRAX:state"):
            pass
        process.stdout.close()
        assert process.wait(20) == 1
    finally:
        process.kill()
        process.stdin.close()
        process.wait()
    (complaint,) = logged(here, before)
    assert "the client has closed the pipe of the answers" in complaint


def test_text_between_messages_is_passed_over(here: Station) -> None:
    status, text = sent(
        here, b"hello\n\n" + OBJECT + b"a note\n" + frame_line(here) + b"@@TRAX:quit \n"
    )
    assert status == 0
    assert text.count("@@TRAX:state") == 1


def test_a_thousand_objects_come_back_in_order(here: Station) -> None:
    session = here.session()
    places = [(x, y) for y in range(0, SHAPE[0] - 3, 3) for x in range(0, SHAPE[1] - 3, 3)]
    given = [square(x, y, 2) for x, y in (places * 4)[:1000]]
    answer = session.initialize(*given)
    assert len(answer) == 1000
    # where several lie on one place, one of them has it
    assert np.array_equal(np.any(answer, axis=0), np.any(given, axis=0))
    assert len(session.frame()) == 1000
    assert session.quit() == 0


def test_a_region_outside_the_image_is_an_object_that_is_absent(here: Station) -> None:
    """The tracker without a model takes it; HQTrack refuses it, see test_serve_hqtrack.py."""
    session = here.session()
    outside = trax.Mask.create(np.ones((5, 5), np.uint8), x=500, y=-900)
    answer = session.initialize(square(3, 4), outside)
    assert np.array_equal(answer[0], square(3, 4))
    assert not answer[1].any()
    assert session.quit() == 0


def test_a_cut_jpeg_is_named(here: Station) -> None:
    whole = write_frame(here.folder / "whole.jpg", (480, 640))
    cut = here.folder / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:-200])
    session = here.session()
    session.initialize(square(3, 4))
    with pytest.raises(trax.TraxException, match=r"cut\.jpg is a cut or damaged JPEG"):
        session.client.frame({"color": trax.FileImage.create(str(cut))}, {}, [])
    assert session.quit() == 1


def test_dead_clients_leave_nothing_behind(here: Station) -> None:
    """Clients that die in every way leave no thread in the server, and no process below it."""
    assert sent(here, b"")[0] == 1
    [state] = here.states()
    pid = state["pid"]
    threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    for ending in (b"", b"@@TRAX:", OBJECT, OBJECT + frame_line(here)):
        process = here.spawn()
        process.stdin.write(ending)
        process.kill()
        process.communicate()
    wait_until(lambda: here.states()[0]["phase"] == "idle")
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""
    wait_until(lambda: len(list(Path(f"/proc/{pid}/task").iterdir())) == threads)


def test_ten_thousand_messages_of_fuzz(tmp_path: Path) -> None:
    """In a process of its own, with a watchdog: a crash or a hang is its exit status."""
    seed = tmp_path / "seed"
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzzing", "0", str(MESSAGES)],
        cwd=PROJECT, env=os.environ | {"SEED_FILE": str(seed), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=80,
    )  # fmt: skip
    assert done.returncode == 0, f"session of seed {seed.read_text()}: {done.stderr[-2000:]}"
    said = json.loads(done.stdout)
    assert said["messages"] >= MESSAGES
    assert said["reasons"]["None"] > 20
    assert said["reasons"]["the client has left in the middle of a request"] > 20
    assert len(said["reasons"]) > 50
    assert said["threads"] == 1
    assert said["descriptors"] < 12


@pytest.mark.parametrize(
    "message",
    [
        Message("initialize"),
        Message("initialize", ("mask:-3,0,12,10,27,4,8",), (("a.b", 'x"y\\z=n'),)),
        Message("frame", ("file:///a b/\"c\\d'=.png",)),
        Message("quit"),
    ],
)
def test_a_message_survives_writing_and_reading(message: Message) -> None:
    line = message.encode()
    assert line.endswith(b"\n")
    assert parse_line(line[:-1]) == message


@pytest.mark.parametrize("line", [b"", b"text", b" @@TRAX:quit", b"@@TRAX quit", b"\xff\xfe"])
def test_other_lines_are_no_messages(line: bytes) -> None:
    assert parse_line(line) is None


def test_the_largest_mask_is_taken_and_no_larger_one() -> None:
    side = int(MOST_PIXELS**0.5)
    assert parse_line(f'@@TRAX:initialize "mask:0,0,{side},{side},5"'.encode())
    with pytest.raises(SessionError, match="pixels"):
        parse_line(f'@@TRAX:initialize "mask:0,0,{side},{side + 1},5"'.encode())


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        ("mask:0,0,2,2,5", "do not fit its box"),
        ("mask:0,0,2,2,3,-1", "do not fit its box"),
        ("mask:9999999999,0,2,2,4", "a mask far outside any image"),
        ("mask:0,0,1_0,10,0,100", "not a region: 'mask:0,0,1_0,10,0,100'"),
        ("1_0,2,3,4", "not a region: '1_0,2,3,4'"),
        ("1e99,2,3,4", "a region far outside any image"),
        ("1,2,3,4,5", "5 numbers are no region"),
        ("1,2,3,4,5,6,7", "7 numbers are no region"),
    ],
)
def test_a_region_that_is_none_is_refused(region: str, reason: str) -> None:
    with pytest.raises(SessionError, match=reason):
        parse_line(f'@@TRAX:initialize "{region}"'.encode())


@pytest.mark.parametrize(
    "region", ["mask:0,0,2,2,4", "mask:-9,-9,2,2", "-1,2.5,3,4e0", "1,2,3,4,5,6"]
)
def test_a_region_is_taken_as_it_is(region: str) -> None:
    assert parse_line(f'@@TRAX:initialize "{region}"'.encode()).arguments == (region,)


def test_a_client_that_waits_in_the_middle_of_a_line_can_be_ended() -> None:
    from_client, to_server = os.pipe()
    try:
        os.write(to_server, OBJECT + b"@@TRAX:fra")
        with Requests(from_client) as requests, pytest.raises(SessionError, match="enough"):
            asked = iter([None, None, "enough of it"])
            requests.admit(lambda: next(asked))
    finally:
        os.close(from_client)
        os.close(to_server)


def test_lines_without_an_end_are_not_collected_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.resident.requests.LONGEST_LINE", 1000)
    with (
        Path("/dev/zero").open("rb") as endless,
        Requests(endless.fileno()) as requests,
        pytest.raises(SessionError, match="a line of more than 1000 bytes"),
    ):
        requests.admit()


def test_too_many_objects_in_one_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tracker.resident.requests.MOST_OBJECTS", 3)
    path = tmp_path / "requests"
    path.write_bytes(OBJECT * 4)
    with (
        path.open("rb") as file,
        Requests(file.fileno()) as requests,
        pytest.raises(SessionError, match="a request with 4 objects"),
    ):
        requests.admit()


def test_too_many_pixels_in_one_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tracker.resident.requests.MOST_TOTAL_PIXELS", 150)
    path = tmp_path / "requests"
    path.write_bytes(b'@@TRAX:initialize "mask:0,0,10,10,0,100" \n' * 2)
    with (
        path.open("rb") as file,
        Requests(file.fileno()) as requests,
        pytest.raises(SessionError, match="a request with 2 objects of 200 pixels"),
    ):
        requests.admit()


def test_a_frame_after_all_objects_were_forgotten_is_refused(tmp_path: Path) -> None:
    path, frame = tmp_path / "requests", b'@@TRAX:frame "file:///a.png" \n'
    path.write_bytes(OBJECT + frame + b"@@TRAX:initialize \n" + frame)
    with path.open("rb") as file, Requests(file.fileno()) as requests:
        requests.admit()
        with pytest.raises(SessionError, match="there is no object to track"):
            requests.admit()


def test_a_session_leaves_nothing_in_the_tracker(tmp_path: Path) -> None:
    tracker = StaticTracker()
    image = write_frame(tmp_path / "frame.png")
    requests, answers = os.pipe(), os.pipe()
    os.write(requests[1], OBJECT + f'@@TRAX:frame "file://{image}" \n@@TRAX:quit \n'.encode())
    try:
        assert run_session(tracker, requests[0], answers[1], tmp_path / "log") is None
        assert b"@@TRAX:state" in os.read(answers[0], 1 << 16)
        assert tracker.masks.size == 0
    finally:
        for fd in (*requests, *answers):
            os.close(fd)


def test_a_killed_client_in_the_middle_of_a_request_frees_the_server(here: Station) -> None:
    session: Session = here.session()
    session.initialize(square(3, 4))
    os.write(session.process.stdin.fileno(), OBJECT + b'@@TRAX:frame "file')
    session.process.kill()
    session.process.wait()
    wait_until(lambda: here.states()[0]["phase"] == "idle", 8)
    assert "the client's process is gone" in here.log.read_text()
