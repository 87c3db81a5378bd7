"""Clients that send what they should not, against `run_session` with a tracker without a model.

`python -m tests.fuzzing SEED MESSAGES` prints how sessions ended, as JSON. Run as a process of its
own, a crash or a hang of libtrax is seen from outside; the seed of the session is in the file
SEED_FILE (environment) then.
"""

from __future__ import annotations

import collections
import faulthandler
import json
import logging
import os
import random
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from tests.serving import SHAPE, write_frame
from tracker import trax_session
from tracker.labels import masks_to_labels
from tracker.resident import refusal, requests
from tracker.stages import FrameResult

SESSION_SECONDS = 20
ATOMS = (
    *("mask:0,0,12,10,27,4,8,4,8,4", "mask:3,4,12,10", "mask:-9,-9,12,10,0,120", "mask:60,40,9,9"),
    *("mask:0,0,12,10,27", "mask:0,0,0,0", "mask:0,0,-5,10,3", "mask:0,0,2,2,500", "mask:", "mask"),
    *("mask:0,0,2,2,1,1,1,1,1,1,1", "mask:0,0,99999,99999,1", "mask:0,0,2147483647,2,1", "mask:a"),
    *("mask:0,0,46341,46341,2147483647", "mask:1,2,3,4,-5", "mask:0.5,0,2,2,4", "rect:1,2,3,4"),
    *("1.0,2.0,30.0,20.0", "1,2,3", "1,2,3,4,5", "1,2,30,4,5,60", "nan,nan,nan,nan", "0", "-1", ""),
    *("1e99,1e99,1e99,1e99", "-50,-50,3,3", "special:1", "file:///nowhere.png", "file://", "data:"),
    *("http://a/b.png", "image:10;10;gray8;AAAA", "image:99999;99999;rgb;AAAA", "image:-1;-1;rgb;"),
    *("data:image/jpeg;base64,AAAA", "a=b", "=b", "a=", "trax.reason=x", "x" * 5000, "%s%n%x"),
    *('"', "\\", "\n", "\\n", "é", "\x00", "\x1b[31m", "file:///a\nb.png", "k" * 70 + "=1"),
)
KINDS = ("initialize", "frame", "quit", "hello", "state", "status", "nonsense", "", "INITIALIZE")


class Still:
    """Answers the masks it was given, as long as the frame keeps its size."""

    def __init__(self) -> None:
        self.masks: list[np.ndarray] = []

    def initialize(self, image: np.ndarray, masks: list[np.ndarray]) -> FrameResult:
        self.reset()
        return self.add_objects(image, masks)

    def track(self, image: np.ndarray) -> FrameResult:
        return self.add_objects(image, [])

    def add_objects(self, image: np.ndarray, masks: list) -> FrameResult:
        # what is no mask is a prompt: its object is absent
        self.masks += [m if isinstance(m, np.ndarray) else np.zeros(SHAPE, bool) for m in masks]
        count = len(self.masks)
        return FrameResult(masks_to_labels(np.array(self.masks)), np.ones(count), np.ones(count))

    def settle(self) -> None:
        pass

    def reset(self) -> None:
        self.masks = []


def session_bytes(choice: random.Random, image: Path) -> bytes:
    """What one client writes: sound requests, then something odd, then sound ones again."""
    sound = b"".join(
        _sound(choice, image, first) for first in (True, *[False] * choice.randint(0, 9))
    )
    tail = b"".join(_odd(choice, image) for _ in range(choice.randint(1, 4)))
    rest = _sound(choice, image, True) + b"@@TRAX:quit \n"
    return sound + tail + rest[: choice.choice([0, len(rest), choice.randrange(len(rest))])]


def _sound(choice: random.Random, image: Path, first: bool) -> bytes:
    lines = ["some text that is no message"] * (choice.random() < 0.1)
    count = choice.choice([1, 2, 12]) if first else choice.choice([0, 0, 0, 1])
    lines += [f'@@TRAX:initialize "{choice.choice(ATOMS[:4])}" "key=value" '] * count
    return "\n".join([*lines, f'@@TRAX:frame "file://{image}" \n']).encode()


def _odd(choice: random.Random, image: Path) -> bytes:
    kind = choice.randrange(4)
    if kind == 0:
        return choice.randbytes(choice.randrange(300)) + b"\n" * choice.randrange(2)
    if kind == 1:
        return _mutated(choice, bytearray(_sound(choice, image, True)))
    if kind == 2:
        return b"@@TRAX:initialize \n" + b"@@TRAX:initialize \n" * choice.randrange(3)
    texts = [choice.choice(ATOMS) for _ in range(choice.choice([0, 1, 1, 1, 2, 5]))]
    quote = choice.choice(['"{}"', '"{}"', "{}", '"{}'])
    line = " ".join([f"@@TRAX:{choice.choice(KINDS)}", *(quote.format(text) for text in texts)])
    return line.encode() + choice.choice([b"\n", b" \n", b"", b"\r\n"])


def _mutated(choice: random.Random, data: bytearray) -> bytes:
    for _ in range(choice.randint(1, 4)):
        place = choice.randrange(len(data))
        act = choice.randrange(3)
        if act == 0:
            data[place] = choice.randrange(256)
        elif act == 1:
            del data[place : place + choice.randint(1, 9)]
        else:
            data[place:place] = choice.choice(
                [b'"', b",", b"\\", b":", b"0", b"-", b"@", b"=", b"\n"]
            )
    return bytes(data)


def run_one(data: bytes) -> str | None:
    """One session with a client that writes `data` and closes; how `run_session` ended."""
    (from_client, to_server), (from_server, to_client) = os.pipe(), os.pipe()
    threads = [
        threading.Thread(target=_write, args=(to_server, data)),
        threading.Thread(target=_drain, args=(from_server,)),
    ]
    for thread in threads:
        thread.start()
    try:
        return trax_session.run_session(Still(), from_client, to_client, Path("the.log"))
    finally:
        os.close(from_client)
        os.close(to_client)
        for thread in threads:
            thread.join()


def _write(fd: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(fd, data) :]
    except BrokenPipeError:
        pass  # the server has ended the session before
    finally:
        os.close(fd)


def _drain(fd: int) -> None:
    while os.read(fd, 1 << 16):
        pass
    os.close(fd)


def main(seed: int, messages: int) -> None:
    """Sessions until the server has looked at so many lines."""
    refusal.FALSE_TIMEOUT_SECONDS = 0.0
    logging.disable(logging.CRITICAL)
    lines = [0]
    parse_line = requests.parse_line

    def counted(line: bytes) -> object:
        lines[0] += 1
        return parse_line(line)

    requests.parse_line = counted
    reasons: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        image = write_frame(Path(folder) / "frame.png")
        while lines[0] < messages:
            seed += 1
            Path(os.environ["SEED_FILE"]).write_text(str(seed))
            faulthandler.dump_traceback_later(SESSION_SECONDS, exit=True)
            reasons[str(run_one(session_bytes(random.Random(seed), image)))[:70]] += 1
            faulthandler.cancel_dump_traceback_later()
    open_fds = len(list(Path("/dev/fd").iterdir()))
    said = {"messages": lines[0], "sessions": reasons.total(), "descriptors": open_fds}
    print(json.dumps(said | {"reasons": reasons, "threads": threading.active_count()}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
