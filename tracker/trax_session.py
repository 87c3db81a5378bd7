"""One session of a TraX client: greeting, then requests until the client leaves.

Any number of `initialize` requests may come, each forgets everything before it; a `frame` request
may bring new objects. Every reply has one region per object, in order of arrival. Regions:
`tracker.trax_regions`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time
from collections.abc import Callable
from pathlib import Path

import trax

from tracker.frames import FrameError
from tracker.frames_ahead import FramesAhead
from tracker.labels import MaskError
from tracker.resident import refusal
from tracker.resident.grammar import SessionError
from tracker.resident.loading import ResultLike, TrackerLike, explain
from tracker.resident.requests import Requests
from tracker.trax_regions import KINDS, answer_of, object_of

logger = logging.getLogger(__name__)

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
        time.sleep(max(0.0, begin + refusal.FALSE_TIMEOUT_SECONDS - time.monotonic()))
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
