"""A data set made of frames and masks: changed sources, and results of other data or settings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.vot_data import HEIGHT, WIDTH, labels_of, trajectory, write_frames
from tests.vot_data import workspace as workspace
from tracker.resident import places
from tracker.resident.options import DECIDING, VARIABLES, options_from, parser
from tracker.vot import evaluate, record, submit, toolkit
from tracker.vot import fingerprint as module
from tracker.vot.converted import convert_into
from tracker.vot.dataset import groundtruth_files
from tracker.vot.errors import VotError
from tracker.vot.fingerprint import fingerprint
from tracker.vot.workspace import Workspace


@pytest.fixture
def own(tmp_path: Path) -> tuple[Workspace, Path]:
    """A workspace without data, and a folder of frames and masks."""
    write_frames(tmp_path / "clips", "single", 3)
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "config.yaml").write_text("stack: vots2023\n")
    return Workspace(folder), tmp_path / "clips"


def _change_mask(source: Path) -> None:
    Image.fromarray(labels_of("single", 0)[::-1].copy()).save(source / "single/masks/00000.png")


def _truth(workspace: Workspace) -> str:
    (path,) = groundtruth_files(workspace.sequences / "single").values()
    return path.read_text()


def test_a_changed_mask_is_refused_and_with_force_converted(own: tuple[Workspace, Path]) -> None:
    workspace, source = own
    convert_into(workspace, source)
    before, mark = _truth(workspace), fingerprint(workspace, "Still")["data"]
    _change_mask(source)
    with pytest.raises(VotError, match=r"clips as it is now; FORCE=1 converts again"):
        convert_into(workspace, source)
    assert _truth(workspace) == before
    evaluate.prepare_data(workspace, source, force=True)
    assert _truth(workspace) != before
    assert fingerprint(workspace, "Still")["data"] != mark
    convert_into(workspace, source)
    names = {path.name for path in workspace.folder.iterdir()}
    assert names == {"config.yaml", "converted_from.txt", "sequences"}


def test_a_changed_frame_is_noticed(own: tuple[Workspace, Path]) -> None:
    workspace, source = own
    convert_into(workspace, source)
    mark = fingerprint(workspace, "Still")["data"]
    Image.new("RGB", (WIDTH, HEIGHT), "red").save(source / "single/frames/00002.jpg")
    with pytest.raises(VotError, match="as it is now"):
        convert_into(workspace, source)
    convert_into(workspace, source, force=True)
    assert fingerprint(workspace, "Still")["data"] != mark


def test_force_replaces_no_data_of_another_folder(own: tuple[Workspace, Path]) -> None:
    workspace, source = own
    convert_into(workspace, source)
    before = _truth(workspace)
    other = source.with_name("other")
    write_frames(other, "pair", 3)
    with pytest.raises(VotError, match=r"clips, and not from .*other .*name another WORKSPACE"):
        convert_into(workspace, other, force=True)
    assert _truth(workspace) == before


def test_a_source_that_cannot_be_converted_leaves_the_data_set(
    own: tuple[Workspace, Path],
) -> None:
    workspace, source = own
    convert_into(workspace, source)
    before = _truth(workspace)
    Image.new("L", (5, 5), 1).save(source / "single/masks/00001.png")
    with pytest.raises(VotError, match="5 x 5"):
        convert_into(workspace, source, force=True)
    assert _truth(workspace) == before


def test_a_note_without_digest_is_told_once_converted(
    own: tuple[Workspace, Path], caplog: pytest.LogCaptureFixture
) -> None:
    workspace, source = own
    convert_into(workspace, source)
    note = workspace.folder / "converted_from.txt"
    note.write_text(f"{source}\nsingle\n")  # as written before the digest
    convert_into(workspace, source)
    assert "changes of" in caplog.text and "go unnoticed" in caplog.text
    convert_into(workspace, source, force=True)
    assert "digest " in note.read_text()


def test_results_of_other_ground_truth_are_called_stale(workspace: Workspace) -> None:
    assert record.stale(workspace, "Still") is None
    path = workspace.sequences / "single" / "groundtruth_01.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], "m0,0,2,2,0,4"]) + "\n")
    reason = record.stale(workspace, "Still")
    assert reason is not None and "other data than the present" in reason
    assert f"warning: {reason}" in submit.check_before(workspace, "Still")


def test_results_of_another_length_are_called_stale(workspace: Workspace) -> None:
    path = workspace.sequences / "single" / "sequence"
    path.write_text(path.read_text().replace("fps=24", "fps=25"))
    assert "other data than" in (record.stale(workspace, "Still") or "")


@pytest.fixture(params=["contents", "times of change"])
def frame(request: pytest.FixtureRequest, workspace: Workspace, monkeypatch) -> Path:
    """A frame of a data set that counts by the contents of its frames, or by their stamps."""
    if request.param != "contents":
        monkeypatch.setattr(module, "_HASHED_WHOLE", 2048)
        toolkit.remove_folder(workspace.results("Still"))
        evaluate.evaluate(workspace, "Still")
    assert record.stale(workspace, "Still") is None
    return workspace.sequences / "single/color/00000007.jpg"


def test_results_of_other_frames_are_called_stale(workspace: Workspace, frame: Path) -> None:
    """Another picture of the same size in bytes, in a data set that is used in place."""
    content = frame.read_bytes()
    frame.write_bytes(content[:-40] + bytes(38) + content[-2:])
    reason = record.stale(workspace, "Still") or ""
    assert "(some or all) were made with other frames than the present" in reason
    assert f"warning: {reason}" in submit.check_before(workspace, "Still")
    trajectory(workspace).unlink()
    evaluate.evaluate(workspace, "Still")
    first, second = record.read_records(workspace, "Still")
    assert [key for key in first if first[key] != second[key]] in (["frames"], ["frames", "time"])


def test_a_frame_that_is_gone_or_new_is_told(workspace: Workspace, frame: Path) -> None:
    kept = frame.rename(frame.with_name("kept"))
    assert "other frames than" in (record.stale(workspace, "Still") or "")
    kept.rename(frame)
    assert record.stale(workspace, "Still") is None
    shutil.copyfile(frame, frame.with_name("00000025.jpg"))
    assert "other frames than" in (record.stale(workspace, "Still") or "")


def test_frames_written_again_are_the_same_where_contents_count(workspace: Workspace) -> None:
    for frame in workspace.sequences.glob("*/color/*.jpg"):
        frame.write_bytes(frame.read_bytes())
    assert record.stale(workspace, "Still") is None


def test_frames_that_are_not_there_say_nothing(workspace: Workspace) -> None:
    """Analyses need the ground truth only."""
    for folder in workspace.sequences.glob("*/color"):
        shutil.rmtree(folder)
    assert fingerprint(workspace, "Still")["frames"] == ""
    assert record.stale(workspace, "Still") is None
    record.add_record(workspace, "Still")
    (made,) = record.read_records(workspace, "Still")
    assert made["frames"] != ""


def test_a_record_of_before_data_were_noted_says_nothing_of_them(workspace: Workspace) -> None:
    (made,) = record.read_records(workspace, "Still")
    mark = fingerprint(workspace, "Still")
    assert not record._differs({key: made[key] for key in ("code", "weights")}, "data", mark)
    assert record._differs(made | {"data": "0" * 16}, "data", mark)


def _set(workspace: Workspace, line: str) -> None:
    path = workspace.folder / "trackers.ini"
    path.write_text(path.read_text().replace("[Still]\n", f"[Still]\n{line}\n"))


def test_settings_of_the_own_section_go_before_the_environment(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(workspace, "env_HQTRACK_SET = memory__interval=25\nenv_HQTRACK_PRESET = hqtrack-lite")
    monkeypatch.setenv("HQTRACK_SET", "memory__interval=5")
    mark = fingerprint(workspace, "Still@version")
    assert mark["settings"] == "HQTRACK_PRESET=hqtrack-lite HQTRACK_SET=memory__interval=25"
    assert fingerprint(workspace, "Broken")["settings"] == "HQTRACK_SET=memory__interval=5"
    assert "other settings than" in (record.stale(workspace, "Still") or "")


def test_another_device_is_another_setting(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HQTRACK_DEVICE", "cuda:1")
    assert fingerprint(workspace, "Still")["settings"] == "HQTRACK_DEVICE=cuda:1"
    assert "other settings than" in (record.stale(workspace, "Still") or "")
    _set(workspace, "env_HQTRACK_DEVICE =")  # empty: as if there were none
    assert record.stale(workspace, "Still") is None


@pytest.mark.parametrize("variable", sorted(VARIABLES))
def test_the_record_tells_the_variables_that_make_another_server(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Wherever they are set; the others only say how a server lives, and where."""
    values = {
        "HQTRACK_PRESET": "hqtrack-lite",
        "HQTRACK_SET": "memory__interval=9",
        "HQTRACK_WEIGHTS": str(tmp_path),
    }
    value = values.get(variable, "7")
    (tmp_path / "a.pth").write_bytes(b"other")
    before, mark = _identity(), fingerprint(workspace, "Still")
    monkeypatch.setenv(variable, value)
    other = fingerprint(workspace, "Still")
    assert (_identity() != before) == (other != mark) == (variable in DECIDING)
    monkeypatch.delenv(variable)
    _set(workspace, f"env_{variable} = {value}")
    assert fingerprint(workspace, "Still") == other


