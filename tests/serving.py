"""What the tests of the server share: clients as the toolkit is one, tiny frames, clean-up."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import trax
from trax.client import Client

from tracker.resident import launch, wire

PROJECT = Path(__file__).resolve().parents[1]
SHAPE = (48, 64)
FACTORY = ("--factory", "static_tracker:make")
_LONGEST_CLIENT_SECONDS = 120
"""Then a session is taken to hang: its process is killed, so that its client returns."""


def write_frame(path: Path, shape: tuple[int, int] = SHAPE) -> Path:
    """A grey frame with a gradient."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.tile(np.linspace(0, 255, shape[1], dtype=np.uint8), (shape[0], 1))
    cv2.imwrite(str(path), np.repeat(image[:, :, None], 3, axis=2))
    return path


def square(x: int, y: int, size: int = 8) -> np.ndarray:
    """A mask [H, W] bool with a square."""
    mask = np.zeros(SHAPE, bool)
    mask[y : y + size, x : x + size] = True
    return mask


class Session:
    """One TraX client with its tracker process, as the toolkit runs them."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.text: list[str] = []
        self._folder = folder
        self._guard = threading.Timer(_LONGEST_CLIENT_SECONDS, process.kill)
        self._guard.daemon = True
        self._guard.start()
        streams = (process.stdin.fileno(), process.stdout.fileno())
        self.client = Client(streams, log=self.text.append)

    def image(self, name: str) -> dict[str, trax.Image]:
        path = self._folder / f"{name}.png"
        if not path.exists() and "missing" not in name:
            write_frame(path)
        return {"color": trax.FileImage.create(str(path))}

    def initialize(self, *objects: object, name: str = "frame") -> list:
        return self._answers(self.client.initialize(self.image(name), _regions(objects), {}))

    def frame(self, *objects: object, name: str = "frame") -> list:
        return self._answers(self.client.frame(self.image(name), {}, _regions(objects)))

    def quit(self) -> int:
        """End the session; the exit status of the tracker process, which has 3 s as in `vot`."""
        self._terminate()
        try:
            return self.process.wait(3)
        finally:
            self.close()

    def _terminate(self) -> None:
        # libtrax calls the log of a client that was not ended after Python has freed it.
        with contextlib.suppress(trax.TraxException):
            self.client.quit()

    def close(self) -> None:
        self._guard.cancel()
        self._terminate()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def _answers(self, answer: tuple) -> list:
        """Masks as [H, W] bool, rectangles as (x, y, w, h), polygons as lists of (x, y)."""
        self.properties = [properties for _, properties in answer[0]]
        return [_plain(region) for region, _ in answer[0]]


def _plain(region: trax.Region) -> np.ndarray | tuple | list:
    if region.type == trax.Region.RECTANGLE:
        return region.bounds()
    if region.type == trax.Region.POLYGON:
        return list(region)
    full = np.zeros(SHAPE, bool)
    x, y = region.offset()
    crop = region.array()
    full[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    return full


class Station:
    """A private runtime folder and the servers in it; everything ends with `close`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hq"))
        self.runtime = self.folder / "run"
        self.loads_file = self.folder / "loads"
        self.log = self.runtime / "hqtrack.log"
        self.sessions: list[Session] = []
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("HQTRACK", "TRAX"))},
            "HQTRACK_RUNTIME_DIR": str(self.runtime),
            "HQTRACK_IDLE_SECONDS": "300",
            "STATIC_LOADS": str(self.loads_file),
            "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "tests")]),
            "OMP_NUM_THREADS": "1",
        }

    @property
    def loads(self) -> int:
        return len(self.loads_file.read_text().split()) if self.loads_file.exists() else 0

    def spawn(
        self,
        *arguments: str,
        module: str = "tracker.attach",
        factory: tuple[str, ...] = FACTORY,
        cwd: Path | None = None,
        **env: str,
    ) -> subprocess.Popen[bytes]:
        """A tracker process on pipes, started as the toolkit does."""
        return subprocess.Popen(
            [sys.executable, "-m", *module.split(), *factory, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env={**self.environment, **env},
            cwd=cwd or self.folder,
        )

    def session(self, *arguments: str, **env: str) -> Session:
        session = Session(self.spawn(*arguments, **env), self.folder)
        self.sessions.append(session)
        return session

    def in_process(self, *arguments: str, **env: str) -> Session:
        return self.session("--in-process", *arguments, **env)

    def states(self) -> list[dict]:
        """What every server in this folder says of itself."""
        found = []
        for path in sorted(self.runtime.glob("*.sock")):
            connection = launch.connect(path)
            if connection is not None:
                with connection:
                    wire.send(connection, {"op": "status"})
                    found.append(wire.Messages(connection).next(10))
        return [state for state in found if state]

    def close_sessions(self) -> None:
        for session in self.sessions:
            session.close()
        self.sessions.clear()

    def close(self) -> None:
        self.close_sessions()
        for state in self.states():
            with contextlib.suppress(ProcessLookupError):
                os.kill(state["pid"], signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def station() -> Iterator[Station]:
    result = Station()
    try:
        yield result
    finally:
        result.close()


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def _regions(objects: tuple) -> list:
    """Masks [H, W] as whole-frame regions, (x, y, w, h) as rectangles, regions as they are."""
    regions = []
    for item in objects:
        if isinstance(item, np.ndarray):
            item = trax.Mask.create(np.ascontiguousarray(item, np.uint8))
        elif isinstance(item, tuple):
            item = trax.Rectangle.create(*item)
        regions.append((item, {}))
    return regions
