"""Which workspace is meant, running the toolkit in it, and judging what it leaves."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.vot_data import LENGTH, TESTS, TRACKERS, trajectory, write_frames
from tests.vot_data import workspace as workspace
from tracker.alone import alone_in
from tracker.checkout import DEFAULT_WORKSPACE, ROOT
from tracker.view import pictures
from tracker.vot import chosen, evaluate, record, results, scores, stacks, submit, toolkit
from tracker.vot.convert import convert
from tracker.vot.dataset import groundtruth_files, is_dataset
from tracker.vot.errors import VotError
from tracker.vot.fingerprint import fingerprint, program
from tracker.vot.workspace import Workspace, made


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(chosen, "RUNS", tmp_path / "runs")
    return tmp_path / "runs"


def _chosen(*arguments: str) -> Workspace:
    parser = argparse.ArgumentParser()
    chosen.add_arguments(parser)
    return made(chosen.plan(parser.parse_args(arguments)))


def test_the_default_workspace_has_the_measures() -> None:
    chosen = _chosen()
    assert chosen.folder == DEFAULT_WORKSPACE
    experiment = chosen.stack()["experiments"]["baseline"]
    kinds = [analysis["type"] for analysis in experiment["analyses"]]
    expected = ["average_accuracy", "average_success_plot", "longterm_ar"]
    assert kinds == [*expected, "average_quality_auxiliary"]
    assert experiment["multiobject"] is True
    assert chosen.config()["registry"] == ["../trackers.ini"]


def test_own_data_get_a_workspace_of_their_own(runs: Path, tmp_path: Path) -> None:
    write_frames(tmp_path / "my clips", "single", 3)
    chosen = _chosen("--sequences", str(tmp_path / "my clips"))
    assert chosen.folder == runs / "my-clips"
    assert chosen.stack()["title"] == "VOTS with local measures"
    registry = chosen.folder / chosen.config()["registry"][0]
    assert registry.resolve() == ROOT / "trackers.ini"
    evaluate.prepare_data(chosen, tmp_path / "my clips")
    assert is_dataset(runs / "my-clips" / "sequences")
    assert _chosen("--sequences", str(tmp_path / "my clips")) == chosen


def test_other_data_of_the_same_name_are_noticed(runs: Path, tmp_path: Path) -> None:
    for place in ("a", "b"):
        write_frames(tmp_path / place / "clips", "single", 3)
    chosen = _chosen("--sequences", str(tmp_path / "a" / "clips"))
    evaluate.prepare_data(chosen, tmp_path / "a" / "clips")
    evaluate.prepare_data(chosen, tmp_path / "a" / "clips")
    with pytest.raises(VotError, match=r"was converted from .*a/clips, and not"):
        evaluate.prepare_data(chosen, tmp_path / "b" / "clips")
    write_frames(tmp_path / "a" / "clips", "another", 3)
    with pytest.raises(VotError, match="as it is now"):
        evaluate.prepare_data(chosen, tmp_path / "a" / "clips")


def test_data_in_vot_format_are_used_in_place(runs: Path, workspace: Workspace) -> None:
    chosen = _chosen("--sequences", str(workspace.sequences), "--stack", "vots2024/main")
    assert chosen.folder == runs / "sequences-vots2024-main"
    assert chosen.sequences.resolve() == workspace.sequences
    assert chosen.stack_name == "vots2024/main"
    assert [info.name for info in chosen.dataset()] == ["pair", "single"]


@pytest.mark.parametrize("stack", ["vots2023", "vots2024/main", "vots2025/main", "vots2026/main"])
def test_challenge_stacks_keep_the_toolkits_names(runs: Path, stack: str) -> None:
    chosen = _chosen("--stack", stack)
    assert chosen.config()["stack"] == stack
    assert chosen.stack()["experiments"]["baseline"]["multiobject"] is True
    assert chosen.folder.parent == runs


def test_stacks_that_cannot_run_say_why(runs: Path) -> None:
    for stack in stacks.REFUSED_STACKS:
        assert stacks.find_stack(stack, runs) is not None
        with pytest.raises(VotError, match=f"cannot run {stack}: "):
            _chosen("--stack", stack)
    with pytest.raises(VotError, match="TraX carries no texts"):
        _chosen("--stack", "vots2026/referral")
    with pytest.raises(VotError, match="no stack 'vots1999'"):
        _chosen("--stack", "vots1999")
    assert not runs.exists()


def test_a_workspace_is_not_bent_to_other_data(runs: Path, workspace: Workspace) -> None:
    folder = str(runs / "x")
    _chosen("--stack", "vots2023", "--workspace", folder)
    with pytest.raises(VotError, match="says stack: vots2023, you ask for vots2024/main"):
        _chosen("--stack", "vots2024/main", "--workspace", folder)
    for place, name in ((runs / "y", "pair"), (runs / "z", "single")):
        write_frames(place, name, 2)
        convert(place, place / "data")
    stack = ("--stack", "vots2023", "--workspace", str(runs / "w"))
    _chosen("--sequences", str(runs / "y" / "data"), *stack)
    with pytest.raises(VotError, match=r"says sequences: \.\./y/data, you ask for \.\./z/data"):
        _chosen("--sequences", str(runs / "z" / "data"), *stack)
    with pytest.raises(VotError, match="there is no nowhere"):
        _chosen("--sequences", "nowhere")


@pytest.mark.parametrize("command", [scores, submit, pictures])
def test_what_reads_results_makes_no_workspace(runs: Path, capsys, command: ModuleType) -> None:
    assert command.main(["--stack", "vots2023"]) == 1
    said = f"there is no workspace {runs / 'vots2023'} yet; `make evaluate` with the same variables"
    assert said in capsys.readouterr().err
    assert not runs.exists()


def test_evaluation_left_everything(workspace: Workspace) -> None:
    assert results.check_results(workspace, "Still") == []
    names = [file.stem.name for file in workspace.expected("Still")]
    assert names == ["pair_01_001", "pair_03_001", "single_001"]
    (made,) = record.read_records(workspace, "Still")
    assert made.items() >= fingerprint(workspace, "Still").items()
    assert record.stale(workspace, "Still") is None


def test_a_damaged_result_is_run_again(workspace: Workspace, caplog, capsys) -> None:
    good = trajectory(workspace).read_bytes()
    trajectory(workspace).write_bytes(good[:-5])
    other = trajectory(workspace, "single").stat().st_mtime_ns
    (workspace.folder / "cache").mkdir(exist_ok=True)
    (workspace.folder / "cache" / "old").write_text("stale")
    evaluate.evaluate(workspace, "Still")
    assert trajectory(workspace).read_bytes() == good
    assert trajectory(workspace, "single").stat().st_mtime_ns == other
    assert "damaged result" in caplog.text
    assert not (workspace.folder / "cache" / "old").exists()


def test_a_broken_tracker_fails_with_the_reason(workspace: Workspace, capsys) -> None:
    status = evaluate.main(["--workspace", str(workspace.folder), "--tracker", "Broken"])
    assert status == 1
    said = capsys.readouterr().err
    assert "3 of 3 trajectories are missing" in said
    assert "RuntimeError: the tracker broke on purpose" in said
    assert f"whole output: {workspace.folder}/logs/vot_evaluate.log" in said
    assert "TRAX:state" not in said.split("evaluate failed")[1]


def test_force_throws_old_results_away(workspace: Workspace, monkeypatch) -> None:
    seen = []

    def fake(where: Workspace, command: str, *_: str) -> toolkit.ToolkitRun:
        seen.append((command, [path.name for path in where.results("Still").iterdir()]))
        return toolkit.ToolkitRun(0, where.folder / "logs" / "vot_evaluate.log")

    monkeypatch.setattr(toolkit, "run_toolkit", fake)
    with pytest.raises(VotError, match="3 of 3 trajectories"):
        evaluate.evaluate(workspace, "Still", force=True)
    assert seen == [("evaluate", ["made_by.json"])]


def test_results_with_notes_only_are_kept_and_no_failure(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an object that is never seen."""
    path = trajectory(workspace)
    path.unlink()
    path.with_suffix(".txt").write_text("1\n" + "m0,0,0,0,0\n" * (LENGTH - 1))
    run = toolkit.ToolkitRun(0, workspace.folder / "logs" / "vot_evaluate.log")
    monkeypatch.setattr(toolkit, "run_toolkit", lambda *_: run)
    evaluate.evaluate(workspace, "Still")
    assert path.with_suffix(".txt").is_file()


