"""`python -m tracker evaluate`: data, `vot evaluate`, a check of what it left, and the scores.

Without --sequences, --stack and --workspace: the demo data, in the project's `vot_workspace`.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from tracker.checkout import DEFAULT_WORKSPACE
from tracker.exits import INTERRUPTED
from tracker.vot import demo, logs, record, registry, results, scores, toolkit
from tracker.vot.chosen import add_arguments, plan
from tracker.vot.convert import find_sources
from tracker.vot.converted import convert_into
from tracker.vot.dataset import frames_pattern, is_dataset, read_names
from tracker.vot.errors import VotError
from tracker.vot.soundness import check_letters
from tracker.vot.workspace import Workspace, made

_log = logging.getLogger(__name__)
_SHOWN_PROBLEMS = 8


def check_data(workspace: Workspace, source: Path | None) -> None:
    """VotError when `prepare_data` would find no data, or none that can be converted."""
    if source is not None and not is_dataset(source):
        find_sources(source.resolve())
    elif is_dataset(workspace.sequences) or workspace.folder == DEFAULT_WORKSPACE:
        return
    elif not workspace.stack().get("dataset"):
        raise VotError(f"{workspace.sequences} holds no data set (no list.txt)")


def check_paths(workspace: Workspace, tracker: str) -> None:
    """VotError when the tracker is run by TraX and it cannot carry the paths of the frames."""
    if "trax" not in str(registry.own_section(workspace, tracker).get("protocol")):
        return
    if is_dataset(workspace.sequences):
        for name in read_names(workspace.sequences):
            check_letters(frames_pattern(workspace.sequences / name))
    else:
        check_letters(workspace.sequences)


def prepare_data(workspace: Workspace, source: Path | None, force: bool = False) -> None:
    """See that the workspace has its data: demo data are made, `source` is converted.

    The data of a challenge stack are downloaded by the toolkit itself. VotError as `check_data`.
    force: a source that has changed is converted again.
    """
    check_data(workspace, source)
    if source is not None and not is_dataset(source):
        convert_into(workspace, source.resolve(), force)
    elif is_dataset(workspace.sequences):
        return
    elif workspace.folder == DEFAULT_WORKSPACE:
        demo.make_demo(workspace.sequences)
    else:
        _log.info("the toolkit downloads %s; this may take long", workspace.stack()["dataset"])


def evaluate(
    workspace: Workspace, tracker: str, force: bool = False, persist: bool = False
) -> None:
    """Run `vot evaluate` and check what it left; VotError says what is missing, and why.

    force: throw old results away. persist: after an error go on with the next sequence.
    """
    with toolkit.exclusive(workspace):
        _evaluate(workspace, tracker, force, persist)


def _evaluate(workspace: Workspace, tracker: str, force: bool, persist: bool) -> None:
    """As `evaluate`, in a workspace that is held."""
    registry.check_known(workspace, tracker)
    if force:
        toolkit.remove_folder(workspace.results(tracker))
    elif is_dataset(workspace.sequences):
        for text in results.remove_damaged(workspace, tracker):
            _log.warning("removed a damaged result, to be run again: %s", text)
        if reason := record.stale(workspace, tracker):
            _log.warning("%s", reason)
    with toolkit.analysing(workspace):
        toolkit.clear_cache(workspace)
    known = logs.Logs(workspace, tracker)
    options = ["--persist"] if persist else []
    with record.recorded(workspace, tracker):
        run = toolkit.run_toolkit(workspace, "evaluate", *options, tracker)
    if not is_dataset(workspace.sequences):
        raise VotError(
            f"the toolkit made no data set:\n{run.tail()}\nwhole output: {run.log}\n"
            "With the data set at hand, name its folder (the one with list.txt): SEQUENCES=..."
        )
    problems = [p for p in results.check_results(workspace, tracker) if p.fatal]
    if problems:
        raise VotError(_failure(workspace, tracker, run, problems, known))


def _failure(
    workspace: Workspace,
    tracker: str,
    run: toolkit.ToolkitRun,
    problems: list[results.Problem],
    known: logs.Logs,
) -> str:
    """What is wrong, the toolkit's last words and what was added to the logs since `known`."""
    total = len(workspace.expected(tracker))
    lines = [f"{tracker}: {len(problems)} of {total} trajectories are missing or unsound"]
    lines += [f"  {problem}" for problem in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > _SHOWN_PROBLEMS:
        lines.append(f"  and {len(problems) - _SHOWN_PROBLEMS} more")
    lines += ["end of the toolkit's output:", run.tail(), f"whole output: {run.log}"]
    for log, end in known.added():
        lines += [f"end of {log}:", end]
    return "\n".join(lines)


def _workspace(args: argparse.Namespace) -> Workspace:
    """The workspace that the arguments mean, made when it passes all checks; VotError tells."""
    workspace = plan(args)
    registry.check_known(workspace, args.tracker)
    check_data(workspace, args.sequences)
    check_paths(workspace, args.tracker)
    return made(workspace)


def main(argv: list[str]) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tracker evaluate", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--force", action="store_true", help="throw old results away, run again")
    parser.add_argument(
        "--persist", action="store_true", help="after an error go on with the next sequence"
    )
    args = parser.parse_args(argv)
    try:
        workspace = _workspace(args)
        with toolkit.exclusive(workspace):
            prepare_data(workspace, args.sequences, args.force)
            _evaluate(workspace, args.tracker, args.force, args.persist)
        scores.show(workspace, args.tracker)
    except (VotError, OSError) as error:
        print(f"\nevaluate failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\ninterrupted; finished sequences are kept, the rest runs next time", file=sys.stderr
        )
        return INTERRUPTED
    return 0
