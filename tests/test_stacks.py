"""The stacks of the toolkit: which are repaired, which refused, and what they should leave."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import vot.stack
import yaml

from tests import vot_data
from tracker.vot import chosen, dataset, entry, expected, stacks, toolkit, workspace
from tracker.vot.errors import VotError

WHEEL = Path(vot.stack.__file__).parent
NAMES = sorted(path.relative_to(WHEEL).with_suffix("").as_posix() for path in WHEEL.rglob("*.yaml"))
OURS = {
    "multistart": "tracker.vot.experiments.MultiStart",
    "supervised": "tracker.vot.experiments.Supervised",
    "unsupervised": "tracker.vot.experiments.Unsupervised",
}
# Anchors of made sequences exist nowhere: the toolkit cannot run this experiment by any class.
LEFT_OUT = {"tests/segmentation": "redetection"}


def _repaired(name: str) -> dict | None:
    """The stack as it should be: only types change, and only where 0.9.0 cannot run them."""
    stack = yaml.safe_load((WHEEL / f"{name}.yaml").read_text())
    stack["experiments"].pop(LEFT_OUT.get(name), None)
    changed = False
    for settings in stack["experiments"].values():
        kind = settings["type"]
        if kind in ("multistart", "supervised") or {"realtime", "transformers"} & set(settings):
            settings["type"] = OURS[kind]
            changed = True
        for transformer in settings.get("transformers", []):
            transformer["type"] = "tracker.vot.experiments.Redetection"
    return stack if changed else None


def test_every_broken_stack_of_the_toolkit_is_repaired_or_refused() -> None:
    wanted = {name for name in NAMES if _repaired(name)} - set(stacks.REFUSED_STACKS)
    assert {path.removesuffix(".yaml") for path in stacks.repaired_stacks()} == wanted
    assert len(NAMES) == 42 and len(wanted) == 18


@pytest.mark.parametrize("name", sorted(stacks.repaired_stacks()))
def test_repaired_stacks_change_types_only(name: str) -> None:
    text = stacks.repaired_stacks()[name].read_text()
    assert yaml.safe_load(text) == _repaired(name.removesuffix(".yaml"))


def test_the_toolkit_reads_every_repaired_stack() -> None:
    from vot.stack import Stack

    for name, path in stacks.repaired_stacks().items():
        stack = Stack.read(str(path))
        kinds = {type(experiment).__module__.split(".")[0] for experiment in stack}
        assert "tracker" in kinds, name


def _data(folder: Path, masks: bool = True) -> Path:
    """`walk`: one object in 8 frames, anchors forward at 0 and 3, backward at 6."""
    from PIL import Image

    (folder / "walk" / "color").mkdir(parents=True)
    lines = []
    for frame in range(8):
        Image.new("RGB", (96, 64)).save(folder / "walk" / "color" / f"{frame + 1:08d}.jpg")
        box = f"{10 + frame},12,30,20"
        lines.append(f"m{box},0,600" if masks else box)
    dataset.write_sequence(folder / "walk", {"object": lines}, (96, 64), 20)
    (folder / "walk" / "anchor.value").write_text("1\n0\n0\n1\n0\n0\n-1\n0\n")
    dataset.write_list(folder, ["walk"])
    return folder


def _files(folder: Path, experiments: dict) -> dict[str, tuple[int, dict]]:
    data = dataset.read_dataset(folder)
    stack = {"experiments": experiments}
    found = expected.expected_files(folder / "results", stack, data)
    return {
        file.stem.relative_to(folder / "results").as_posix(): (
            file.sequence.length, dict(file.sequence.starts),
        )
        for file in found
    }  # fmt: skip


def test_multistart_leaves_a_trajectory_for_every_anchor(tmp_path: Path) -> None:
    found = _files(_data(tmp_path), {"b": {"type": OURS["multistart"]}})
    assert found == {
        "b/walk/walk_00000000": (8, {"object": 0}),
        "b/walk/walk_00000003": (5, {"object": 0}),
        "b/walk/walk_00000006": (7, {"object": 0}),
    }


def test_multistart_without_anchors_names_the_file(tmp_path: Path) -> None:
    _data(tmp_path)
    (tmp_path / "walk" / "anchor.value").write_text("0\n" * 8)
    with pytest.raises(VotError, match=r"anchor\.value marks no frame"):
        _files(tmp_path, {"b": {"type": "multistart"}})
    (tmp_path / "walk" / "anchor.value").unlink()
    with pytest.raises(VotError, match=r"walk has no anchor\.value"):
        _files(tmp_path, {"b": {"type": "multistart"}})


def test_single_object_experiments_run_every_object_apart(tmp_path: Path) -> None:
    data = _data(tmp_path)
    path = data / "walk" / "groundtruth_object.txt"
    late = ["0", "0", *path.read_text().splitlines()[2:]]
    (data / "walk" / "groundtruth_late.txt").write_text("\n".join(late) + "\n")
    assert _files(data, {"u": {"type": "unsupervised"}}) == {
        "u/walk_late/walk_late_001": (8, {"late": 2}),
        "u/walk_object/walk_object_001": (8, {"object": 0}),
    }
    assert list(_files(data, {"u": {"type": "unsupervised", "multiobject": True}})) == [
        "u/walk/walk_late_001",
        "u/walk/walk_object_001",
    ]


def test_redetection_has_the_length_of_its_transformer(tmp_path: Path) -> None:
    settings = {"type": OURS["unsupervised"], "transformers": [{"type": "a.Redetection"}]}
    settings["transformers"][0] |= {"type": "tracker.vot.experiments.Redetection", "length": 20}
    found = _files(_data(tmp_path), {"r": settings})
    assert found == {"r/walk/walk_001": (20, {"object": 0})}


@pytest.mark.parametrize("suffix", [".bin", ".txt"])
def test_repetitions_may_end_after_three_equal_ones(tmp_path: Path, suffix: str) -> None:
    data, settings = _data(tmp_path), {"s": {"type": OURS["supervised"], "repetitions": 15}}
    assert len(_files(data, settings)) == 15
    folder = data / "results" / "s" / "walk"
    folder.mkdir(parents=True)
    for number in (1, 2, 3):
        (folder / f"walk_{number:03d}{suffix}").write_bytes(b"same")
    assert [Path(name).name for name in _files(data, settings)] == [
        "walk_001", "walk_002", "walk_003",
    ]  # fmt: skip
    (folder / f"walk_003{suffix}").write_bytes(b"other")
    assert len(_files(data, settings)) == 15


def _workspace(tmp_path: Path, stack: str, masks: bool = True) -> workspace.Workspace:
    """A workspace of the static tracker of `vot_data`, as the commands make it."""
    folder = tmp_path / "workspace"
    _data(tmp_path / "data", masks)
    made = workspace.made(workspace.plan_workspace(folder, tmp_path / "data", stack))
    config = made.config() | {"registry": ["./trackers.ini"]}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "trackers.ini").write_text(vot_data.TRACKERS.format(tests=vot_data.TESTS))
    return made


def test_a_repaired_stack_keeps_its_name(tmp_path: Path) -> None:
    made = _workspace(tmp_path, "vots2025/realtime")
    assert made.config()["stack"] == "vots2025/realtime.yaml"
    assert made.stack_name == "vots2025/realtime"
    assert made.stack()["experiments"]["realtime"]["type"] == OURS["unsupervised"]
    again = workspace.made(
        workspace.plan_workspace(made.folder, tmp_path / "data", "vots2025/realtime")
    )
    assert again.stack_name == "vots2025/realtime"


def test_a_workspace_that_names_the_broken_stack_is_told_the_remedy(tmp_path: Path) -> None:
    made = _workspace(tmp_path, "vots2025/realtime")
    config = made.config() | {"stack": "vots2025/realtime"}
    (made.folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(VotError, match=r"write `stack: vots2025/realtime\.yaml` into"):
        chosen._known(made)


def test_realtime_and_multistart_run_in_the_toolkit_and_are_packed(tmp_path: Path) -> None:
    """Trajectories of `Still` are its start, over and over, from every anchor and both ways."""
    import zipfile

    from tracker.vot import evaluate, results, submit
    from tracker.vot.trajectory import read_trajectory

    made = _workspace(tmp_path, "vot2022/shortterm")
    evaluate.evaluate(made, "Still")
    assert results.check_results(made, "Still") == []
    for name, length, left in (("00000000", 8, 10), ("00000003", 5, 13), ("00000006", 7, 16)):
        for experiment in ("baseline", "realtime"):
            path = made.results("Still") / experiment / "walk" / f"walk_{name}.bin"
            regions = read_trajectory(path)
            assert len(regions) == length
            want = np.zeros((64, 96), bool)
            want[12:32, left : left + 30] = True
            assert all(np.array_equal(region.mask((64, 96)), want) for region in regions[1:])
    archive = submit.pack(made, "Still")
    assert archive.parent == made.folder
    with zipfile.ZipFile(archive) as handle:
        assert yaml.safe_load(handle.read("manifest.yml"))["stack"] == "vot2022/shortterm"
        assert "realtime/walk/walk_00000006.bin" in handle.namelist()
    submit.verify_zip(archive, made, "Still")


def test_what_the_toolkit_said_when_it_made_no_zip_is_kept(tmp_path: Path, monkeypatch) -> None:
    """Of a repaired stack, which is packed in a folder of the moment."""
    from tracker.vot import submit

    def refuse(where: workspace.Workspace, *_: str) -> toolkit.ToolkitRun:
        log = where.folder / "vot_pack.log"
        log.write_text("experiments not complete\n")
        return toolkit.ToolkitRun(0, log)

    made = _workspace(tmp_path, "vots2025/realtime")
    (made.folder / "logs").mkdir()
    monkeypatch.setattr(toolkit, "run_toolkit", refuse)
    said = rf"made no zip:\n    experiments not complete\nwhole output: {made.folder}/logs/vot_pack"
    with pytest.raises(VotError, match=said):
        submit.pack(made, "Still")
    assert (made.folder / "logs/vot_pack.log").read_text() == "experiments not complete\n"


def test_other_stacks_are_packed_as_they_are(tmp_path: Path, monkeypatch) -> None:
    made = _workspace(tmp_path, "vots2023")
    seen = []
    monkeypatch.setattr(toolkit, "run_toolkit", lambda *about: seen.append(about))
    entry.pack(made, "Still")
    assert seen == [(made, "pack", "Still")]


def test_points_need_a_tracker_of_the_folder_protocol(tmp_path: Path) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    chosen.add_arguments(parser)
    where = ["--stack", "vots2026/point", "--workspace", str(tmp_path / "w")]
    with pytest.raises(VotError, match="TRACKER=HQTrackPoint"):
        chosen.plan(parser.parse_args(where))
    planned = chosen.plan(parser.parse_args([*where, "--tracker", "HQTrackPoint"]))
    assert planned.stack_name == "vots2026/point"


def test_single_object_experiments_refuse_names_that_meet(tmp_path: Path) -> None:
    data = _data(tmp_path)
    shutil.copytree(data / "walk", data / "walk_02")
    metadata = data / "walk_02" / "sequence"
    metadata.write_text(metadata.read_text().replace("name=walk", "name=walk_02"))
    shutil.copyfile(data / "walk" / "groundtruth_object.txt", data / "walk" / "groundtruth_02.txt")
    dataset.write_list(data, ["walk", "walk_02"])
    said = r"walk \(object 02\) and sequence walk_02 \(object object\) are both 'walk_02'.*rename"
    with pytest.raises(VotError, match=said):
        _files(data, {"u": {"type": "unsupervised"}})
    assert len(_files(data, {"u": {"type": "unsupervised", "multiobject": True}})) == 3
