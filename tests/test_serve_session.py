"""One TraX session, with the models in the process that speaks the protocol."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trax

from tests.serving import PROJECT, SHAPE, Station, square, station


@pytest.fixture
def here() -> Iterator[Station]:
    with station() as result:
        yield result


@pytest.fixture(scope="module")
def resident() -> Iterator[Station]:
    with station() as result:
        yield result


@pytest.fixture
def shared(resident: Station) -> Iterator[Station]:
    """One resident server for the tests that do not ask for a process of their own."""
    yield resident
    resident.close_sessions()


def test_objects_come_back_in_order_of_arrival(here: Station) -> None:
    session = here.in_process()
    assert session.client.get("vot") is None
    assert session.client.get("multiobject")
    assert sorted(session.client.region_formats) == ["mask", "polygon", "rectangle"]
    assert session.client.image_formats == ["path"]
    first = session.initialize(square(3, 4), square(20, 4))
    assert np.array_equal(first, [square(3, 4), square(20, 4)])
    assert [p["confidence"] for p in session.properties] == ["1.0000", "0.5000"]
    assert [p["weights"] for p in session.properties] == ["static: no weights"] * 2
    second = session.frame(square(40, 30))
    assert np.array_equal(second, [square(4, 4), square(21, 4), square(40, 30)])
    assert ["weights" in p for p in session.properties] == [False, False, True]
    lost = session.frame(name="lose")
    assert not lost[0].any()
    assert np.array_equal(lost[1:], [square(22, 4), square(41, 30)])
    assert np.array_equal(session.frame()[0], square(6, 4))
    begin = time.monotonic()
    assert session.quit() == 0
    assert time.monotonic() - begin < 2


def test_one_and_ten_objects_and_reinitialisation(shared: Station) -> None:
    session = shared.session()
    assert np.array_equal(session.initialize(square(3, 4)), [square(3, 4)])
    session.frame()
    many = [square(6 * n, 4 * n, size=4) for n in range(10)]
    assert np.array_equal(session.initialize(*many), many)
    assert len(session.frame()) == 10
    assert np.array_equal(session.initialize(square(8, 8)), [square(8, 8)])
    assert np.array_equal(session.frame(), [square(9, 8)])
    assert session.quit() == 0


def test_a_crop_is_placed_and_cut_at_the_border(shared: Station) -> None:
    session = shared.session()
    crop = trax.Mask.create(np.ones((10, 10), np.uint8), x=-4, y=SHAPE[0] - 3)
    expected = np.zeros(SHAPE, bool)
    expected[-3:, :6] = True
    assert np.array_equal(session.initialize(crop), [expected])


def test_answers_are_of_the_kind_that_started_the_object(shared: Station) -> None:
    session = shared.session()
    polygon = trax.Polygon.create([(40, 4), (55, 4), (55, 12), (40, 12)])
    mask, box, corners = session.initialize(square(3, 4), (10.0, 20.0, 21.0, 15.0), polygon)
    assert np.array_equal(mask, square(3, 4))
    assert box == (10, 20, 21, 15)
    assert sorted(corners) == [(40, 4), (40, 12), (55, 4), (55, 12)]
    [_, box, corners, late] = session.frame((50.0, 30.0, 9.0, 9.0))
    assert (box, late) == ((11, 20, 21, 15), (50, 30, 9, 9))
    assert sorted(corners) == [(41, 4), (41, 12), (56, 4), (56, 12)]
    [again] = session.initialize(square(8, 8))
    assert np.array_equal(again, square(8, 8))
    assert session.quit() == 0


def test_a_lost_object_is_an_empty_region_of_its_kind(shared: Station) -> None:
    session = shared.session()
    session.initialize((10.0, 20.0, 21.0, 15.0), square(50, 4))
    lost, there = session.frame(name="lose")
    assert lost == (0, 0, 0, 0)
    assert there.any()


def test_prints_do_not_disturb_the_protocol(shared: Station) -> None:
    session = shared.session()
    session.initialize(square(3, 4))
    assert np.array_equal(session.frame(name="print"), [square(4, 4)])
    assert session.quit() == 0
    assert "text without a newlineand from C" in shared.log.read_text()


def test_prints_of_a_process_of_its_own_go_to_the_log(here: Station) -> None:
    session = here.in_process()
    session.initialize(square(3, 4))
    assert np.array_equal(session.frame(name="print"), [square(4, 4)])
    assert session.quit() == 0
    assert "text without a newline" in here.log.read_text()
    assert "without a newline" not in "".join(session.text)


def test_a_process_of_its_own_needs_no_place_for_a_log(here: Station) -> None:
    (here.folder / "file").write_text("")
    session = here.in_process(
        HQTRACK_RUNTIME_DIR=str(here.folder / "file"), TMPDIR=str(here.folder)
    )
    assert np.array_equal(session.initialize(square(3, 4)), [square(3, 4)])
    assert session.quit() == 0
    assert len(list(here.folder.glob("hqtrack-*/hqtrack.log"))) == 1


def test_noise_is_answered(shared: Station) -> None:
    session = shared.session()
    session.initialize(square(3, 4))
    assert session.frame(name="noise")[0].any()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raise", r'a "quoted" reason with \\ and \\xe9 and a second line'),
        ("missing", "missing.png"),
        ("corrupt", "corrupt.png"),
        ("short", "answered 0 objects for 1"),
    ],
)
def test_a_failing_frame_ends_the_session_with_the_reason(
    shared: Station, name: str, reason: str
) -> None:
    (shared.folder / "corrupt.png").write_bytes(b"no picture")
    session = shared.session()
    session.initialize(square(3, 4))
    with pytest.raises(trax.TraxException, match=reason) as caught:
        session.frame(name=name)
    assert str(shared.log) in str(caught.value)
    assert session.quit() == 1
    assert "Traceback" in shared.log.read_text()


def test_what_an_answer_need_not_wait_for_is_done_after_it(shared: Station) -> None:
    """It fails, and that answer has arrived all the same; the next frame is told why."""
    session = shared.session()
    session.initialize(square(3, 4))
    assert np.array_equal(session.frame(name="unsettled"), [square(4, 4)])
    with pytest.raises(trax.TraxException, match="MemoryError: after the answer"):
        session.frame()


def test_a_fault_in_the_first_frame_is_told_too(shared: Station) -> None:
    session = shared.session()
    with pytest.raises(trax.TraxException, match=r"missing\.png"):
        session.initialize(square(3, 4), name="missing")
    assert session.quit() == 1


def test_a_path_that_libtrax_cannot_read_is_explained(shared: Station) -> None:
    session = shared.session()
    with pytest.raises(trax.TraxException, match="letters outside ASCII"):
        session.initialize(square(3, 4), name="\u00e9t\u00e9")
    assert session.quit() == 1


@pytest.mark.parametrize(
    ("arguments", "env", "reason"),
    [
        ((), {"STATIC_FAULT": "raise"}, "static.pth is cut short: download it again"),
        (("--start-seconds", "0.5"), {"STATIC_FAULT": "hang"}, "not loaded within 0.5 s"),
        (("--factory", "nowhere:make"), {}, "No module named 'nowhere'"),
        (("--factory", "static_tracker:nothing"), {}, "has no function 'nothing'"),
    ],
)
def test_a_failed_start_is_told_through_the_protocol(
    here: Station, arguments: tuple[str, ...], env: dict[str, str], reason: str
) -> None:
    session = here.in_process(*arguments, **env)
    with pytest.raises(trax.TraxException, match=reason) as caught:
        session.initialize(square(3, 4))
    assert str(here.log) in str(caught.value)
    assert session.quit() == 1


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (("--preset", "nope"), 2, "error: unknown preset 'nope'"),
        (("--set", "memory__size=1"), 2, "error: unknown setting 'memory__size'"),
        (("--device", "nope"), 1, "loading failed: "),
        (("--factory", "nowhere"), 1, "loading failed: --factory nowhere: write it as MODULE:"),
    ],
)
def test_a_wrong_option_is_a_line_without_a_traceback(
    tmp_path: Path, arguments: tuple[str, ...], status: int, line: str
) -> None:
    command = [sys.executable, "-m", "tracker", "serve", *arguments]
    environment = os.environ | {"HQTRACK_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status and "Traceback" not in done.stderr
    assert line in done.stderr


def test_the_client_going_away_ends_the_process(here: Station) -> None:
    session = here.in_process()
    session.initialize(square(3, 4))
    session.process.stdin.close()
    session.process.stdout.close()
    assert session.process.wait(3) is not None
