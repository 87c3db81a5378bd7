"""Packing an entry: what must stop it, and what the zip is compared with."""

from __future__ import annotations

import dataclasses
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.vot_data import HEIGHT, LENGTH, WIDTH, labels_of, trajectory
from tests.vot_data import workspace as workspace
from tracker.alone import alone_in
from tracker.vot import beginnings, entry, results, submit
from tracker.vot.errors import VotError
from tracker.vot.regions import encode_mask, format_mask
from tracker.vot.registry import check_identifier
from tracker.vot.workspace import Workspace


def _archive(workspace: Workspace, path: Path, **changes: object) -> Path:
    """A zip as the toolkit writes it."""
    manifest = {"identifier": "Still", "stack": "stack.yaml", "configuration": {}} | changes
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in submit.packed_files(workspace, "Still").items():
            archive.write(file, name)
        archive.writestr("manifest.yml", yaml.safe_dump(manifest))
    return path


def test_packs_and_tells_what_is_in_it(workspace: Workspace, capsys) -> None:
    arguments = ["--workspace", str(workspace.folder), "--tracker", "Still"]
    assert submit.main(arguments) == 0
    said = capsys.readouterr().out
    (archive,) = workspace.folder.glob("Still*.zip")
    (text,) = workspace.folder.glob("Still*.txt")
    assert str(archive) in said and text.read_text() in said
    assert "weights: none, the object stays" in text.read_text()
    assert "sequences: 2, frames: 48" in text.read_text()
    with zipfile.ZipFile(archive) as packed:
        name = "baseline/pair/pair_01_001.bin"
        assert packed.read(name) == trajectory(workspace).read_bytes()


def test_the_toolkit_refusing_is_an_error(workspace: Workspace) -> None:
    """Also where the zip of an earlier day lies there."""
    trajectory(workspace).unlink()
    (workspace.folder / "Still-old.zip").write_bytes(b"")
    os.utime(workspace.folder / "Still-old.zip", (1e9, 1e9))
    with pytest.raises(VotError, match=r"(?s)made no zip.*not complete"):
        submit.pack(workspace, "Still")


