"""`python -m tracker scores`: run the toolkit's analyses and print, per sequence and over all,

    Q    quality: mean overlap over all frames and objects
    A    accuracy: mean overlap of the frames in which the object is tracked
    R    robustness: share of frames tracked
    NRE  share of frames in which a visible object is reported absent
    DRE  share of frames in which the tracker is elsewhere
    ADQ  share of frames without the object in which it is reported absent; n/a where no object
         is known to be absent for more than ten frames

and where the stack has them: EAO (expected average overlap), failures (of supervised runs), Pr, Re
and F (long-term precision, recall, F-score), JF (the toolkit's J&F), d_avg (share of points near).

All are the toolkit's own figures. It counts an object's first frame as a miss if that is the first
of the sequence, so a perfect tracker gets (N - 1) / N, not 1.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tracker.vot import analysis, record, registry, results, toolkit
from tracker.vot.chosen import add_arguments, workspace_of
from tracker.vot.dataset import SequenceInfo
from tracker.vot.errors import VotError
from tracker.vot.text import naming, write_whole
from tracker.vot.workspace import Workspace

OVERALL = "all"


@dataclass(frozen=True)
class Row:
    """The figures of one sequence or of all; None where a measure does not apply."""

    experiment: str
    sequence: str
    frames: int
    Q: float | None = None
    A: float | None = None
    R: float | None = None
    NRE: float | None = None
    DRE: float | None = None
    ADQ: float | None = None
    EAO: float | None = None
    failures: float | None = None
    Pr: float | None = None
    Re: float | None = None
    F: float | None = None
    JF: float | None = None
    d_avg: float | None = None
    fps: float | None = None


def collect(workspace: Workspace, tracker: str) -> list[Row]:
    """Run the analyses and put the figures of all sequences together, the overall rows last."""
    with toolkit.analysing(workspace):
        overall = analysis.read_analysis(analysis.run_analysis(workspace, tracker), tracker)
        with naming(workspace.folder / "cache"):
            single = analysis.sequence_scores(workspace, tracker)
    rates = results.frame_rates(workspace, tracker)
    lengths = _lengths(workspace)
    rows = [
        Row(place[0], place[1], lengths.get(place[1], 0), **values, fps=_rate([rates.get(place)]))
        for place, values in single.items()
    ]
    for experiment, values in overall.items():
        own = {place[1]: rate for place, rate in rates.items() if place[0] == experiment}
        total = sum(lengths.get(name, 0) for name in own)
        rows.append(Row(experiment, OVERALL, total, **values, fps=_rate(own.values())))
    return rows


def _lengths(workspace: Workspace) -> dict[str, int]:
    """Scored frames of every sequence, and of what single-object experiments call its objects."""
    lengths: dict[str, int] = {}
    dataset = workspace.dataset()
    for info in dataset:
        names = (f"{info.name}_{object_id}" for object_id in info.objects)
        lengths.update(dict.fromkeys(names, info.known))
    return lengths | {info.name: info.known for info in dataset}


def _unscored(workspace: Workspace) -> list[str]:
    """Sequences whose ground truth ends early or has gaps, with the numbers."""
    return [f"{info.name}: {gap}" for info in workspace.dataset() if (gap := _gap(info))]


def _gap(info: SequenceInfo) -> str:
    """Which part of a sequence has no ground truth; "" where there is none such."""
    rest = "the rest is tracked and not scored"
    if info.known < info.length:
        return f"the ground truth ends after {info.known} of {info.length} frames; {rest}"
    if info.scored == 1:
        return (
            f"only 1 of {info.length} frames has ground truth, that in which tracking starts: "
            "its figures say nothing"
        )
    if info.scored < info.length:
        return f"{info.scored} of {info.length} frames have ground truth; {rest}"
    return ""


def _rate(measured: Iterable[tuple[int, float] | None]) -> float | None:
    """Frames per second over the (frames, seconds) that are known."""
    known = [pair for pair in measured if pair is not None]
    seconds = sum(pair[1] for pair in known)
    return sum(pair[0] for pair in known) / seconds if seconds > 0 else None


def format_table(rows: Sequence[Row]) -> str:
    """The rows as text; columns in which nothing is known are left out."""
    names = [field.name for field in fields(Row)][3:]
    used = [name for name in names if any(getattr(row, name) is not None for row in rows)]
    several = len({row.experiment for row in rows}) > 1
    titles = [f"{row.experiment}/{row.sequence}" if several else row.sequence for row in rows]
    width = max(len(title) for title in ["sequence", *titles])
    lines = [f"{'sequence':<{width}}  frames" + "".join(f"  {name:>6}" for name in used)]
    for title, row in zip(titles, rows, strict=True):
        cells = [_cell(name, getattr(row, name)) for name in used]
        lines.append(f"{title:<{width}}  {row.frames:>6}" + "".join(f"  {c:>6}" for c in cells))
    return "\n".join(lines)


def _measures() -> list[str]:
    return [name for names in analysis.MEASURES.values() for name in names]


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:.2f}" if name == "fps" else f"{value:.3f}"


def save(rows: Sequence[Row], document: dict[str, Any], stem: Path) -> list[Path]:
    """Write the rows as STEM.json (with `document` around them) and STEM.csv."""
    stem.parent.mkdir(exist_ok=True)
    paths = [stem.with_name(stem.name + suffix) for suffix in (".json", ".csv")]
    content = document | {"scores": [asdict(row) for row in rows]}
    write_whole(paths[0], json.dumps(content, indent=2) + "\n")
    with naming(paths[1]), paths[1].open("w", newline="") as handle:
        writer = csv.DictWriter(handle, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    return paths


def show(workspace: Workspace, tracker: str) -> list[Row]:
    """Analyse, save and print the table. VotError when results are missing or unsound."""
    registry.check_known(workspace, tracker)
    problems = results.check_results(workspace, tracker)
    fatal = [problem for problem in problems if problem.fatal]
    if fatal:
        raise VotError(
            f"{tracker} has no complete results in {workspace.folder}: {fatal[0]} "
            f"({len(fatal)} problems); `make evaluate` runs what is missing"
        )
    rows = collect(workspace, tracker)
    weights = results.recorded_weights(workspace, tracker)
    stale = record.stale(workspace, tracker)
    document = {
        "tracker": tracker,
        "weights": weights,
        "made_by": record.read_records(workspace, tracker),
        "stack": workspace.stack_name,
    }
    with toolkit.analysing(workspace):
        paths = save(rows, document, workspace.folder / "analysis" / f"{tracker}-scores")
    print(f"\n{tracker} in {workspace.folder}")
    print(f"weights: {'; '.join(weights) or 'not stated by the tracker'}\n")
    print(format_table(rows))
    if all(getattr(row, name) is None for row in rows for name in _measures()):
        print("The stack has no analyses: its scores come from the evaluation server.")
    for note in (*problems, *_unscored(workspace)):
        print(f"note: {note}")
    if stale:
        print(f"note: {stale}")
    print("saved: " + ", ".join(str(path) for path in paths))
    return rows


def report(workspace: Workspace, tracker: str) -> Path:
    """Run `vot report`; returns the path of its HTML file. VotError when it made none."""
    path = workspace.folder / "reports" / tracker / "report.html"
    with toolkit.analysing(workspace):
        path.unlink(missing_ok=True)
        toolkit.clear_cache(workspace)
        options = ["--name", tracker, "--format", "html"]
        run = toolkit.run_toolkit(workspace, "report", tracker, *options)
    if not path.is_file():
        raise VotError(f"the toolkit made no {path}:\n{run.tail()}\nwhole output: {run.log}")
    return path


def main(argv: list[str]) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tracker scores",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument("--report", action="store_true", help="the toolkit's HTML report instead")
    args = parser.parse_args(argv)
    try:
        workspace = workspace_of(args)
        if args.report:
            print(f"report: {report(workspace, args.tracker)}")
        else:
            show(workspace, args.tracker)
    except (VotError, OSError) as error:
        print(f"\nscores failed: {error}", file=sys.stderr)
        return 1
    return 0