def test_an_interruption_is_told_apart(workspace: Workspace, monkeypatch, capsys) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(toolkit, "run_toolkit", interrupted)
    arguments = ["--workspace", str(workspace.folder), "--tracker", "Still"]
    assert evaluate.main(arguments) == 130
    assert "finished sequences are kept" in capsys.readouterr().err
    assert len(list(workspace.results("Still").rglob("*.bin"))) == 3


def test_a_data_set_that_is_not_there_names_the_remedy(workspace: Workspace, monkeypatch) -> None:
    run = toolkit.ToolkitRun(1, workspace.folder / "logs" / "vot_evaluate.log")
    monkeypatch.setattr(toolkit, "run_toolkit", lambda *_: run)
    (workspace.sequences / "list.txt").unlink()
    with pytest.raises(VotError, match=r"(?s)made no data set.*SEQUENCES="):
        evaluate.evaluate(workspace, "Still")


def test_results_of_other_weights_are_called_stale(workspace: Workspace) -> None:
    path = workspace.results("Still") / "made_by.json"
    records = json.loads(path.read_text())
    records[0]["weights"] = "0" * 16
    path.write_text(json.dumps(records))
    assert "other weights than" in record.stale(workspace, "Still")


def test_results_of_other_settings_are_called_stale(workspace: Workspace, monkeypatch) -> None:
    monkeypatch.setenv("HQTRACK_SET", "memory__interval=25")
    assert "other settings than" in record.stale(workspace, "Still")
    path = workspace.results("Still") / "made_by.json"
    records = json.loads(path.read_text())
    del records[0]["settings"]  # as written before settings were noted
    path.write_text(json.dumps(records))
    monkeypatch.delenv("HQTRACK_SET")
    assert record.stale(workspace, "Still") is None


