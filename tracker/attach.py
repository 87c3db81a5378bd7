"""What trackers.ini starts for every sequence: hands its two pipes to the resident server.

    python -m tracker.attach [--preset NAME] [...]        (the options of `python -m tracker serve`)

It starts in a fraction of a second, imports nothing heavy, and stays as long as the session does:
the toolkit watches, and may kill, this process. Its exit status is 0 after a good session. When
there is no session to be had, the reason goes to the client through the protocol (the toolkit
shows it), and to stderr, which `vot test` shows and the toolkit's own log files keep. Of the folder
protocol the toolkit shows neither: there the reason goes to the server's log as well.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.exits import INTERRUPTED
from tracker.resident import refusal, wire
from tracker.resident.options import OptionsError, ServeOptions, options_from, parser, preset_of
from tracker.resident.places import Place, PlaceError, log_path, place_of, runtime_folder
from tracker.resident.refusal import say
from tracker.threads import wait_briefly

if TYPE_CHECKING:
    from tracker.resident.launch import Link

_DESCRIPTION = "Run one TraX session in the resident server, which is started when there is none."
_ATTEMPTS = 3
_RETRY_SECONDS = 0.2
# The server has its own limit for loading; this is for one that cannot keep it.
_SPARE_SECONDS = 30.0


class _RetryError(Exception):
    """The server went before this session began, and not because of it."""


class _RefusedError(Exception):
    """There is no session to be had; the reason."""


def main(argv: list[str] | None = None, folder: str | None = None) -> int:
    """Run one session; returns the exit status.

    folder: one of the toolkit's folder protocol (`tracker.folder`), in place of TraX on the pipes.
    """
    wait_briefly(os.environ)
    options_parser = parser("python -m tracker.attach", _DESCRIPTION)
    try:
        options = options_from(options_parser.parse_args(argv))
        if folder is None and sys.stdin.isatty():
            raise SystemExit("this command speaks TraX on its pipes: let `vot` start it")
        return _attach(options, folder)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        known = isinstance(error, (OptionsError, _RefusedError))
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        say(reason)
        if folder is None:
            refusal.refuse(0, 1, reason)
        else:
            with contextlib.suppress(PlaceError):
                _log(log_path(runtime_folder(), preset_of(argv)), reason)
        return 1


def _attach(options: ServeOptions, folder: str | None) -> int:
    place = None if options.in_process else _place(options)
    if place is None:
        return _in_process(options, folder)
    from tracker.resident.launch import connect_or_start

    for _ in range(_ATTEMPTS):
        try:
            link = connect_or_start(options, place)
        except OSError as error:
            say(f"no Unix socket at {place.socket} ({error}): loading the models in this process")
            return _in_process(options, folder)
        try:
            with link.connection:
                return _session(options, place, link, folder)
        except _RetryError:
            time.sleep(_RETRY_SECONDS)
    raise _RefusedError(f"the resident server went away {_ATTEMPTS} times; its log: {place.log}")


def _place(options: ServeOptions) -> Place | None:
    """Where the resident server is to be found, None where there can be none."""
    if not hasattr(socket, "AF_UNIX") or not hasattr(socket, "send_fds"):
        return None
    try:
        return place_of(options)
    except PlaceError as error:
        say(f"{error}; loading the models in this process")
        return None


def _session(options: ServeOptions, place: Place, link: Link, folder: str | None) -> int:
    """From handing over the pipes to the end of the session."""
    if link.process is not None:
        say(f"starting the resident server, process {link.process.pid}; its log: {place.log}")
    messages = wire.Messages(link.connection)
    try:
        wire.send(link.connection, {"op": "session", "folder": folder}, fds=(0, 1))
        _await_turn(options, place, link, messages)
    except ConnectionError as error:
        raise _gone(place, link, ready=False) from error
    # From here on the pipes belong to the server; nothing may be printed while it lives.
    message = messages.next()
    if message is not None and message.get("event") == "end":
        if folder is not None and message.get("reason"):
            say(f"{message['reason']} (log: {place.log})")
        return 0 if message.get("ok") else 1
    cause = message.get("reason") if message else _death(place, link)
    reason = f"the resident server ended during this session: {cause}; {place.log}"
    if folder is None:
        refusal.end_session(1, reason)
    else:
        say(reason)
        _log(place.log, reason)
    return 1


def _log(log: Path, reason: str) -> None:
    """Add a line to a server's log, where the reason would be if the server could write it."""
    when, text = time.strftime("%Y-%m-%d %H:%M:%S"), refusal.one_line(reason)
    with contextlib.suppress(OSError), log.open("a") as file:
        file.write(f"{when} {os.getpid()} ERROR tracker.folder: {text}\n")


def _await_turn(options: ServeOptions, place: Place, link: Link, messages: wire.Messages) -> None:
    """Wait until the server has loaded its models and begins this session."""
    limit = options.start_seconds + _SPARE_SECONDS if options.start_seconds else None
    ready = False
    while True:
        try:
            message = messages.next(timeout=None if ready else limit)
        except TimeoutError:
            raise _RefusedError(
                f"the resident server did not answer within {limit:g} s; stop it with "
                f"`python -m tracker stop` or kill its process; its log: {place.log}"
            ) from None
        if message is None:
            raise _gone(place, link, ready)
        event = message.get("event")
        if event == "started":
            return
        if event == "failed":
            raise _RefusedError(f"{message.get('reason')} (log: {place.log})")
        if event == "accepted" and message.get("ahead"):
            say(f"waiting for {message['ahead']} other session(s) of process {message['pid']}")
        ready = ready or event == "ready"


def _gone(place: Place, link: Link, ready: bool) -> Exception:
    """What follows when the server is gone before this session has begun."""
    if link.process is None or ready:
        return _RetryError()
    return _RefusedError(
        f"the resident server did not start: {_death(place, link)} (log: {place.log})"
    )


def _death(place: Place, link: Link) -> str:
    """What is known about the end of a server: its exit status, the last line of its log."""
    from tracker.resident.launch import last_line

    line = last_line(place.log, link.log_start)
    status = None
    if link.process is not None:
        try:
            status = link.process.wait(2)
        except Exception:
            status = None
    told = "it died" if status is None else f"it ended with status {status}"
    return f"{told}; the last line of its log: {line}" if line else told


def _in_process(options: ServeOptions, folder: str | None) -> int:
    from tracker.serve import serve_in_process

    return serve_in_process(options, folder)


if __name__ == "__main__":
    sys.exit(main())
