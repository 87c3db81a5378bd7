"""Scores: the table against figures computed here from the same trajectories."""

from __future__ import annotations

import csv
import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving import wait_until
from tests.vot_data import HEIGHT, LENGTH, WIDTH, labels_of, trajectory
from tests.vot_data import workspace as workspace
from tracker.alone import OccupiedError, alone_in
from tracker.vot import analysis, evaluate, results, scores, toolkit
from tracker.vot.errors import VotError
from tracker.vot.regions import MaskRegion
from tracker.vot.scores import Row, format_table
from tracker.vot.trajectory import read_trajectory
from tracker.vot.workspace import Workspace


def _rows(workspace: Workspace) -> dict[str, dict[str, Any]]:
    content = json.loads((workspace.folder / "analysis/Still-scores.json").read_text())
    return {row["sequence"]: row for row in content["scores"]}


def _overlaps(workspace: Workspace, name: str, number: int, start: int) -> list[float]:
    """Overlap in each frame from `start` on; the first frame of a sequence counts as a miss."""
    regions = read_trajectory(trajectory(workspace, name, f"{number:02d}"))
    overlaps = []
    for frame in range(start, LENGTH):
        truth = labels_of(name, frame) == number
        region = regions[frame]
        answer = np.zeros_like(truth)
        if isinstance(region, MaskRegion):
            answer = region.mask((HEIGHT, WIDTH))
        union = (truth | answer).sum()
        overlaps.append((truth & answer).sum() / union if union else 1.0)
    return overlaps


def test_quality_is_the_mean_overlap(workspace: Workspace) -> None:
    rows = _rows(workspace)
    single = np.mean(_overlaps(workspace, "single", 1, 0))
    pair = [_overlaps(workspace, "pair", 1, 0), _overlaps(workspace, "pair", 3, 3)]
    assert rows["single"]["Q"] == pytest.approx(single, abs=1e-6)
    assert rows["pair"]["Q"] == pytest.approx(np.mean([np.mean(o) for o in pair]), abs=1e-6)
    assert rows["all"]["Q"] == pytest.approx((rows["single"]["Q"] + rows["pair"]["Q"]) / 2)


def test_errors_and_absence(workspace: Workspace) -> None:
    rows = _rows(workspace)
    assert rows["pair"]["ADQ"] == 0  # it stands still while the object is away
    assert rows["single"]["ADQ"] is None  # no object is ever absent
    assert rows["single"]["R"] + rows["single"]["NRE"] + rows["single"]["DRE"] == pytest.approx(1)
    assert rows["single"]["NRE"] == pytest.approx(1 / LENGTH)  # the first frame
    assert rows["all"]["frames"] == 2 * LENGTH
    assert all(row["fps"] > 1 for row in rows.values())


def test_table_csv_and_weights(workspace: Workspace) -> None:
    text = format_table([Row(**row) for row in _rows(workspace).values()])
    titles, *lines = text.splitlines()
    assert titles.split() == ["sequence", "frames", "Q", "A", "R", "NRE", "DRE", "ADQ", "fps"]
    assert [line.split()[0] for line in lines] == ["pair", "single", "all"]
    assert "n/a" in lines[1]
    with (workspace.folder / "analysis/Still-scores.csv").open() as handle:
        assert [row["sequence"] for row in csv.DictReader(handle)] == ["pair", "single", "all"]
    assert results.recorded_weights(workspace, "Still") == ["none, the object stays"]
    content = json.loads((workspace.folder / "analysis/Still-scores.json").read_text())
    assert content["weights"] == ["none, the object stays"]


def test_a_stack_without_analyses_gives_speed_only() -> None:
    text = format_table([Row("baseline", "a", 10, fps=2.0), Row("baseline", "all", 10, fps=2.0)])
    assert text.splitlines()[0].split() == ["sequence", "frames", "fps"]
    assert text.splitlines()[1].split() == ["a", "10", "2.00"]


def test_several_experiments_are_told_apart_and_figures_have_three_digits() -> None:
    rows = [Row(name, "all", 10, Q=0.12345, fps=rate) for name, rate in (("a", 2.0), ("b", 12.25))]
    titles, *lines = format_table(rows).splitlines()
    assert titles.split() == ["sequence", "frames", "Q", "fps"]
    first, second = ["a/all", "10", "0.123", "2.00"], ["b/all", "10", "0.123", "12.25"]
    assert [line.split() for line in lines] == [first, second]


def test_rates_count_each_frame_once(workspace: Workspace) -> None:
    times = trajectory(workspace).with_name("pair_01_001_time.value")
    times.write_text("9\n" + "0.5\n" * (LENGTH - 1))
    trajectory(workspace, "pair", "03").with_name("pair_03_001_time.value").write_text("7\n")
    frames, seconds = results.frame_rates(workspace, "Still")["baseline", "pair"]
    assert (frames, seconds) == (LENGTH - 1, 0.5 * (LENGTH - 1))


def test_incomplete_results_have_no_scores(workspace: Workspace, capsys) -> None:
    trajectory(workspace).unlink()
    arguments = ["--workspace", str(workspace.folder), "--tracker", "Still"]
    assert scores.main(arguments) == 1
    assert "pair, object 01: no trajectory" in capsys.readouterr().err


@pytest.mark.parametrize("command", [scores.collect, scores.report, evaluate.evaluate])
def test_the_cache_is_cleared_and_filled_by_one_process_at_a_time(
    workspace: Workspace, monkeypatch, caplog, command: Callable[[Workspace, str], object]
) -> None:
    done = []
    monkeypatch.setattr(toolkit, "clear_cache", lambda _: done.append("cleared"))
    caplog.set_level(logging.INFO)
    with alone_in(workspace.folder / "analysis"):
        thread = threading.Thread(target=lambda: done.append(command(workspace, "Still")))
        thread.start()
        wait_until(lambda: "waiting: another process writes into" in caplog.text)
        assert done == []
    thread.join(60)
    assert done[0] == "cleared" and len(done) == 2