def test_fingerprint_sees_weights_and_code(tmp_path: Path) -> None:
    for part in ("vot", "view"):
        (tmp_path / "tracker" / part).mkdir(parents=True)
    (tmp_path / "weights").mkdir()
    (tmp_path / "tracker" / "a.py").write_text("1")
    (tmp_path / "weights" / "a.pth").write_bytes(b"1")
    first = program(root=tmp_path)
    for part in ("vot", "view"):
        (tmp_path / "tracker" / part / "b.py").write_text("unrelated")
    assert program(root=tmp_path) == first
    (tmp_path / "weights" / "a.pth").write_bytes(b"2")
    second = program(root=tmp_path)
    assert second["code"] == first["code"] and second["weights"] != first["weights"]
    (tmp_path / "tracker" / "a.py").write_text("2")
    assert program(root=tmp_path)["code"] != first["code"]


def test_fingerprint_finds_the_weights_that_the_server_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative $HQTRACK_WEIGHTS begins at the project; bundled weights fill the folder up."""
    for folder in ("weights", "own"):
        (tmp_path / folder).mkdir()
    (tmp_path / "weights" / "a.safetensors").write_bytes(b"bundled")
    first = program(root=tmp_path)["weights"]
    monkeypatch.setenv("HQTRACK_WEIGHTS", "own")
    assert program(root=tmp_path)["weights"] == first
    (tmp_path / "own" / "b.pth").write_bytes(b"official")
    second = program(root=tmp_path)["weights"]
    assert second != first
    monkeypatch.setenv("HQTRACK_WEIGHTS", str(tmp_path / "own"))
    assert program(root=tmp_path)["weights"] == second
    (tmp_path / "weights" / "a.safetensors").write_bytes(b"bundled, again")
    assert program(root=tmp_path)["weights"] != second


def test_one_evaluation_at_a_time(workspace: Workspace) -> None:
    with (
        alone_in(workspace.folder / "logs"),
        pytest.raises(VotError, match="another evaluation"),
    ):
        evaluate.evaluate(workspace, "Still")


def test_data_are_prepared_by_one_evaluation_at_a_time(
    workspace: Workspace, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(evaluate, "prepare_data", lambda *_: pytest.fail("not alone"))
    with alone_in(workspace.folder / "logs"):
        arguments = ["--workspace", str(workspace.folder), "--tracker", "Still"]
        assert evaluate.main(arguments) == 1
    assert "another evaluation is running" in capsys.readouterr().err


def test_an_unknown_tracker_is_told_before_data_are_made(
    workspace: Workspace, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(evaluate, "prepare_data", lambda *_: pytest.fail("data were made"))
    assert evaluate.main(["--workspace", str(workspace.folder), "--tracker", "Nope"]) == 1
    assert "no tracker 'Nope'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sequences", "video.mp4"], "video.mp4 is a file; name a folder of frames and masks"),
        (["--sequences", "empty"], "no sequences in "),
        (["--sequences", "raw", "--tracker", "Nope"], "no tracker 'Nope'"),
        (["--stack", "../../own.yaml"], "sequences holds no data set (no list.txt)"),
    ],
)
def test_a_failed_check_leaves_no_workspace(
    tmp_path: Path, monkeypatch, capsys, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "video.mp4").write_bytes(b"0")
    (tmp_path / "empty").mkdir()
    (tmp_path / "own.yaml").write_text(stacks.LOCAL_STACK.read_text())
    write_frames(tmp_path / "raw", "single", 3)
    before = sorted(tmp_path.rglob("*"))
    assert evaluate.main([*arguments, "--workspace", "made/by me"]) == 1
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("place", ["workspace", "data", "sequence", "frames"])
def test_paths_that_trax_cannot_carry_are_told_before_anything_is_run(
    workspace: Workspace, tmp_path: Path, monkeypatch, capsys, place: str
) -> None:
    monkeypatch.setattr(toolkit, "run_toolkit", lambda *_: pytest.fail("the toolkit was run"))
    arguments = ["--workspace", str(workspace.folder), "--tracker", "Still"]
    if place == "workspace":
        write_frames(tmp_path / "raw", "single", 3)
        arguments = ["--sequences", str(tmp_path / "raw"), "--workspace", str(tmp_path / "größe")]
    elif place == "data":
        workspace.sequences.rename(tmp_path / "größe")
        config = workspace.folder / "config.yaml"
        config.write_text(config.read_text().replace("sequences: seq", "sequences: ../größe #"))
    elif place == "sequence":
        (workspace.sequences / "single").rename(workspace.sequences / "größe")
        (workspace.sequences / "list.txt").write_text("pair\ngröße\n")
    else:
        folder = workspace.sequences / "single"
        (folder / "color").rename(folder / "größe")
        metadata = (folder / "sequence").read_text()
        (folder / "sequence").write_text(metadata.replace("=color/", "=größe/"))
    assert evaluate.main(arguments) == 1
    said = capsys.readouterr().err
    assert "TraX, by which the tracker is run, carries no letters outside ASCII" in said
    assert "'größe' has some; rename it, or move the data elsewhere" in said
    assert place != "workspace" or not (tmp_path / "größe").exists()


def test_trackers_of_the_folder_protocol_take_any_letters(
    workspace: Workspace, tmp_path: Path
) -> None:
    trackers = workspace.folder / "trackers.ini"
    trackers.write_text(trackers.read_text().replace("traxpython", "folderpython"))
    workspace.folder.rename(tmp_path / "größe")
    evaluate.check_paths(Workspace(tmp_path / "größe"), "Still")


def test_frames_of_any_letters_are_converted_and_run(tmp_path: Path, capsys) -> None:
    """The data set has links to them, and only the paths of those reach TraX."""
    write_frames(tmp_path / "größe", "single", 3)
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "trackers.ini").write_text(TRACKERS.format(tests=TESTS))
    arguments = ["--workspace", str(folder), "--tracker", "Still"]
    assert evaluate.main(["--sequences", str(tmp_path / "größe"), *arguments]) == 0
    assert "single" in capsys.readouterr().out


def test_demo_data_are_made_for_the_default_only(workspace: Workspace, monkeypatch) -> None:
    made = []
    monkeypatch.setattr(evaluate.demo, "make_demo", made.append)
    evaluate.prepare_data(workspace, None)
    assert made == []
    (workspace.sequences / "list.txt").unlink()
    with pytest.raises(VotError, match="no data set"):
        evaluate.prepare_data(workspace, None)
    monkeypatch.setattr(evaluate, "DEFAULT_WORKSPACE", workspace.folder)
    evaluate.prepare_data(workspace, None)
    assert made == [workspace.sequences]


def test_logs_are_shown_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text('@@TRAX:state "mask:1"\n 1 %\r50 %\r100 %\n\x1b[31mred\x1b[0m\n' + "x" * 999)
    shown = toolkit.tail(path).split("\n")
    assert shown[:2] == ["    100 %", "    red"]
    assert len(shown) == 3 and len(shown[2]) < 400
    assert toolkit.tail(tmp_path / "none.log").strip() == ""


def test_no_workspace_no_config_no_data(tmp_path: Path) -> None:
    with pytest.raises(VotError, match=r"no config\.yaml"):
        Workspace(tmp_path).config()
    (tmp_path / "config.yaml").write_text("[1, 2")
    with pytest.raises(VotError, match="is not YAML"):
        Workspace(tmp_path).config()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"stack": "vots2023"}))
    with pytest.raises(VotError, match=r"no list\.txt"):
        Workspace(tmp_path).dataset()
    assert Workspace(tmp_path).sequences == tmp_path / "sequences"


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        ("2023", "says stack: 2023; it is the name of one"),
        ("", "says stack: None; it is the name of one"),
        ("{experiments: }", "the stack names no experiments"),
        ("{experiments: {baseline: }}", "experiment baseline holds no settings: None"),
        ("{experiments: {baseline: unsupervised}}", "holds no settings: 'unsupervised'"),
    ],
)
def test_a_stack_that_is_none_is_told(workspace: Workspace, stack: str, said: str) -> None:
    (workspace.folder / "config.yaml").write_text(f"sequences: sequences\nstack: {stack}\n")
    with pytest.raises(VotError, match=said):
        workspace.expected("Still")


def test_ground_truth_is_chosen_as_the_toolkit_does(workspace: Workspace) -> None:
    from vot.dataset.common import read_sequence

    folder = workspace.sequences / "single"
    (line,) = {p.read_text() for p in folder.glob("groundtruth_*.txt")}
    (folder / "groundtruth.txt").write_text(line)
    (folder / "groundtruth_07.txt").write_text(line)
    (folder / "groundtruth_01.txt").unlink(missing_ok=True)
    assert list(read_sequence(str(folder)).objects()) == ["07"]
    assert groundtruth_files(folder) == {"07": folder / "groundtruth_07.txt"}
    (folder / "groundtruth_07.txt").unlink()
    assert list(groundtruth_files(folder).values()) == [folder / "groundtruth.txt"]
    with (folder / "sequence").open("a") as file:
        file.write("groundtruth=boxes.txt\n")
    (folder / "groundtruth.txt").rename(folder / "boxes.txt")
    assert list(groundtruth_files(folder).values()) == [folder / "boxes.txt"]
    assert len(read_sequence(str(folder)).objects()) == 1


def test_a_version_in_the_registry_is_named(workspace: Workspace, capsys) -> None:
    registry = workspace.folder / "trackers.ini"
    registry.write_text(registry.read_text().replace("[Broken]", "version = v2\n\n[Broken]"))
    arguments = ["--workspace", str(workspace.folder), "--tracker"]
    assert evaluate.main([*arguments, "Still"]) == 1
    said = capsys.readouterr().err
    assert "[Still] version = v2" in said and "ask for TRACKER=Still@v2" in said
    assert evaluate.main([*arguments, "Still@v2"]) == 0
    assert trajectory(workspace).parent.parent.parent.name == "Still"
    assert (workspace.results("Still@v2") / "baseline/pair/pair_01_001.bin").is_file()
