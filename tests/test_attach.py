"""Thin clients and the resident server: one load, one session after another."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trax

from tests.serving import PROJECT, Station, square, station, wait_until
from tracker import checkout
from tracker.resident import places
from tracker.resident.options import (
    VARIABLES,
    OptionsError,
    ServeOptions,
    options_from,
    parser,
)


@pytest.fixture
def here() -> Iterator[Station]:
    with station() as result:
        yield result


def run_one(session) -> int:
    """A good session of two frames; its exit status."""
    assert np.array_equal(session.initialize(square(3, 4)), [square(3, 4)])
    assert np.array_equal(session.frame(), [square(4, 4)])
    return session.quit()


def test_the_attach_imports_nothing_heavy_and_starts_fast() -> None:
    code = (
        "import sys, tracker.attach, tracker.resident.launch, tracker.cli.stop;"
        "print([m for m in ('torch', 'numpy', 'cv2', 'trax') if m in sys.modules])"
    )
    times = []
    for _ in range(3):
        begin = time.monotonic()
        found = subprocess.check_output([sys.executable, "-c", code], cwd=PROJECT, text=True)
        times.append(time.monotonic() - begin)
        assert found.strip() == "[]"
    assert min(times) < 0.3


def test_sessions_share_one_load_and_leave_nothing_open(here: Station) -> None:
    assert run_one(here.session()) == 0
    wait_until(lambda: here.states()[0]["sessions"] == 1)
    [before] = here.states()
    descriptors = Path(f"/proc/{before['pid']}/fd")
    # the connection of this last question may still be among them
    opened = len(list(descriptors.iterdir())) if descriptors.exists() else None
    for number in range(50):
        session = here.session()
        session.initialize(square(3, 4))
        if number % 10 == 0:
            with pytest.raises(trax.TraxException, match="quoted"):
                session.frame(name="raise")
        assert session.quit() == (1 if number % 10 == 0 else 0)
    wait_until(lambda: here.states()[0]["sessions"] == 51)
    [after] = here.states()
    assert after["pid"] == before["pid"]
    assert here.loads == 1
    if opened is not None:
        wait_until(lambda: len(list(descriptors.iterdir())) <= opened)


def test_two_clients_take_turns(here: Station) -> None:
    first = here.session()
    assert np.array_equal(first.initialize(square(3, 4)), [square(3, 4)])
    waiting = threading.Thread(target=lambda: statuses.append(run_one(here.session())))
    statuses: list[int] = []
    waiting.start()
    wait_until(lambda: here.states()[0]["waiting"] == 1)
    assert np.array_equal(first.frame(square(30, 30)), [square(4, 4), square(30, 30)])
    assert not statuses
    assert first.quit() == 0
    waiting.join(10)
    assert statuses == [0]
    assert here.loads == 1


def test_clients_that_start_together_make_one_server(here: Station) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(run_one(here.session()))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert statuses == [0] * 4
    assert here.loads == 1


def test_other_weights_another_device_or_setting_is_another_server(here: Station) -> None:
    weights = here.folder / "weights"
    weights.mkdir()
    (weights / "static.pth").write_bytes(b"one")
    arguments = ("--weights", str(weights))
    assert run_one(here.session(*arguments)) == 0
    assert run_one(here.session(*arguments)) == 0
    assert here.loads == 1
    (weights / "static.pth").write_bytes(b"three")
    assert run_one(here.session(*arguments)) == 0
    assert here.loads == 2
    assert run_one(here.session(*arguments, CUDA_VISIBLE_DEVICES="7")) == 0
    assert here.loads == 3
    assert len({state["pid"] for state in here.states()}) == 3


def test_the_identity_follows_the_code_and_every_option(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "tracker" / "resident", tmp_path / "code")
    before = places.code_digest(tmp_path / "code")
    assert before == places.code_digest(PROJECT / "tracker" / "resident")
    source = tmp_path / "code" / "wire.py"
    source.write_text(source.read_text() + "\n")
    assert places.code_digest(tmp_path / "code") != before

    variants = [
        ServeOptions(),
        ServeOptions(preset="hqtrack-lite"),
        ServeOptions(device="cpu"),
        ServeOptions(factory="a:b"),
        ServeOptions(settings=(("refiner__gate_iou", 0.6),)),
        ServeOptions(weights=Path(__file__).parent),
    ]
    assert len({places.identity(options) for options in variants}) == len(variants)
    assert places.identity(ServeOptions(idle_seconds=1)) == places.identity(ServeOptions())


def test_a_changed_factory_is_another_server(here: Station) -> None:
    factory = here.folder / "own_factory.py"
    for load, text in enumerate(["", "# changed\n"], start=1):
        factory.write_text(f"from static_tracker import make\n{text}")
        for _ in range(2):
            session = here.session(
                "--factory", "own_factory:make",
                PYTHONPATH=f"{here.environment['PYTHONPATH']}{os.pathsep}{here.folder}",
            )  # fmt: skip
            assert run_one(session) == 0
        assert here.loads == load


def test_the_factory_is_found_in_packages_and_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine" / "inner").mkdir(parents=True)
    (tmp_path / "mine" / "__init__.py").write_text("raise RuntimeError('imported')")
    module = tmp_path / "mine" / "inner" / "made.py"
    module.write_bytes(b"def make(): ...")
    found = places.factory_digest("mine.inner.made:make")
    assert found == hashlib.sha256(b"def make(): ...").hexdigest()
    for name in ("mine.inner:make", "mine.none:make", "mine.inner.made.x:make", "no_such", ":", ""):
        assert places.factory_digest(name) is None
    assert places.factory_digest(None) is None


def test_the_identity_follows_the_bundled_weights_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They run where a folder of weights lacks them."""
    (tmp_path / "own").mkdir()
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(places, "WEIGHTS", tmp_path / "weights")
    options = ServeOptions(weights=tmp_path / "own")
    before = places.identity(options)
    assert places.identity(options) == before
    (tmp_path / "weights" / "README.md").write_text("What they are good at")
    assert places.identity(options) == before
    (tmp_path / "weights" / "hqtrack-lite.safetensors").write_bytes(b"new")
    assert places.identity(options) != before