def test_the_cache_is_held_until_it_has_been_read(workspace: Workspace, monkeypatch) -> None:
    def read(*_: object) -> dict:
        with pytest.raises(OccupiedError), alone_in(workspace.folder / "analysis"):
            pytest.fail("another process could clear it")
        return {}

    monkeypatch.setattr(analysis, "sequence_scores", read)
    assert [row.sequence for row in scores.collect(workspace, "Still")] == ["all"]
    with alone_in(workspace.folder / "analysis"):
        pass


def test_every_experiment_has_a_rate_of_its_own(workspace: Workspace, monkeypatch) -> None:
    rates = {
        ("slow", "pair"): (10, 5.0),
        ("fast", "pair"): (10, 1.0),
        ("fast", "single"): (20, 1.0),
    }
    monkeypatch.setattr(analysis, "run_analysis", lambda *_: Path())
    monkeypatch.setattr(analysis, "read_analysis", lambda *_: {"slow": {}, "fast": {}})
    monkeypatch.setattr(analysis, "sequence_scores", lambda *_: {place: {} for place in rates})
    monkeypatch.setattr(results, "frame_rates", lambda *_: rates)
    rows = scores.collect(workspace, "Still")
    found = {(row.experiment, row.sequence): (row.frames, row.fps) for row in rows}
    assert found == {
        ("slow", "pair"): (LENGTH, 2.0),
        ("fast", "pair"): (LENGTH, 10.0),
        ("fast", "single"): (LENGTH, 20.0),
        ("slow", "all"): (LENGTH, 2.0),
        ("fast", "all"): (2 * LENGTH, 15.0),
    }


def test_objects_that_are_run_apart_have_the_frames_of_their_sequence(
    workspace: Workspace,
) -> None:
    path = workspace.sequences / "pair" / "groundtruth_01.txt"
    for name in ("01", "03"):
        path = path.with_name(f"groundtruth_{name}.txt")
        path.write_text("\n".join(path.read_text().splitlines()[:9]) + "\n")
    single = {"single": LENGTH, "single_01": LENGTH}
    assert scores._lengths(workspace) == {"pair": 9, "pair_01": 9, "pair_03": 9, **single}


def test_what_is_odd_about_results_is_told_under_the_table(
    workspace: Workspace, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(scores, "collect", lambda *_: [Row("baseline", "all", 48, Q=0.5)])
    path = trajectory(workspace)
    path.unlink()
    path.with_suffix(".txt").write_text("1\n" + "m0,0,0,0,0\n" * (LENGTH - 1))
    scores.show(workspace, "Still")
    assert "\nnote: pair, object 01: all masks are empty\n" in capsys.readouterr().out


def test_report_is_one_file(workspace: Workspace, capsys) -> None:
    arguments = ["--workspace", str(workspace.folder), "--tracker", "Still", "--report"]
    assert scores.main(arguments) == 0
    path = Path(capsys.readouterr().out.split("report: ")[1].strip())
    assert path.name == "report.html" and "Still" in path.read_text()


def test_a_report_that_is_not_made_is_an_error(workspace: Workspace, monkeypatch) -> None:
    old = workspace.folder / "reports" / "Still" / "report.html"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    os.utime(old)
    (workspace.folder / "config.yaml").write_text("stack: nothing\nregistry: [./trackers.ini]\n")
    with pytest.raises(VotError, match="made no"):
        scores.report(workspace, "Still")


@pytest.mark.parametrize(
    ("kind", "answer", "expected"),
    [
        ("longterm.PrecisionRecall", [0.5, 0.25, 1 / 3], {"Pr": 0.5, "Re": 0.25, "F": 1 / 3}),
        ("multistart.EAOScore", [float("nan")], {"EAO": None}),
        ("multistart.AverageAccuracyRobustness", [0.5, 1, [1, 0.5], 4, 9], {"A": 0.5, "R": 1}),
        ("supervised.AverageAccuracyRobustness", [0.5, 2, [0, 0], 9], {"A": 0.5, "failures": 2}),
        ("point.AveragePointAccuracy", [0.75, 0, 0, 1, 1, 1, 1], {"d_avg": 0.75}),
        ("multistart.EAOCurve", [[0.0, 1.0]], {}),
    ],
)
def test_measures_are_named(kind: str, answer: list, expected: dict) -> None:
    assert analysis._named(f"vot.analysis.{kind}", answer) == expected


def test_ground_truth_that_ends_early_is_told(workspace: Workspace, capsys) -> None:
    for path in (workspace.sequences / "single").glob("groundtruth_*.txt"):
        path.write_text("\n".join(path.read_text().splitlines()[:9]) + "\n")
    rows = {row.sequence: row.frames for row in scores.show(workspace, "Still")}
    assert rows == {"pair": 24, "single": 9, "all": 33}
    assert "note: single: the ground truth ends after 9 of 24 frames" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kept", "note"),
    [
        (9, "9 of 24 frames have ground truth; the rest is tracked and not scored"),
        (1, "only 1 of 24 frames has ground truth, that in which tracking starts"),
    ],
)
def test_frames_without_ground_truth_are_told(workspace: Workspace, kept: int, note: str) -> None:
    for path in (workspace.sequences / "single").glob("groundtruth_*.txt"):
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:kept], *["0"] * (LENGTH - kept)]) + "\n")
    (told,) = scores._unscored(workspace)
    assert told.startswith(f"single: {note}")