def _identity() -> str:
    return places.identity(options_from(parser("serve", "").parse_args([])))


def test_weights_of_the_own_section_are_digested(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("own", "environment"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.pth").write_bytes(name.encode())
    first = fingerprint(workspace, "Still")["weights"]
    monkeypatch.setenv("HQTRACK_WEIGHTS", str(tmp_path / "own"))
    expected = fingerprint(workspace, "Still")["weights"]
    assert expected != first
    _set(workspace, "env_HQTRACK_WEIGHTS = ${PLACE}/own")
    monkeypatch.setenv("PLACE", str(tmp_path))
    monkeypatch.setenv("HQTRACK_WEIGHTS", str(tmp_path / "environment"))
    assert fingerprint(workspace, "Still")["weights"] == expected
    assert "other weights than" in (record.stale(workspace, "Still") or "")


def test_another_command_in_the_own_section_is_told(workspace: Workspace) -> None:
    _set(workspace, "env_FAULT = none")
    assert "other trackers.ini than" in (record.stale(workspace, "Still") or "")


def test_what_changes_no_answer_is_not_told(workspace: Workspace) -> None:
    path = workspace.folder / "trackers.ini"
    text = path.read_text().replace("timeout = 20", "timeout = 30").replace("env_FAULT", "env_F")
    path.write_text("# a remark\n" + text)
    assert record.stale(workspace, "Still") is None


def test_a_registry_in_yaml_gives_its_variables(workspace: Workspace) -> None:
    (workspace.folder / "trackers.yaml").write_text(
        "Still: {protocol: trax, env: {HQTRACK_SET: a__b=1}}\n"
    )
    config = workspace.folder / "config.yaml"
    config.write_text(config.read_text().replace("./trackers.ini", "."))
    assert fingerprint(workspace, "Still")["settings"] == "HQTRACK_SET=a__b=1"


@pytest.mark.parametrize("folder", ["results/Still", "cache"])
def test_a_folder_that_cannot_be_removed_is_named(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """A link: the toolkit would go on with what lies behind it."""
    monkeypatch.setattr(toolkit, "run_toolkit", lambda *_: pytest.fail("ran"))
    place = workspace.folder / folder
    if place.exists():
        shutil.copytree(place, tmp_path / "elsewhere")
        shutil.rmtree(place)
    place.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(VotError, match=f"{folder} cannot be removed: .*symbolic link"):
        evaluate.evaluate(workspace, "Still", force=True)
    assert place.is_symlink()


def test_a_missing_folder_is_removed_already(tmp_path: Path) -> None:
    toolkit.remove_folder(tmp_path / "none")
    (tmp_path / "some").mkdir()
    toolkit.remove_folder(tmp_path / "some")
    assert list(tmp_path.iterdir()) == []
