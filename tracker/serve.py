"""The TraX server: `python -m tracker serve`. Regions: `tracker.trax_regions`.

One session is one client: greeting, then requests until the client leaves. Any number of
`initialize` requests may come, each forgets everything before it; a `frame` request may bring new
objects. Every reply has one region per object, in order of arrival.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import select
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import trax

from tracker.frames import FrameError
from tracker.frames_ahead import FramesAhead
from tracker.labels import MaskError
from tracker.resident import refusal
from tracker.resident.grammar import SessionError
from tracker.resident.jobs import Job
from tracker.resident.loading import (
    ResultLike,
    TrackerLike,
    explain,
    load,
    log_failure,
    time_limit,
)
from tracker.resident.options import OptionsError, ServeOptions, options_from, parser
from tracker.resident.places import Place, PlaceError, log_path, place_of, runtime_folder
from tracker.resident.requests import Requests
from tracker.trax_regions import KINDS, answer_of, object_of

logger = logging.getLogger(__name__)

_DESCRIPTION = (
    "The resident TraX server: loads the models once and serves one session after another. "
    "trackers.ini starts it by itself when it is needed; by hand it stays in the foreground."
)
# The toolkit takes any failure in the first 0.1 s of a tracker process for a time-out.
_FALSE_TIMEOUT_SECONDS = 0.25

EXPLAINED = (SessionError, FrameError, MaskError)
"""What a client sent wrong: the message says it all, a traceback says nothing more."""


def run_session(
    tracker: TrackerLike,
    input_fd: int,
    output_fd: int,
    log: Path,
    shall_end: Callable[[], str | None] | None = None,
) -> str | None:
    """One TraX session over two pipes, with a tracker whose models are loaded.

    `log` is named to the client as the place of the traceback.
    `shall_end` is asked while the session waits for the client: a text ends it with that reason.
    Returns None when the client has left in good order, else the reason, which the client has
    been told and the log holds, with its traceback unless it is EXPLAINED. The pipes stay open.
    """
    begin = time.monotonic()
    server = None

    def ending() -> str | None:
        return (shall_end and shall_end()) or _unread(output_fd)

    try:
        with Requests(input_fd) as requests, contextlib.closing(FramesAhead()) as frames:
            server = _greet(tracker, requests.fileno(), output_fd)
            session = _Session(tracker, frames)
            while True:
                requests.admit(ending)
                request = server.wait()
                if request.type == trax.TraxStatus.QUIT:
                    return None
                server.status(session.answer(request))
                tracker.settle()
    except (Exception, KeyboardInterrupt) as error:
        explained = isinstance(error, EXPLAINED)
        logger.error("session failed: %s", explain(error), exc_info=not explained)
        reason = str(error) if explained else explain(error)
        time.sleep(max(0.0, begin + _FALSE_TIMEOUT_SECONDS - time.monotonic()))
        if server is not None:
            with contextlib.suppress(trax.TraxException):
                server.quit(reason=refusal.one_line(f"{reason} (log: {log})"))
        return reason
    finally:
        tracker.reset()


def _unread(output_fd: int) -> str | None:
    """Why answers are written in vain, None while the client can read them."""
    poll = select.poll()
    poll.register(output_fd, 0)
    return "the client has closed the pipe of the answers" if poll.poll(0) else None


class _Session:
    """Answers the requests of one client."""

    def __init__(self, tracker: TrackerLike, frames: FramesAhead) -> None:
        self._tracker = tracker
        self._frames = frames
        self._kinds: list[str] = []
        self._note = refusal.one_line(str(getattr(tracker, "weights_note", "")))

    def answer(self, request: trax.server.Request) -> list[tuple[trax.Region, dict[str, str]]]:
        """The objects in the frame of this request, each with its properties."""
        image = self._frames.read(_path_of(request))
        regions = [region for region, _ in request.objects or []]
        objects = [object_of(region, image.shape[:2]) for region in regions]
        if request.type == trax.TraxStatus.INITIALIZE:
            self._kinds = []
        known = len(self._kinds)
        self._kinds += [region.type for region in regions]
        if request.type == trax.TraxStatus.INITIALIZE:
            result = self._tracker.initialize(image, objects)
        elif objects:
            result = self._tracker.add_objects(image, objects)
        else:
            result = self._tracker.track(image)
        if len(result.confidence) != len(self._kinds):
            raise RuntimeError(
                f"the tracker answered {len(result.confidence)} objects for {len(self._kinds)}"
            )
        return self._reply(result, known)

    def _reply(self, result: ResultLike, known: int) -> list[tuple[trax.Region, dict[str, str]]]:
        """Regions with "confidence", and in an object's first frame "weights"."""
        from tracker.regions import regions_of

        reply = []
        for index, region in enumerate(regions_of(result.labels, len(self._kinds))):
            properties = {"confidence": f"{float(result.confidence[index]):.4f}"}
            if self._note and index >= known:
                properties["weights"] = self._note
            reply.append((answer_of(region, self._kinds[index]), properties))
        return reply


def _greet(tracker: TrackerLike, input_fd: int, output_fd: int) -> trax.Server:
    """Say hello over these pipes. No property `vot`: with it the toolkit starts everything twice.

    libtrax takes the descriptors out of the environment and leaves them open afterwards.
    """
    os.environ["TRAX_IN"], os.environ["TRAX_OUT"] = str(input_fd), str(output_fd)
    try:
        return trax.Server(
            list(KINDS),
            ["path"],
            ["color"],
            tracker_name="HQTrack",
            tracker_description=refusal.one_line(str(getattr(tracker, "weights_note", ""))),
            multiobject=True,
        )
    finally:
        del os.environ["TRAX_IN"], os.environ["TRAX_OUT"]


def _path_of(request: trax.server.Request) -> Path:
    image = request.image.get("color")
    if not isinstance(image, trax.FileImage):
        raise SessionError("the request has no colour image given by its path")
    return Path(image.path())


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
