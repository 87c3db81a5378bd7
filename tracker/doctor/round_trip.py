"""One TraX session as the toolkit would run it: trackers.ini, `tracker.attach`, resident server.

Three frames with a bright square are sent; the square must come back. The protocol is spoken here
by hand, so that this works whatever is broken, and the reason of a failure is what the client of
the toolkit would have been told.
"""

from __future__ import annotations

import configparser
import os
import re
import select
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

from tracker.checkout import REGISTRY
from tracker.doctor.files import AS_UTF8
from tracker.doctor.finding import FAIL, NOTE, OK, Finding

WIDTH, HEIGHT, SIDE = 160, 120, 40
FRAMES = 3
SECONDS = 600.0
_IDLE_SECONDS = "10"
_WHAT = "round trip"


class RoundTripError(RuntimeError):
    """The session went wrong; the text says how."""


def check_round_trip(
    tracker: str, registry: Path = REGISTRY, seconds: float = SECONDS, log: str = ""
) -> Finding:
    """Whether a tracker of the registry answers; `log` is named as the place to look at.

    One of the folder protocol is not tried: it speaks no TraX.
    """
    begin = time.monotonic()
    try:
        settings = _settings(tracker, registry)
        if settings.get("protocol", "").startswith("folder"):
            text = f"{tracker}: not tried, {settings['protocol']} is no TraX"
            return Finding(_WHAT, NOTE, text, "HQTrack tries the same models")
        with tempfile.TemporaryDirectory() as folder:
            paths = [write_frame(Path(folder), number) for number in range(FRAMES)]
            share = _session(_process(settings, registry, folder), paths, seconds)
    except UnicodeDecodeError as error:
        return Finding(_WHAT, FAIL, f"{registry}: {error}", AS_UTF8)
    except (RoundTripError, OSError, configparser.Error, KeyError) as error:
        remedy = f"the reason stands here{f', more in {log}' if log else ''}"
        return Finding(_WHAT, FAIL, f"{tracker}: {error}", remedy)
    took = time.monotonic() - begin
    if share < 0.5:
        text = f"{tracker} answers, but its mask has an overlap of {share:.2f} with the object"
        return Finding(_WHAT, FAIL, text, "are the weights right? make weights; make stop")
    return Finding(_WHAT, OK, f"{tracker}: {FRAMES} frames in {took:.1f} s, overlap {share:.2f}")


def corner(number: int) -> tuple[int, int]:
    """Where the square lies in a frame, (x, y)."""
    return 30 + 6 * number, 40


def write_frame(folder: Path, number: int) -> Path:
    """A PNG, grey, with a white square in it."""
    left, top = corner(number)
    rows = []
    for y in range(HEIGHT):
        row = bytearray((40 + (x // 8 + y // 8) % 2 * 25) for x in range(WIDTH))
        if top <= y < top + SIDE:
            row[left : left + SIDE] = bytes([240]) * SIDE
        rows.append(b"\0" + bytes(row))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0)
    data = zlib.compress(b"".join(rows))
    path = folder / f"{number:08d}.png"
    chunks = [_chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _settings(tracker: str, registry: Path) -> dict[str, str]:
    """A section of the registry; RoundTripError where there is none."""
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string(registry.read_text(encoding="utf-8"), source=registry.name)
    if tracker not in parser:
        raise RoundTripError(f"no section [{tracker}] in {registry}")
    return dict(parser.items(tracker, raw=True))


def _process(settings: dict[str, str], registry: Path, folder: str) -> subprocess.Popen[bytes]:
    """The process that the toolkit starts for a section of the registry."""
    paths = settings.get("paths", ".").split(os.pathsep)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRAX")}
    environment |= {"HQTRACK_IDLE_SECONDS": _IDLE_SECONDS}
    for key, value in settings.items():
        if key.startswith("env_"):
            environment[key.removeprefix("env_")] = os.path.expandvars(value)
    environment["PYTHONPATH"] = os.pathsep.join(str(registry.parent / path) for path in paths)
    return subprocess.Popen(
        [settings.get("python", sys.executable), "-m", settings["command"]],
        cwd=folder, env=environment, bufsize=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def _session(process: subprocess.Popen[bytes], paths: list[Path], seconds: float) -> float:
    """The least overlap (IoU) of an answer with the square; RoundTripError."""
    deadline = time.monotonic() + seconds
    lines = _Lines(process, deadline)
    try:
        lines.until("hello")
        shares = []
        for number, path in enumerate(paths):
            start = f'@@TRAX:initialize "{_truth(number)}" \n' if number == 0 else ""
            process.stdin.write(f'{start}@@TRAX:frame "file://{path}" \n'.encode())
            shares.append(overlap(lines.until("state"), number))
        process.stdin.write(b"@@TRAX:quit \n")
        process.wait(max(0.0, deadline - time.monotonic()))
        return min(shares)
    except BrokenPipeError:
        lines.until("state")
        raise
    except subprocess.TimeoutExpired:
        raise RoundTripError("the session does not end") from None
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _truth(number: int) -> str:
    left, top = corner(number)
    return f"mask:{left},{top},{SIDE},{SIDE},0,{SIDE * SIDE}"


def overlap(line: str, number: int) -> float:
    """IoU of the mask in a line of the protocol with the square of a frame."""
    found = re.search(r"mask:(-?\d+),(-?\d+),(\d+),(\d+)((?:,\d+)*)", line)
    if found is None:
        raise RoundTripError(f"no mask in the answer: {line[:80]!r}")
    x, y, width = int(found[1]), int(found[2]), int(found[3])
    left, top = corner(number)
    position = area = shared = 0
    for index, run in enumerate(int(text) for text in found[5].split(",")[1:]):
        if index % 2:
            for place in range(position, position + run):
                column, row = x + place % width, y + place // width
                area += 1
                shared += left <= column < left + SIDE and top <= row < top + SIDE
        position += run
    return shared / (area + SIDE * SIDE - shared)


class _Lines:
    """The lines a tracker prints, with a deadline."""

    def __init__(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        self._process = process
        self._deadline = deadline
        self._pending = b""
        self._said: list[str] = []

    def until(self, kind: str) -> str:
        """The next message of a kind; RoundTripError with what was said when it does not come."""
        while True:
            while b"\n" not in self._pending:
                self._read()
            line, _, self._pending = self._pending.partition(b"\n")
            text = line.decode(errors="replace").strip()
            if text.startswith(f"@@TRAX:{kind}"):
                return text
            if text.startswith("@@TRAX:quit"):
                reason = re.search(r'trax\.reason=((?:[^"\\]|\\.)*)"', text)
                raise RoundTripError(reason[1] if reason else "the tracker ended the session")
            self._said += [text] if text else []

    def _read(self) -> None:
        left = self._deadline - time.monotonic()
        ready = left > 0 and select.select([self._process.stdout], [], [], left)[0]
        last = f"; it said: {' / '.join(self._said[-3:])}" if self._said else ""
        if not ready:
            raise RoundTripError(f"no answer in time{last}")
        data = os.read(self._process.stdout.fileno(), 1 << 16)
        if not data:
            raise RoundTripError(f"the tracker ended with status {self._process.wait()}{last}")
        self._pending += data
