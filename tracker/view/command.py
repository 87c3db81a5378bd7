"""`python -m tracker view [RESULTS]`: look at results beside the ground truth.

Writes a page with the mean overlap of every sequence and object, the worst first; for each sequence
a plot over time, a video (ground truth | result), its worst frames with their errors, and a contact
sheet. RESULTS is a workspace (with --tracker), or a folder made by `python -m tracker run` (with
--frames, and --truth if there is any). Without it, the workspace is that of `evaluate`.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from tracker.arguments import output_folder, some_path
from tracker.exits import INTERRUPTED
from tracker.frames import FrameError
from tracker.labels import MaskError
from tracker.view.build import build_sequence, folder_name
from tracker.view.footage import Footage, ViewError
from tracker.view.page import Heading, write_page
from tracker.view.run_footage import RunFootage, result_masks
from tracker.view.vot_footage import workspace_footage
from tracker.vot import record, results, scores
from tracker.vot.chosen import DEFAULT_TRACKER, add_arguments, workspace_of
from tracker.vot.errors import VotError
from tracker.vot.workspace import Workspace

logger = logging.getLogger(__name__)

WORKSPACE_OPTIONS = ("workspace", "sequences", "stack")

VOT_START = "the first frame of a sequence counts 0"
RUN_START = "the frame in which an object was given counts like any other"


def main(argv: list[str]) -> int:
    """The command; returns its exit status."""
    args = _parser().parse_args(argv)
    try:
        pages = _view(args)
    except (ViewError, VotError, FrameError, MaskError, OSError) as error:
        print(f"\nview failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the page shows the sequences that were done", file=sys.stderr)
        return INTERRUPTED
    for name, path in pages.items():
        print(f"{name}: {path}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tracker view",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", nargs="?", type=some_path, metavar="RESULTS")
    add_arguments(parser)
    parser.set_defaults(tracker=None)
    add = parser.add_argument
    add("--only", nargs="+", default=[], metavar="SEQUENCE", help="only these sequences")
    add("--frames", type=some_path, help="of a `run` folder: the video or frames that were tracked")
    add("--truth", type=some_path, help="of a `run` folder: a folder of indexed ground truth masks")
    add(
        "--out",
        type=output_folder,
        help="folder of the page (default: beside the toolkit's report)",
    )
    add("--no-videos", action="store_true", help="pictures and plots only")
    add("--report", action="store_true", help="also make the toolkit's report, and link it")
    return parser


def _view(args: argparse.Namespace) -> dict[str, Path]:
    """What was written: name -> path."""
    if args.results is not None and not args.results.is_dir():
        raise ViewError(f"there is no folder {args.results}; name a workspace or a `run` folder")
    given = [name for name in WORKSPACE_OPTIONS if getattr(args, name) is not None]
    if args.results is not None and given:
        raise ViewError(
            f"{args.results} and --{given[0]} {getattr(args, given[0])} both say what to look at; "
            "give one of them"
        )
    if args.results is not None and not (args.results / "config.yaml").is_file():
        return _view_run(args)
    args.tracker = args.tracker or DEFAULT_TRACKER
    workspace = workspace_of(args) if args.results is None else Workspace(args.results.resolve())
    return _view_workspace(args, workspace)


def _view_run(args: argparse.Namespace) -> dict[str, Path]:
    result_masks(args.results)
    if args.report:
        raise ViewError("--report is for workspaces: the toolkit knows nothing of a `run` folder")
    if args.tracker is not None:
        raise ViewError(
            f"--tracker {args.tracker} is for workspaces: a `run` folder has one result; leave it "
            "out"
        )
    if args.only:
        raise ViewError(
            f"--only {' '.join(args.only)} is for workspaces: a `run` folder is one sequence; "
            "leave it out"
        )
    if args.frames is None:
        raise ViewError(f"name with --frames the video or folder that {args.results} was made of")
    footage = RunFootage(args.results, args.frames, args.truth)
    truth = "no ground truth" if args.truth is None else f"ground truth: {args.truth.name}"
    heading = Heading(
        f"Results of {footage.name}", [f"frames: {args.frames.name}, {truth}"], [], RUN_START
    )
    return {"page": _write(args, [footage], heading, args.out or args.results / "view")}


def _view_workspace(args: argparse.Namespace, workspace: Workspace) -> dict[str, Path]:
    if args.frames is not None or args.truth is not None:
        raise ViewError(
            "--frames and --truth are for `run` folders: a workspace has its own in "
            f"{workspace.sequences}"
        )
    footage = workspace_footage(workspace, args.tracker, args.only)
    written = {}
    if args.report:
        written["the toolkit's report"] = scores.report(workspace, args.tracker)
    report = workspace.folder / "reports" / args.tracker / "report.html"
    out = args.out or report.parent / "view"
    links = []
    if report.is_file():
        links.append(("The VOT toolkit's report", os.path.relpath(report.resolve(), out.resolve())))
    weights = "; ".join(results.recorded_weights(workspace, args.tracker))
    facts = [
        f"workspace {workspace.folder.name}, stack {workspace.stack_name}",
        f"weights: {weights or 'not stated by the tracker'}",
    ]
    if reason := record.stale(workspace, args.tracker):
        facts.append(f"note: {reason}")
    heading = Heading(f"Results of {args.tracker}", facts, links, VOT_START)
    return written | {"page": _write(args, footage, heading, out)}


def _write(
    args: argparse.Namespace, footage: Iterable[Footage], heading: Heading, out: Path
) -> Path:
    """Write the files of all sequences and the page; what an interrupted run did is on it too."""
    views, facts = [], [*heading.facts]
    try:
        for number, one in enumerate(footage, start=1):
            progress = functools.partial(tqdm, desc=one.name, unit="frame")
            folder = folder_name(number, one.name)
            views.append(build_sequence(one, out, folder, not args.no_videos, progress))
            if one.note:
                logger.warning("%s", one.note)
                facts.append(f"note: {one.note}")
    finally:
        if views:
            write_page(out / "index.html", dataclasses.replace(heading, facts=facts), views)
    return out / "index.html"
