"""Telling the client a reason: a line on stderr, or the text of TraX, without libtrax.

The toolkit swallows what a tracker prints and says "Unable to connect to tracker" when it ends
before the greeting. So the greeting is given, the first request awaited, and the session ended
with the reason: the toolkit prints "Server terminated the session: REASON".
"""

from __future__ import annotations

import contextlib
import os
import select
import time

_HELLO = (
    '@@TRAX:hello "trax.name=HQTrack" "trax.family=" "trax.multiobject=1" "trax.image=path;" '
    '"trax.region=rectangle;mask;polygon;" "trax.description=" "trax.version=4" '
    '"trax.channels=color;" \n'
)
# The toolkit takes any failure in the first 0.1 s of a tracker process for a time-out.
FALSE_TIMEOUT_SECONDS = 0.25
_CLIENT_SECONDS = 10.0
_LONGEST_REASON = 1000


def one_line(text: str) -> str:
    """The text as one line of printable ASCII: libtrax loses everything from other letters on."""
    joined = " ".join(text.split()).encode("ascii", "backslashreplace").decode()
    kept = joined if len(joined) <= _LONGEST_REASON else joined[: _LONGEST_REASON - 3] + "..."
    return "".join(c for c in kept if c.isprintable())


def say(text: str, fd: int = 2) -> None:
    """One line on stderr, which the toolkit merges into the protocol: whole lines do no harm."""
    with contextlib.suppress(OSError):
        _write(fd, f"\nhqtrack: {one_line(text)}\n")


def refuse(input_fd: int, output_fd: int, reason: str) -> None:
    """Greet the client and end the session with the reason at its first request.

    Returns when that is done, when the client has left, or after 10 seconds.
    """
    time.sleep(FALSE_TIMEOUT_SECONDS)
    with contextlib.suppress(OSError):
        _write(output_fd, "\n" + _HELLO)
        if _wait_for_request(input_fd):
            _write(output_fd, _quit(reason))


def end_session(output_fd: int, reason: str) -> None:
    """End a session that another process has begun and cannot end itself any more."""
    time.sleep(FALSE_TIMEOUT_SECONDS)
    with contextlib.suppress(OSError):
        _write(output_fd, "\n" + _quit(reason))


def _quit(reason: str) -> str:
    escaped = one_line(reason).replace("\\", "\\\\").replace('"', '\\"')
    return f'@@TRAX:quit "trax.reason={escaped}" \n'


def _write(fd: int, text: str) -> None:
    data = text.encode()
    while data:
        data = data[os.write(fd, data) :]


def _wait_for_request(fd: int) -> bool:
    """Read lines to the end of a request; False when the client leaves, quits or says nothing.

    A first request is two lines, `initialize` with the objects and `frame` with the image.
    """
    deadline = time.monotonic() + _CLIENT_SECONDS
    line = b""
    while (left := deadline - time.monotonic()) > 0:
        # On Windows select knows no pipes: there the read waits without a limit.
        if os.name == "posix" and not select.select([fd], [], [], left)[0]:
            return False
        data = os.read(fd, 1 << 16)
        if not data:
            return False
        *lines, line = (line + data).split(b"\n")
        for found in lines:
            if found.lstrip().startswith((b"@@TRAX:frame", b"@@TRAX:quit")):
                return b"@@TRAX:frame" in found
    return False