def test_the_zip_of_a_version_is_found(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The toolkit names it without the version."""
    archive = workspace.folder / "Still_2026-01-31.zip"
    monkeypatch.setattr(entry, "pack", lambda *_: archive.write_bytes(b"zip"))
    assert submit.pack(workspace, "Still@v2") == archive


def test_nothing_is_packed_while_an_evaluation_runs(workspace: Workspace) -> None:
    with (
        alone_in(workspace.folder / "logs"),
        pytest.raises(VotError, match="another evaluation is running"),
    ):
        submit.submit(workspace, "Still")


def _truncate(path: Path) -> str:
    path.write_bytes(path.read_bytes()[:-3])
    return "unreadable.*truncated"


def _empty(path: Path) -> str:
    path.write_bytes(b"")
    return "unreadable.*truncated after 0"


def _short(path: Path) -> str:
    path.write_bytes(b"\x01\x00\x01\x00\x00\x00" + b"\x00\x01\x00\x00\x00")
    return "1 frames of 24"


def _missing(path: Path) -> str:
    path.unlink()
    return "no trajectory"


def _doubled(path: Path) -> str:
    path.with_suffix(".txt").write_text("1\n")
    return r"pair_01_001\.bin and pair_01_001\.txt"


def _text(path: Path, lines: list[str]) -> None:
    path.unlink()
    path.with_suffix(".txt").write_text("\n".join(lines) + "\n")


def _unmarked(path: Path) -> str:
    _text(path, ["m0,0,0,0,0"] * 24)
    return "the first frame is not marked"


def _special(path: Path) -> str:
    _text(path, ["1", *["m0,0,2,2,0,4"] * 4, "0", *["m0,0,2,2,0,4"] * 18])
    return r"no region in frame 6 \(1 such frames\)"


def _special_at_once(path: Path) -> str:
    _text(path, ["1", "0", *["m0,0,2,2,0,4"] * 22])
    return r"no region in frame 2 \(1 such frames\)"


def _outside(path: Path) -> str:
    _text(path, ["1", *["m90,0,10,10,0,100"] * 23])
    return "23 masks reach beyond the image"


def _above(path: Path) -> str:
    _text(path, ["1", "m0,-1,2,2,0,4", "m-1,0,2,2,0,4", *["m0,0,2,2,0,4"] * 21])
    return "2 masks reach beyond the image"


def _below(path: Path) -> str:
    _text(path, ["1", f"m0,{HEIGHT - 1},2,2,0,4", *["m0,0,2,2,0,4"] * 22])
    return "1 masks reach beyond the image"


def _more_times(path: Path) -> str:
    path.with_name("pair_01_001_time.value").write_text("1\n" * 25)
    return "25 times for 24 frames"


def _short_times(path: Path) -> str:
    path.with_name("pair_01_001_time.value").write_text("1\n")
    return "1 times for 24 frames"


def _short_property(path: Path) -> str:
    path.with_name("pair_01_001_weights.value").write_text("none\n" * 5)
    return r"pair_01_001_weights\.value has 5 lines for 24 frames"


SPOILERS = [_truncate, _empty, _short, _missing, _doubled, _unmarked, _special, _outside]
SPOILERS += [_special_at_once]
SPOILERS += [_above, _below, _more_times]


@pytest.mark.parametrize("spoil", [*SPOILERS, _short_times, _short_property])
def test_unsound_results_are_not_packed(workspace: Workspace, spoil) -> None:
    message = spoil(trajectory(workspace))
    with pytest.raises(VotError, match=f"(?s)pair, object 01: {message}"):
        submit.submit(workspace, "Still")
    assert not list(workspace.folder.glob("*.zip"))


def test_an_object_never_seen_and_missing_times_are_only_noted(workspace: Workspace) -> None:
    _text(trajectory(workspace), ["1", *["m0,0,0,0,0"] * 23])
    trajectory(workspace, "single").with_name("single_001_time.value").unlink()
    problems = results.check_results(workspace, "Still")
    assert [problem.fatal for problem in problems] == [False, False]
    notes = " ".join(submit.check_before(workspace, "Still"))
    assert "all masks are empty" in notes and "no times" in notes


def test_a_late_object_may_be_unknown_before_it_starts(workspace: Workspace) -> None:
    path = trajectory(workspace, "pair", "03")
    _text(path, ["1", "0", "0", *["m0,0,2,2,0,4"] * 21])
    assert results.check_results(workspace, "Still") == []


def test_a_supervised_run_may_have_frames_without_a_region(workspace: Workspace) -> None:
    path = trajectory(workspace)
    _text(path, ["1", "m0,0,2,2,0,4", "2", "0", "1", *["m0,0,2,2,0,4"] * 19])
    (file,) = [f for f in workspace.expected("Still") if f.stem == path.with_suffix("")]
    (problem,) = results.check_trajectory(file)
    assert "no region in frame 3 (3 such frames)" in str(problem)
    assert results.check_trajectory(dataclasses.replace(file, may_fail=True)) == []


def test_local_and_partial_stacks_are_called_so(workspace: Workspace) -> None:
    config = workspace.folder / "config.yaml"
    config.write_text(config.read_text().replace("stack.yaml", "vots2023"))
    assert any("NOT COMPLETE: 2 sequences" in n for n in submit.check_before(workspace, "Still"))
    stacks = workspace.folder / "stacks"
    stacks.mkdir()
    shutil.copyfile(workspace.folder / "stack.yaml", stacks / "vots-local.yaml")
    config.write_text(config.read_text().replace("vots2023", "stacks/vots-local.yaml"))
    assert any("NOT A CHALLENGE ENTRY" in n for n in submit.check_before(workspace, "Still"))
    config.write_text(yaml.safe_dump(workspace.config() | {"stack": workspace.stack()}))
    assert any("NOT A CHALLENGE ENTRY" in n for n in submit.check_before(workspace, "Still"))


def test_a_report_section_is_named(workspace: Workspace) -> None:
    config = workspace.folder / "config.yaml"
    config.write_text(config.read_text() + "report: {index: []}\n")
    with pytest.raises(VotError, match="report"):
        submit.check_before(workspace, "Still")


def test_the_zip_is_compared_byte_by_byte(workspace: Workspace, tmp_path: Path) -> None:
    path = _archive(workspace, tmp_path / "a.zip")
    submit.verify_zip(path, workspace, "Still")
    trajectory(workspace).write_bytes(b"other")
    with pytest.raises(VotError, match=r"pair_01_001\.bin differs"):
        submit.verify_zip(path, workspace, "Still")
    trajectory(workspace).unlink()
    with pytest.raises(VotError, match="differ in"):
        submit.verify_zip(path, workspace, "Still")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_holds_a_name_twice_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    path = _archive(workspace, tmp_path / "a.zip")
    name, file = next(iter(submit.packed_files(workspace, "Still").items()))
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(file, name)
    with pytest.raises(VotError, match="holds a name twice"):
        submit.verify_zip(path, workspace, "Still")


def test_a_zip_that_does_not_verify_is_removed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        submit, "pack", lambda *_: _archive(workspace, workspace.folder / "Still.zip", stack="x")
    )
    with pytest.raises(VotError, match="the manifest names stack 'x'"):
        submit.submit(workspace, "Still")
    assert not list(workspace.folder.glob("Still*"))


def test_damaged_and_foreign_zips_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    path = _archive(workspace, tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    data[200] ^= 255
    path.write_bytes(data)
    with pytest.raises(VotError, match="is damaged"):
        submit.verify_zip(path, workspace, "Still")
    path.write_bytes(b"no zip")
    with pytest.raises(VotError, match="no sound package"):
        submit.verify_zip(path, workspace, "Still")


def test_the_manifest_is_checked(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with pytest.raises(VotError, match="names 'Other'"):
        submit.verify_zip(_archive(workspace, path, identifier="Other"), workspace, "Still")
    with pytest.raises(VotError, match="stack 'vots2023'"):
        submit.verify_zip(_archive(workspace, path, stack="vots2023"), workspace, "Still")
    for part, name in (("env", "HF_TOKEN"), ("arguments", "api_key")):
        secret = {part: {name: "x"}}
        with pytest.raises(VotError, match=name):
            submit.verify_zip(_archive(workspace, path, configuration=secret), workspace, "Still")


def _masks(workspace: Workspace, object_id: str, masks: list[np.ndarray]) -> None:
    """The answers of an object of `pair` from its start on; before it is unknown."""
    path = trajectory(workspace, "pair", object_id)
    head = ["1"] + ["0"] * (LENGTH - 1 - len(masks))
    _text(path, head + [format_mask(encode_mask(mask)) for mask in masks])


def _truth(number: int, first: int) -> list[np.ndarray]:
    return [labels_of("pair", frame) == number for frame in range(first, LENGTH)]


def test_true_masks_are_neither_inverted_nor_exchanged(workspace: Workspace) -> None:
    _masks(workspace, "01", _truth(1, 1))
    _masks(workspace, "03", _truth(3, 3))
    assert beginnings.check_beginnings(workspace, "Still") == []


def test_inverted_masks_are_not_packed(workspace: Workspace) -> None:
    _masks(workspace, "01", [~mask for mask in _truth(1, 1)])
    with pytest.raises(VotError, match=r"(?s)1 trajectories .*pair, object 01: .*are inverted"):
        submit.submit(workspace, "Still")
    assert not list(workspace.folder.glob("*.zip"))


@pytest.mark.parametrize(("inverted", "told"), [(2, 0), (3, 1)])
def test_more_than_half_of_the_first_masks_must_be_inverted(
    workspace: Workspace, inverted: int, told: int
) -> None:
    """Of the five that are looked at, without the empty one."""
    truth = _truth(1, 1)
    masks = [~mask if k < inverted else mask for k, mask in enumerate(truth[:4])]
    _masks(workspace, "01", [*masks, np.zeros((HEIGHT, WIDTH), bool), *truth[5:]])
    assert len(beginnings.check_beginnings(workspace, "Still")) == told


def test_masks_that_fill_the_frame_are_not_packed(workspace: Workspace) -> None:
    _masks(workspace, "03", [np.ones((HEIGHT, WIDTH), bool)] * (LENGTH - 3))
    with pytest.raises(VotError, match=r"pair, object 03: .*are inverted"):
        submit.submit(workspace, "Still")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.8])
def test_polarity_is_told_for_objects_of_any_size(share: float) -> None:
    initial = np.zeros((40, 50), bool)
    initial.ravel()[: int(initial.size * share)] = True
    moved = np.roll(initial, (2, 3), axis=(0, 1))
    assert beginnings.looks_inverted(~moved, initial)
    assert not beginnings.looks_inverted(moved, initial)
    assert not beginnings.looks_inverted(np.zeros_like(initial), initial)


def test_a_lost_object_is_not_called_inverted(workspace: Workspace) -> None:
    elsewhere = np.zeros((HEIGHT, WIDTH), bool)
    elsewhere[50:60, 80:90] = True
    _masks(workspace, "01", [elsewhere] * (LENGTH - 1))
    assert beginnings.check_beginnings(workspace, "Still") == []


def test_objects_in_another_order_are_not_packed(workspace: Workspace) -> None:
    single = trajectory(workspace, "single").parent
    folder = workspace.sequences / "single"
    truth = (folder / "groundtruth_01.txt").read_text()
    other = format_mask(encode_mask(labels_of("single", 0)[::-1, ::-1] > 0))
    (folder / "groundtruth_02.txt").write_text(f"{other}\n" * LENGTH)
    for own, lines in (("01", [other] * LENGTH), ("02", truth.splitlines())):
        for suffix in (".bin", "_time.value", "_weights.value"):
            source = single / f"single_001{suffix}"
            shutil.copyfile(source, single / f"single_{own}_001{suffix}")
        (single / f"single_{own}_001.bin").unlink()
        (single / f"single_{own}_001.txt").write_text("\n".join(["1", *lines[1:]]) + "\n")
    with pytest.raises(VotError, match=r"(?s)single, object 01: the masks of object 02 .*order"):
        submit.submit(workspace, "Still")


def test_boxes_in_place_of_masks_are_not_packed(workspace: Workspace) -> None:
    _text(trajectory(workspace), ["1", *["5,5,20,20"] * (LENGTH - 1)])
    with pytest.raises(VotError, match="pair, object 01: answered by a rectangle, not by a mask"):
        submit.submit(workspace, "Still")


def test_the_identifier_has_no_underscore(workspace: Workspace) -> None:
    registry = workspace.folder / "trackers.ini"
    registry.write_text(registry.read_text().replace("[Still]", "[Still_1]"))
    (workspace.folder / "results" / "Still").rename(workspace.folder / "results" / "Still_1")
    with pytest.raises(VotError, match="'Still_1' holds an underscore"):
        submit.submit(workspace, "Still_1")


def test_the_identifier_is_that_of_the_registry(workspace: Workspace) -> None:
    with pytest.raises(VotError, match=r"no tracker 'still' in .*there are: Still, Broken"):
        submit.submit(workspace, "still")
    (workspace.folder / "trackers.ini").write_text("[Still\n")
    with pytest.raises(VotError, match=r"trackers\.ini cannot be read"):
        submit.submit(workspace, "Still")


def test_registries_in_folders_and_in_yaml_are_read(workspace: Workspace) -> None:
    config = workspace.folder / "config.yaml"
    config.write_text(config.read_text().replace("./trackers.ini", "."))
    (workspace.folder / "trackers.yaml").write_text("Other: {protocol: trax}\n")
    assert check_identifier(workspace, "Other") == "Other"
    assert check_identifier(workspace, "Still@version") == "Still"
