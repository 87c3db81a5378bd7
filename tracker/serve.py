"""The TraX server: `python -m tracker serve`. What a client is answered: `tracker.trax_session`."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tracker.resident import refusal
from tracker.resident.jobs import Job
from tracker.resident.loading import TrackerLike, explain, load, log_failure, time_limit
from tracker.resident.options import OptionsError, ServeOptions, options_from, parser
from tracker.resident.places import Place, PlaceError, log_path, place_of, runtime_folder
from tracker.trax_session import run_session

logger = logging.getLogger(__name__)

_DESCRIPTION = (
    "The resident TraX server: loads the models once and serves one session after another. "
    "trackers.ini starts it by itself when it is needed; by hand it stays in the foreground."
)


def run_job(
    tracker: TrackerLike, job: Job, log: Path, shall_end: Callable[[], str | None]
) -> str | None:
    """One session of the resident server, by either protocol; see `run_session`."""
    if job.folder is None:
        return run_session(tracker, job.input_fd, job.output_fd, log, shall_end)
    return _run_folder(tracker, job.folder, shall_end)


def _run_folder(
    tracker: TrackerLike, folder: str, shall_end: Callable[[], str | None] | None = None
) -> str | None:
    from tracker.folder_session import run_folder

    return run_folder(tracker, Path(folder), shall_end)


def serve_in_process(options: ServeOptions, folder: str | None = None) -> int:
    """Load the models in this process and run one session: over descriptors 0 and 1, or the
    sequence in a folder.

    Does not return: the process ends at once (0 after a good session), because a slow clean-up of
    the accelerator would be killed by the toolkit.
    """
    try:
        log = log_path(runtime_folder(), options.preset)
    except PlaceError:
        log = log_path(Path(tempfile.mkdtemp(prefix="hqtrack-")), options.preset)
    terminal = os.dup(2)
    input_fd, output_fd = _protect_pipes(log)
    _log_to_stderr()

    def refuse(reason: str) -> None:
        if folder is None:
            refusal.refuse(input_fd, output_fd, f"{reason} (log: {log})")
        else:
            refusal.say(f"{reason} (log: {log})", terminal)

    try:
        with time_limit(options.start_seconds, refuse):
            tracker = load(options)
    except (Exception, KeyboardInterrupt) as error:
        log_failure(error)
        refuse(explain(error))
        os._exit(1)
    if folder is None:
        status = run_session(tracker, input_fd, output_fd, log)
    else:
        status = _run_folder(tracker, folder)
        if status is not None:
            refuse(status)
    os._exit(0 if status is None else 1)


def _protect_pipes(log: Path) -> tuple[int, int]:
    """Move the protocol away from descriptors 0 and 1; whatever is printed goes to the log."""
    input_fd, output_fd = os.dup(0), os.dup(1)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, fd in ((nothing, 0), (target, 1), (target, 2)):
        os.dup2(source, fd)
    os.close(target)
    os.close(nothing)
    return input_fd, output_fd


def _log_to_stderr(handlers: Sequence[logging.Handler] = ()) -> None:
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s",
        handlers=[logging.StreamHandler(sys.stderr), *handlers],
        force=True,
    )


def _serve_resident(options: ServeOptions, place: Place, listener: socket.socket) -> int:
    """Run the server to its end. Does not return: see `serve_in_process`."""
    import faulthandler

    from tracker.resident.server import ResidentServer

    faulthandler.enable()
    os.dup2(2, 1)
    status = ResidentServer(listener, options, place, run_job).run()
    os._exit(status)


def main(argv: list[str]) -> int:
    """Serve; returns only when there is nothing to serve."""
    arguments = parser("python -m tracker serve", _DESCRIPTION)
    arguments.add_argument("--listener", type=int, help=argparse.SUPPRESS)
    arguments.add_argument("--identity", help=argparse.SUPPRESS)
    try:
        parsed = arguments.parse_args(argv)
        options = options_from(parsed)
    except OptionsError as error:
        arguments.print_usage(sys.stderr)
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.in_process:
        return serve_in_process(options)
    if parsed.listener is not None:
        _log_to_stderr()
        place = Place(runtime_folder(), parsed.identity, options.preset)
        return _serve_resident(options, place, socket.socket(fileno=parsed.listener))
    return _foreground(options)


def _foreground(options: ServeOptions) -> int:
    """A server started by hand: the same place as trackers.ini would use, log on the terminal."""
    from tracker.resident import launch

    try:
        place = place_of(options)
        with launch.locked(place.lock):
            connection = launch.connect(place.socket)
            if connection is not None:
                connection.close()
                print("it runs already; see `python -m tracker stop --list`", file=sys.stderr)
                return 1
            listener = launch.listen(place.socket)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    _log_to_stderr([logging.FileHandler(place.log)])
    logger.info("listening; stop with Ctrl-C or `python -m tracker stop`")
    return _serve_resident(options, place, listener)
