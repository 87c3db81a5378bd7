"""A bare TraX client that times the round trip of every frame with our real server.

The toolkit's client has a log callback that Python answers once per character; this one has none
unless it is asked to have one.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import trax
from trax import client as client_module
from trax.client import Client

from tracker.bench.job import Job
from tracker.bench.served import VARIABLE, Service
from tracker.checkout import on_python_path
from tracker.resident.launch import last_line

FACTORY = "tracker.bench.served:make"
LEAST_FRAMES = 3
_ENDING_SECONDS = 20


@dataclass
class RoundTrips:
    """Seconds per frame, as the client sees it and inside the tracker; memory in bytes.

    start_seconds: from starting the process to the first answer.
    """

    start_seconds: float = 0.0
    seconds: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    rss_peak: int | None = None
    cuda_peak: int | None = None


def round_trips(
    service: Service, warm_up: int, folder: Path, character_log: bool = False
) -> RoundTrips:
    """Start a server in process, run the clip of the service's job through it, end it.

    warm_up: frames that are not counted. RuntimeError, with the server's last words, when it fails.
    """
    order, words = folder / "service.pickle", folder / "server.log"
    order.write_bytes(pickle.dumps(service))
    service.record.unlink(missing_ok=True)
    begin = time.perf_counter()
    with words.open("wb") as log, _process(order, folder, log) as process:
        client = None
        try:
            client = _connect((process.stdin.fileno(), process.stdout.fileno()), character_log)
            return _run(client, service, warm_up, begin)
        except trax.TraxException as error:
            said = last_line(words)
            told = f"; the server's last words: {said}" if said else ""
            raise RuntimeError(f"the TraX session failed: {error}{told}") from error
        finally:
            if client is not None:
                with contextlib.suppress(trax.TraxException):
                    client.quit()


def _connect(streams: tuple[int, int], character_log: bool) -> Client:
    if character_log:
        return Client(streams, log=lambda _: None)
    # The binding cannot say "no log" (its own log=False fails); libtrax takes a null pointer.
    set_up = client_module.trax_logger_setup
    silent = client_module.trax_logger()

    def without_log(_: object, *rest: object) -> object:
        return set_up(silent, *rest)

    with mock.patch.object(client_module, "trax_logger_setup", without_log):
        return Client(streams, log=False)


def _run(client: Client, service: Service, warm_up: int, begin: float) -> RoundTrips:
    job = service.job
    found = RoundTrips()
    masks = np.ascontiguousarray(job.clip.masks(job.objects), np.uint8)
    client.initialize(_image(job, 0), [(trax.Mask.create(mask), {}) for mask in masks], {})
    found.start_seconds = time.perf_counter() - begin
    end = float("inf")
    for number in range(1, warm_up + job.frames + 1):
        if number == warm_up + 1 and job.seconds:
            end = time.monotonic() + job.seconds
        image = _image(job, number)
        start = time.perf_counter()
        client.frame(image, {}, [])
        if number > warm_up:
            found.seconds.append(time.perf_counter() - start)
        if time.monotonic() > end and len(found.seconds) >= LEAST_FRAMES:
            break
    lines = [json.loads(line) for line in service.record.read_text().splitlines()]
    found.inside = [line["seconds"] for line in lines[1 + warm_up :]]
    found.rss_peak = lines[-1].get("rss_peak")
    found.cuda_peak = lines[-1].get("cuda_peak")
    return found


def _image(job: Job, number: int) -> dict[str, trax.Image]:
    return {"color": trax.FileImage.create(str(job.clip.frame(number)))}


@contextlib.contextmanager
def _process(order: Path, folder: Path, log: Any) -> Any:
    """The server's process; it is ended when it does not end by itself."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HQTRACK", "TRAX"))}
    environment[VARIABLE] = str(order)
    environment["HQTRACK_RUNTIME_DIR"] = str(folder / "run")
    command = [sys.executable, "-m", "tracker.attach", "--in-process", "--factory", FACTORY]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0,
        env=on_python_path(environment),
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_ENDING_SECONDS)
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            pipe.close()
