"""What a TraX client sends, handed to libtrax one whole request at a time.

A request is some lines `initialize` (one per new object; one without a region forgets the old ones)
and a line `frame`, or a line `quit`. It is read here, where waiting can be ended, checked
(`tracker.resident.grammar`), and laid into a file that libtrax reads: so libtrax never waits, and
never meets the end of its input in the middle of a request.
"""

from __future__ import annotations

import os
import select
import tempfile
from collections.abc import Callable

from tracker.resident.grammar import (
    MOST_OBJECTS,
    MOST_TOTAL_PIXELS,
    Message,
    SessionError,
    check_region,
    parse_line,
)

LONGEST_LINE = 1 << 26
"""Bytes; a mask of pure noise in a 4K frame has a third of this."""

_CHUNK = 1 << 16
_POLL_MILLISECONDS = 500


class Requests:
    """The requests of one client, from its pipe `input_fd`. Use as a context manager."""

    def __init__(self, input_fd: int) -> None:
        self._input = input_fd
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self._pending = bytearray()
        self._objects = 0

    def __enter__(self) -> Requests:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fileno(self) -> int:
        """The descriptor from which libtrax reads."""
        return self._file.fileno()

    def admit(self, shall_end: Callable[[], str | None] | None = None) -> None:
        """Wait for a whole request and lay it out for libtrax, which must read it at once.

        `shall_end` is asked while waiting: a text ends the session with that reason.
        Raises SessionError: for that reason, because the client has left without `quit`, or
        because of what it has sent.
        """
        lines: list[bytes] = []
        pixels = 0
        while True:
            message = self._next(shall_end, begun=bool(lines))
            lines.append(message.encode())
            if message.kind == "quit":
                lines = lines[-1:]
                break
            if message.kind == "frame":
                break
            pixels += self._count(message)
            if len(lines) > MOST_OBJECTS or pixels > MOST_TOTAL_PIXELS:
                raise SessionError(
                    f"a request with {len(lines)} objects of {pixels} pixels; there may be "
                    f"{MOST_OBJECTS} objects of {MOST_TOTAL_PIXELS} pixels"
                )
        if message.kind == "frame" and not self._objects:
            raise SessionError("there is no object to track: `initialize` comes before `frame`")
        self._lay_out(b"".join(lines))

    def _count(self, message: Message) -> int:
        """Keep account of the objects; returns the pixels that the new one takes."""
        if not message.arguments:
            self._objects = 0
            return 0
        self._objects += 1
        return check_region(message.arguments[0])

    def _next(self, shall_end: Callable[[], str | None] | None, begun: bool) -> Message:
        while True:
            message = parse_line(self._line(shall_end, begun))
            if message is not None:
                return message

    def _line(self, shall_end: Callable[[], str | None] | None, begun: bool) -> bytes:
        searched = 0
        while (end := self._pending.find(b"\n", searched)) < 0:
            searched = len(self._pending)
            if searched > LONGEST_LINE:
                raise SessionError(f"the client sent a line of more than {LONGEST_LINE} bytes")
            if shall_end is not None:
                self._wait(shall_end)
            data = os.read(self._input, _CHUNK)
            if not data:
                inside = begun or self._pending.startswith(b"@@TRAX:")
                raise SessionError(
                    "the client has left in the middle of a request"
                    if inside
                    else "the client has left without ending the session"
                )
            self._pending += data
        line = bytes(self._pending[:end])
        del self._pending[: end + 1]
        return line

    def _wait(self, shall_end: Callable[[], str | None]) -> None:
        """Return when the client has written something or left."""
        poll = select.poll()
        poll.register(self._input, select.POLLIN)
        while True:
            reason = shall_end()
            if reason is not None:
                raise SessionError(reason)
            if poll.poll(_POLL_MILLISECONDS):
                return

    def _lay_out(self, data: bytes) -> None:
        """libtrax has read everything before; it shares the position in the file."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(data)
        self._file.seek(0)