def test_options_survive_the_command_line() -> None:
    options = ServeOptions(
        preset="hqtrack-lite",
        weights=Path("/some where"),
        device="cuda:1",
        factory="a:b",
        settings=(("memory__interval", 25), ("refiner__model", None), ("x__y", "text")),
        idle_seconds=1.5,
        start_seconds=0,
        hangup_seconds=7,
    )
    assert options_from(parser("test", "").parse_args(options.to_argv())) == options


def test_times_survive_the_command_line_to_the_second() -> None:
    options = ServeOptions(idle_seconds=999_999_999, start_seconds=1_234_567.5)
    assert options_from(parser("test", "").parse_args(options.to_argv())) == options


def test_an_empty_variable_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")
    assert options_from(parser("test", "").parse_args([])) == ServeOptions()


@pytest.mark.parametrize(("text", "in_process"), [("", False), ("0", False), ("1", True)])
def test_a_variable_of_zero_switches_nothing_on(
    monkeypatch: pytest.MonkeyPatch, text: str, in_process: bool
) -> None:
    monkeypatch.setenv("HQTRACK_IN_PROCESS", text)
    assert options_from(parser("test", "").parse_args([])).in_process is in_process


def test_a_folder_of_weights_may_begin_at_home_or_at_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for text, folder in (("~/own", tmp_path / "own"), ("own", PROJECT / "own")):
        options = options_from(parser("test", "").parse_args(["--weights", text]))
        assert options.weights == folder


def test_settings_come_from_the_environment_and_the_command_line_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(
        "HQTRACK_SET", "realtime__deadline_ms=50  memory__interval=7 refiner__model='two words'"
    )
    options = options_from(parser("test", "").parse_args(["--set", "memory__interval=9"]))
    assert options.settings == (
        ("memory__interval", 9),
        ("realtime__deadline_ms", 50),
        ("refiner__model", "two words"),
    )
    # A server inherits the variable and gets all settings on its command line too.
    assert options_from(parser("test", "").parse_args(options.to_argv())) == options
    assert places.identity(options) != places.identity(ServeOptions())


