"""The doctor finds each fault, names its remedy, and works where packages do not."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from unittest import mock

import pytest

from tests.serving import PROJECT, Station, station
from tracker import weights
from tracker.checkout import REGISTRY, WEIGHTS
from tracker.cli import doctor
from tracker.doctor import files, graphics, packages, round_trip
from tracker.doctor.finding import FAIL, NOTE, OK, Finding
from tracker.doctor.graphics import TorchView

VERSIONS = {
    "attributee": "0.1.9",
    "numpy": "2.0.0",
    "opencv-python": "5.0.0.93",
    "torch": "2.15.0+cu130",
    "torchvision": "0.29.2+cu130",
}


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.what: finding.state for finding in findings}


@pytest.mark.parametrize(("version", "state"), [((3, 10, 9), FAIL), ((3, 11, 0), OK), ((4, 0), OK)])
def test_the_interpreter_must_be_new_enough(version: tuple[int, ...], state: str) -> None:
    finding = packages.check_interpreter(version)
    assert finding.state == state
    assert bool(finding.remedy) == (state == FAIL)


def test_versions_that_must_match_fail_and_others_are_noted() -> None:
    pins = {"attributee": "0.1.9", "numpy": "2.4.6", "timm": "1.0.31", "ruff": "0.17.6"}
    assert states(packages.check_versions(pins, VERSIONS.get)) == {
        "numpy": NOTE, "timm": FAIL, "ruff": NOTE,
    }  # fmt: skip
    wrong = VERSIONS | {"attributee": "0.1.10"}
    [finding] = packages.check_versions({"attributee": "0.1.9"}, wrong.get)
    assert (finding.state, finding.remedy) == (FAIL, "make setup")
    assert "0.1.10, tested with 0.1.9: other versions break `import vot`" in finding.text
    [finding] = packages.check_versions({"torch": "2.15.0"}, VERSIONS.get)
    assert finding.state == OK


def test_the_pins_are_read() -> None:
    pins = packages.read_pins()
    assert pins["attributee"] == "0.1.9"
    assert set(packages.MODULES) <= set(pins)
    assert packages.read_pins(Path("nowhere")) == {}


def test_one_opencv_only() -> None:
    assert packages.check_opencv(VERSIONS.get).state == OK
    assert packages.check_opencv({}.get).state == FAIL
    two = packages.check_opencv((VERSIONS | {"opencv-python-headless": "4.9"}).get)
    assert two.state == FAIL
    assert "pip uninstall opencv-python opencv-python-headless" in two.remedy


def test_torchvision_must_fit_torch() -> None:
    own = {"torch": packages.installed("torch"), "torchvision": packages.installed("torchvision")}
    assert packages.check_torch_pair(own.get).state == OK
    other = packages.check_torch_pair((own | {"torch": "2.0.1"}).get)
    assert other.state == FAIL
    assert "which asks for torch" in other.text
    assert packages.check_torch_pair({}.get).state == FAIL
    assert packages.allows("torch (>=2.14.0)", "2.15.0+cu130")
    assert packages.allows("torch>=2.14.0", "2.14.0") and not packages.allows("torch>=2.14", "2.9")
    assert not packages.allows("torch==2.14.0", "2.15.0")


def test_modules_are_imported_in_another_process(tmp_path: Path) -> None:
    assert packages.check_imports({"a": "json", "b": "zlib"}).state == OK
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "bad.py").write_text("raise ImportError('libGL.so.1: cannot open')")
    (tmp_path / "deadly.py").write_text("import os; os.kill(os.getpid(), 11)")
    bad = packages.check_imports({"a": "bad", "b": "nowhere_at_all"}, str(python))
    assert bad.state == FAIL
    assert "bad: ImportError: libGL.so.1" in bad.text
    assert "nowhere_at_all: ModuleNotFoundError" in bad.text
    deadly = packages.check_imports({"a": "json", "b": "deadly"}, str(python))
    assert deadly.state == FAIL
    assert deadly.text == "deadly: importing it ended Python with status -11"
    assert packages.check_imports({}, "/nowhere/python").state == FAIL


@pytest.mark.parametrize(
    ("view", "driver", "state", "text"),
    [
        (TorchView("13.0", ("H100, 80 GiB",), ""), "H100, 580.1", OK, "CUDA 13.0"),
        (TorchView("", (), ""), "", NOTE, "runs on the CPU"),
        (TorchView("", (), ""), "H100, 580.1", FAIL, "built for the CPU"),
        (TorchView("13.0", (), ""), "GTX 900, 390.1", FAIL, "CUDA 13.0 cannot use it"),
        (TorchView("13.0", (), "RuntimeError: no kernel image"), "", FAIL, "no kernel image"),
        (None, "", NOTE, "cannot be asked"),
    ],
)
def test_graphics(view: TorchView | None, driver: str, state: str, text: str) -> None:
    finding = graphics.judge(view, driver)
    assert finding.state == state
    assert text in finding.text
    assert bool(finding.remedy) == (state != OK)


def test_a_broken_torch_cannot_be_asked() -> None:
    assert graphics.ask_torch("/nowhere/python") is None


def test_a_weights_folder_that_is_not_there_fails(tmp_path: Path) -> None:
    [finding] = files.check_weights(tmp_path / "gone")
    assert finding.state == FAIL and finding.text == f"no weights folder {tmp_path / 'gone'}"
    assert "$HQTRACK_WEIGHTS" in finding.remedy


def test_weights_with_their_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"the weights"
    digest = hashlib.sha256(data).hexdigest()
    entry = weights.WeightFile("sam_hq_vit_h.pth", "a test", "https://x", len(data), digest)
    unpublished = weights.WeightFile("save_step_42000.pth", "a test", None)
    monkeypatch.setattr(weights, "MANIFEST", (entry, unpublished))
    both = {"sam_hq_vit_h.pth", "save_step_42000.pth"}
    missing = files.check_weights(tmp_path)
    assert {f.what for f in missing if (f.state, f.remedy) == (NOTE, "make weights")} == both
    for name in both:
        (tmp_path / name).write_bytes(data)
    found = files.check_weights(tmp_path)
    assert states(found) == {
        files.BUNDLED: OK, "sam_hq_vit_h.pth": OK, "save_step_42000.pth": NOTE,
    }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(both)
    (tmp_path / "save_step_42000.pth.sha256").touch()
    assert states(files.check_weights(tmp_path))["save_step_42000.pth"] == NOTE
    assert (tmp_path / "save_step_42000.pth.sha256").read_text() == ""
    (tmp_path / "sam_hq_vit_h.pth").write_bytes(b"the Weights")
    (tmp_path / "save_step_42000.pth.sha256").write_text(f"{digest}  save_step_42000.pth\n")
    found = files.check_weights(tmp_path)
    assert any("then make weights NAMES=sam_hq_vit_h.pth" in one.remedy for one in found)
    changed = states(found)
    assert changed["sam_hq_vit_h.pth"] == FAIL
    assert changed["save_step_42000.pth"] == OK


@pytest.mark.parametrize("damage", ["cut", "longer", "changed", "empty", "pointer", "missing"])
def test_damaged_bundled_weights(tmp_path: Path, damage: str) -> None:
    path = tmp_path / files.BUNDLED
    shutil.copyfile(WEIGHTS / files.BUNDLED, path)
    assert files.check_bundled(path).state == OK
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[:-1])
    elif damage == "longer":
        path.write_bytes(data + b"0")
    elif damage == "changed":
        digest = hashlib.sha256(data).hexdigest()
        path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "pointer":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    else:
        path.unlink()
    finding = files.check_bundled(path)
    assert finding.state == FAIL
    assert "git checkout" in finding.remedy
    if damage != "missing":
        assert files.check_weights(tmp_path)[0] == finding, "not the one of the project"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("timeout = 0", "a whole number of seconds"),
        ("timeout = 1.5", "a whole number of seconds"),
        ("protocol = python", "traxpython is the one for masks"),
        ("command = tracker.nothing", "no module tracker.nothing"),
        ("paths = elsewhere", "no module tracker.attach"),
        ("env_HQTRACK_WEIGHS = /x", "nobody reads HQTRACK_WEIGHS; write env_HQTRACK_WEIGHTS"),
        ("meta_note = 50% done", "meta_note = 50% done: the toolkit cannot read .* write %%"),
        ("env_HQTRACK_WEIGHTS = /nowhere/w", "= /nowhere/w: there is no such folder"),
        ("author = Jane", "does not start a tracker with author; .* written meta_author"),
    ],
)
def test_what_the_toolkit_would_not_take(tmp_path: Path, line: str, fault: str) -> None:
    assert set(states(files.check_registry()).values()) == {OK}
    own = {"protocol": "traxpython", "command": "tracker.attach", "paths": str(PROJECT)}
    key, _, value = line.partition(" = ")
    text = "\n".join(f"{k} = {v}" for k, v in (own | {key: value}).items())
    registry = tmp_path / "trackers.ini"
    registry.write_text(f"[Mine]\n{text}\n")
    [finding] = files.check_registry(registry)
    assert finding.state == FAIL
    assert re.search(fault, finding.text)
    assert str(registry) in finding.remedy


def test_variables_of_any_case_are_taken_as_the_toolkit_does(tmp_path: Path) -> None:
    registry = tmp_path / "trackers.ini"
    registry.write_text(
        f"[Mine]\nprotocol = traxpython\ncommand = tracker.attach\npaths = {PROJECT}\n"
        "env_hqtrack_set = memory__interval=3\nmeta_note = 50%% done\n"
    )
    from vot.tracker import Registry

    [tracker] = Registry([str(registry)])
    assert tracker._envvars == {"HQTRACK_SET": "memory__interval=3"}
    [finding] = files.check_registry(registry)
    assert finding.state == OK, finding


def test_a_tracker_that_is_not_listed_fails_without_a_round_trip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = tmp_path / "trackers.ini"
    registry.write_text("[Mine]\nprotocol = trax\ncommand = x\n[DEFAULT]\nlabel = a\n")
    monkeypatch.setattr(doctor, "REGISTRY", registry)
    table = doctor.checks(["Mine", "nope", "DEFAULT"], round_trips=False)
    found = table["registry"]()
    assert states(found) == {"[Mine]": OK, "[nope]": FAIL, "[DEFAULT]": FAIL}
    assert found[1].text == f"no section [nope] in {registry}"
    assert found[1].remedy == "name one of Mine"
    assert not [name for name in table if "round trip" in name]
    assert list(doctor.checks(["nope"]))[-1] == "round trip nope"


def test_the_command_fails_for_an_unknown_tracker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packages, "check_packages", list)
    assert doctor.main(["--tracker", "nope", "--no-round-trip"]) == 1
    assert "no section [nope]" in capsys.readouterr().out


def test_registries_that_cannot_be_read(tmp_path: Path) -> None:
    registry = tmp_path / "trackers.ini"
    assert [f.state for f in files.check_registry(registry)] == [FAIL]
    registry.write_text("no section\n")
    [finding] = files.check_registry(registry)
    assert finding.state == FAIL
    first, remedy = str(finding).splitlines()
    assert "no section headers. file: 'trackers.ini', line: 1" in first and "git" in remedy
    registry.write_text("[A_B]\nprotocol = trax\ncommand = x\n")
    assert "no underscore" in files.check_registry(registry)[0].text


def test_a_registry_that_is_not_utf_8_is_a_finding_with_a_remedy(tmp_path: Path) -> None:
    registry = tmp_path / "trackers.ini"
    registry.write_bytes("[Mine]\nlabel = Größe\ncommand = tracker.attach\n".encode("latin-1"))
    [listed] = files.check_registry(registry)
    for finding in (listed, round_trip.check_round_trip("Mine", registry)):
        assert finding.state == FAIL
        assert str(registry) in finding.text and "utf-8" in finding.text
        assert "save it as UTF-8" in finding.remedy


def test_the_folder_of_the_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HQTRACK_RUNTIME_DIR", str(tmp_path / "run"))
    assert files.check_runtime_folder().state == OK
    assert list((tmp_path / "run").iterdir()) == []
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: mock.Mock(free=5 << 20))
        finding = files.check_runtime_folder()
        assert finding.state == NOTE and finding.text.startswith("5 MiB free in ")
    monkeypatch.setenv("HQTRACK_RUNTIME_DIR", str(tmp_path / ("long" * 40)))
    finding = files.check_runtime_folder()
    assert finding.state == NOTE
    assert "HQTRACK_RUNTIME_DIR" in finding.remedy
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HQTRACK_RUNTIME_DIR", str(tmp_path / "file"))
    assert files.check_runtime_folder().state == FAIL


def write_registry(here: Station, **settings: str) -> Path:
    """A registry whose tracker answers the masks it was given."""
    own = {
        "protocol": "traxpython",
        "command": "tracker.attach",
        "paths": os.pathsep.join([str(PROJECT), str(PROJECT / "tests")]),
        "env_HQTRACK_FACTORY": "static_tracker:make",
        "env_HQTRACK_RUNTIME_DIR": str(here.runtime),
        "env_OMP_NUM_THREADS": "1",
    } | settings
    path = here.folder / "trackers.ini"
    path.write_text("[Mine]\n" + "".join(f"{key} = {value}\n" for key, value in own.items()))
    return path


def test_a_round_trip_through_the_resident_server() -> None:
    with station() as here:
        finding = round_trip.check_round_trip("Mine", write_registry(here), 60)
        assert finding.state == OK, finding
        # the static tracker moves by a pixel a frame, the square by six
        assert "3 frames" in finding.text and "overlap 0.6" in finding.text
        assert len(here.states()) == 1
        missing = round_trip.check_round_trip("Other", write_registry(here), 60)
        assert missing.state == FAIL and "no section [Other]" in missing.text


def test_a_tracker_of_the_folder_protocol_is_not_told_as_broken() -> None:
    finding = round_trip.check_round_trip("HQTrackPoint", REGISTRY, 1)
    assert finding.state == NOTE
    assert finding.text == "HQTrackPoint: not tried, folderpython is no TraX"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"env_STATIC_FAULT": "raise"}, "static.pth is cut short: download it again"),
        ({"env_STATIC_FAULT": "exit"}, "did not start: it ended with status 3"),
        ({"env_HQTRACK_FACTORY": "nowhere:make"}, "No module named 'nowhere'"),
        ({"env_HQTRACK_IDLE_SECONDS": "soon"}, "'soon' is no time in seconds"),
        ({"command": "nowhere"}, "No module named nowhere"),
    ],
)
def test_the_reason_of_a_failed_start_is_told(settings: dict[str, str], reason: str) -> None:
    with station() as here:
        registry = write_registry(here, **settings)
        finding = round_trip.check_round_trip("Mine", registry, 60, log="the.log")
        assert finding.state == FAIL
        assert reason in finding.text
        assert "the.log" in finding.remedy


def test_a_tracker_that_hangs_is_given_up() -> None:
    with station() as here:
        registry = write_registry(here, env_STATIC_FAULT="hang")
        finding = round_trip.check_round_trip("Mine", registry, 2)
        assert finding.state == FAIL
        assert "no answer in time" in finding.text


def test_the_overlap_of_an_answer() -> None:
    left, top = round_trip.corner(0)
    side = round_trip.SIDE
    whole = f'@@TRAX:state "mask:{left},{top},{side},{side},0,{side * side}" "a=b"'
    half = f'@@TRAX:state "mask:{left},{top},{side},{side},{side * side // 2},{side * side // 2}"'
    assert round_trip.overlap(whole, 0) == 1
    assert round_trip.overlap(half, 0) == 0.5
    everything = f"0,0,{round_trip.WIDTH},{round_trip.HEIGHT}"
    pixels = round_trip.WIDTH * round_trip.HEIGHT
    answer = f'@@TRAX:state "mask:{everything},0,{pixels}"'
    assert round_trip.overlap(answer, 0) == pytest.approx(side * side / pixels)
    assert round_trip.overlap('@@TRAX:state "mask:0,0,1,1"', 0) == 0
    with pytest.raises(round_trip.RoundTripError, match="no mask"):
        round_trip.overlap('@@TRAX:state "1,2,3,4"', 0)


def test_a_check_that_breaks_does_not_keep_the_others_from_running() -> None:
    def broken() -> Finding:
        raise OSError("no such thing")

    fine = Finding("b", OK, "fine")
    found = list(doctor.examine({"a": broken, "b": lambda: [fine]}))
    assert [(f.what, f.state) for f in found] == [("a", FAIL), ("b", OK)]
    assert "OSError: no such thing" in found[0].text


def test_the_command_works_without_any_package(tmp_path: Path) -> None:
    """As with an empty environment: every line has its remedy, the status is 1."""
    environment = {"PATH": os.environ["PATH"], "HQTRACK_RUNTIME_DIR": str(tmp_path / "run")}
    venv.create(tmp_path / "empty", symlinks=True)
    python = str(tmp_path / "empty" / "bin" / "python")
    command = [python, "-m", "tracker", "doctor", "--json", "--no-round-trip"]
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1, done.stderr
    said = {entry["what"]: entry for entry in json.loads(done.stdout)}
    for name in ("torch", "opencv", "attributee"):
        assert (said[name]["state"], said[name]["remedy"]) == (FAIL, "make setup")
    assert (said["python"]["state"], said["[HQTrack]"]["state"]) == (OK, OK)
    assert said["imports"]["text"].count("ModuleNotFoundError") == len(packages.MODULES)
    assert said[files.BUNDLED]["state"] == OK
    assert all(entry["remedy"] for entry in said.values() if entry["state"] != OK)


def test_the_status_tells_whether_something_fails(monkeypatch, capsys) -> None:
    table = {"a": lambda: Finding("a", NOTE, "small", "do this")}
    monkeypatch.setattr(doctor, "checks", lambda *_: table)
    assert doctor.main([]) == 0
    assert "1 checked: 0 failed, 1 notes" in capsys.readouterr().out
    table["b"] = lambda: Finding("b", FAIL, "large", "do that")
    assert doctor.main([]) == 1
    said = capsys.readouterr().out
    assert "FAIL  b" in said and "-> do that" in said
    assert doctor.main(["--json"]) == 1
    assert [entry["state"] for entry in json.loads(capsys.readouterr().out)] == [NOTE, FAIL]
