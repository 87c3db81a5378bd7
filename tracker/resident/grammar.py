"""The lines a TraX client may send, checked before libtrax reads them.

libtrax trusts its input: a mask of more pixels than there is memory, an image that is no path, or a
client that goes between two lines of a request crash it or keep it busy for ever. Only what passes
here, written anew in libtrax's own form, reaches it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from tracker.prompts import LARGEST
from tracker.regions import MOST_PIXELS

MOST_TOTAL_PIXELS = 1 << 32
"""Pixels of all masks of one request; libtrax holds a byte for each."""

MOST_OBJECTS = 10_000
"""Objects in one request."""

_PREFIX = b"@@TRAX:"
_SHOWN = 60
_TOKEN = re.compile(r' +(?:"((?:[^"\\]|\\.)*)"|([^\s"\\]+))')
_PROPERTY = re.compile(r"([A-Za-z0-9._]{1,64})=(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class SessionError(Exception):
    """The session cannot go on; the message says why."""


@dataclass(frozen=True)
class Message:
    """One line: its kind (initialize, frame, quit), arguments, and properties in their order."""

    kind: str
    arguments: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()

    def encode(self) -> bytes:
        """The line as libtrax writes it."""
        texts = [*self.arguments, *(f"{key}={value}" for key, value in self.properties)]
        quoted = "".join(f'"{_escaped(text)}" ' for text in texts)
        return f"@@TRAX:{self.kind} {quoted}\n".encode("ascii")


def parse_line(line: bytes) -> Message | None:
    """The message in a line without its newline; None when the line is none, as libtrax sees it.

    Raises SessionError for a message that a client may not send.
    """
    if not line.startswith(_PREFIX):
        return None
    text = _ascii(line.rstrip(b"\r ")[len(_PREFIX) :])
    kind, arguments, properties = _split(text)
    if kind == "quit":
        return Message(kind)
    if kind == "initialize":
        if len(arguments) > 1:
            raise SessionError(f"`initialize` takes one region, not {len(arguments)} arguments")
        for region in arguments:
            check_region(region)
    elif kind == "frame":
        _check_images(arguments)
    else:
        raise SessionError(f"a client sends initialize, frame or quit, not {kind[:_SHOWN]!r}")
    return Message(kind, tuple(arguments), tuple(properties))


def check_region(region: str) -> int:
    """How many pixels of memory a region takes (masks only); SessionError when it is no region."""
    scheme, colon, values = region.rpartition(":")
    if "_" in region:  # a digit separator to Python, the end of the number to libtrax
        raise SessionError(f"not a region: {region[:_SHOWN]!r}")
    if scheme == "mask" and colon:
        return _check_mask(values)
    if scheme or colon:
        raise SessionError(f"not a region: {region[:_SHOWN]!r}")
    try:
        numbers = [float(value) for value in values.split(",")]
    except ValueError:
        raise SessionError(f"not a region: {region[:_SHOWN]!r}") from None
    if not all(math.isfinite(number) and abs(number) <= LARGEST for number in numbers):
        raise SessionError(f"a region far outside any image: {region[:_SHOWN]!r}")
    if len(numbers) not in (1, 4) and (len(numbers) < 6 or len(numbers) % 2):
        raise SessionError(f"{len(numbers)} numbers are no region: {region[:_SHOWN]!r}")
    return 0


def _check_mask(values: str) -> int:
    try:
        x, y, width, height, *runs = [int(value) for value in values.split(",")]
    except ValueError:
        raise SessionError(f"not a mask: {values[:_SHOWN]!r}") from None
    if max(abs(x), abs(y)) > LARGEST:
        raise SessionError(f"a mask far outside any image, at ({x}, {y})")
    if min(width, height) < 1 or width * height > MOST_PIXELS:
        raise SessionError(f"a mask of {width} x {height} pixels; there are 1 to {MOST_PIXELS}")
    if min(runs, default=0) < 0 or sum(runs) > width * height:
        raise SessionError(f"the runs of a mask do not fit its box of {width} x {height} pixels")
    return width * height


def _check_images(arguments: list[str]) -> None:
    if len(arguments) != 1:
        raise SessionError(f"`frame` takes one image (colour), not {len(arguments)}")
    if not arguments[0].startswith("file://") or arguments[0] == "file://":
        raise SessionError(
            f"the request has no colour image given by its path: {arguments[0][:_SHOWN]!r}"
        )


def _ascii(line: bytes) -> str:
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError:
        raise SessionError(
            "the request could not be read; libtrax takes no file names with letters outside "
            "ASCII: are there any in the path of the sequences?"
        ) from None
    if not text.isprintable():
        raise SessionError(f"a request with control characters: {text[:_SHOWN]!r}")
    return text


def _split(text: str) -> tuple[str, list[str], list[tuple[str, str]]]:
    kind = text.partition(" ")[0]
    position = len(kind)
    arguments, properties = [], []
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise SessionError(f"a request that is not well formed: {text[:_SHOWN]!r}")
        position = token.end()
        quoted, bare = token.groups()
        value = _ESCAPE.sub(_unescape, quoted) if bare is None else bare
        found = _PROPERTY.fullmatch(value)
        if found:
            properties.append((found[1], found[2]))
        else:
            arguments.append(value)
    return kind, arguments, properties


def _unescape(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