@pytest.mark.parametrize("text", ["nonsense", "a__b='open"])
def test_settings_of_the_environment_that_make_no_sense_name_the_variable(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("HQTRACK_SET", text)
    with pytest.raises(OptionsError, match=r"HQTRACK_SET.*(KEY=VALUE|quotation)"):
        options_from(parser("test", "").parse_args([]))


def test_a_relative_runtime_folder_begins_at_the_project_wherever_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client runs in a folder of the toolkit's, the server in the project."""
    monkeypatch.setattr(checkout, "ROOT", tmp_path / "project")
    monkeypatch.setenv("HQTRACK_RUNTIME_DIR", "own")
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        assert places.runtime_folder() == tmp_path / "project" / "own"


@pytest.mark.parametrize("relative", ["run", "./run", "."])
def test_a_relative_folder_of_the_system_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: str
) -> None:
    """Client and server work in different folders; it would be another one for each."""
    monkeypatch.setattr(places.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        found = places.runtime_folder({"XDG_RUNTIME_DIR": relative})
        assert found == tmp_path / "temporary" / f"hqtrack-{os.getuid()}"
        assert not list((tmp_path / place).iterdir())


def test_a_runtime_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HQTRACK_RUNTIME_DIR", str(tmp_path))
    assert places.runtime_folder() == tmp_path
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(places.PlaceError, match="is not a folder of yours"):
        places.runtime_folder()


def test_a_link_in_place_of_the_runtime_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "hqtrack").symlink_to("elsewhere")
    with pytest.raises(places.PlaceError, match="hqtrack is not a folder of yours"):
        places.runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)})


def test_the_runtime_folder_of_the_system_is_shared_with_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert places.runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "hqtrack"
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_the_log_of_a_preset_lies_in_the_folder_whatever_its_name(tmp_path: Path) -> None:
    assert places.log_path(tmp_path, "hqtrack-lite") == tmp_path / "hqtrack-lite.log"
    assert places.log_path(tmp_path, "../a b/c.d") == tmp_path / "___a_b_c_d.log"


def test_a_download_under_way_is_no_weight_file(tmp_path: Path) -> None:
    for name in ("a.pth", "b.pth.part", ".hidden"):
        (tmp_path / name).write_bytes(b"1234")
    [(path, size, _)] = places.weight_files(tmp_path)
    assert (path, size) == (str(tmp_path / "a.pth"), 4)


def test_a_server_outlives_the_group_of_its_client(here: Station) -> None:
    """The toolkit may kill its tracker with everything that belongs to it."""
    assert run_one(here.session()) == 0
    [state] = here.states()
    assert os.getsid(state["pid"]) == state["pid"]


def test_a_stale_socket_is_replaced(here: Station) -> None:
    assert run_one(here.session()) == 0
    [state] = here.states()
    os.kill(state["pid"], 9)
    wait_until(lambda: not here.states())
    assert list(here.runtime.glob("*.sock"))
    assert run_one(here.session()) == 0
    assert here.loads == 2
    assert len(here.states()) == 1


def test_the_server_leaves_when_it_is_idle(here: Station) -> None:
    assert run_one(here.session("--idle-seconds", "0.5")) == 0
    wait_until(lambda: not list(here.runtime.glob("*.sock")))
    assert run_one(here.session("--idle-seconds", "0.5")) == 0
    assert here.loads == 2


@pytest.mark.parametrize("way", ["variable", "long path"])
def test_without_sockets_the_models_are_loaded_in_the_process(here: Station, way: str) -> None:
    env = {"HQTRACK_IN_PROCESS": "1"}
    if way == "long path":
        env = {"HQTRACK_RUNTIME_DIR": str(here.folder / ("long" * 30))}
    assert run_one(here.session(**env)) == 0
    assert run_one(here.session(**env)) == 0
    assert here.loads == 2
    assert not list(here.folder.rglob("*.sock"))


def test_the_runtime_folder_is_private(here: Station) -> None:
    here.runtime.mkdir(mode=0o755)
    assert run_one(here.session()) == 0
    assert here.runtime.stat().st_mode & 0o777 == 0o700
