"""What the benchmark serves over TraX: a measured tracker, or one that answers the true masks.

Made by `make`, in the server's process; the environment says what.
"""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.bench.clip import Clip
from tracker.bench.job import Job

VARIABLE = "HQTRACK_BENCH"
"""Environment variable with the path of a pickled Service, written by the benchmark itself."""


@dataclass(frozen=True)
class Service:
    """replay: answer the true masks of the job's clip, without a model.

    record: a file that gets a JSON line per frame: seconds in the tracker, memory in bytes.
    """

    job: Job
    replay: bool
    record: Path


@dataclass(frozen=True)
class Answer:
    """labels [H, W] uint8; confidence [N] float32."""

    labels: np.ndarray
    confidence: np.ndarray


class Replay:
    """Answers the true masks of a clip, frame after frame, read beforehand."""

    def __init__(self, clip: Clip, objects: int) -> None:
        self._labels = [clip.labels(number, objects) for number in range(clip.period)]
        self._confidence = np.ones(objects, np.float32)
        self._number = 0

    def initialize(self, image: np.ndarray, masks: Any) -> Answer:
        self._number = 0
        return self.track(image)

    def track(self, image: np.ndarray) -> Answer:
        labels = self._labels[self._number % len(self._labels)]
        self._number += 1
        return Answer(labels, self._confidence)

    def settle(self) -> None: ...


class Recorder:
    """A tracker whose calls are timed and written to a file, a line each.

    What is done after an answer counts for the next frame, which a client without a pause of its
    own waits for.
    """

    def __init__(self, tracker: Any, record: Path, memory: Callable[[], dict[str, Any]]) -> None:
        self._tracker, self._record, self._memory = tracker, record, memory
        self._after_answer = 0.0
        self.weights_note = getattr(tracker, "weights_note", "")

    def initialize(self, image: np.ndarray, masks: Any) -> Any:
        return self._timed(self._tracker.initialize, image, masks)

    def track(self, image: np.ndarray) -> Any:
        return self._timed(self._tracker.track, image)

    def settle(self) -> None:
        begin = time.perf_counter()
        self._tracker.settle()
        self._after_answer = time.perf_counter() - begin

    def _timed(self, call: Callable[..., Any], *args: Any) -> Any:
        begin = time.perf_counter()
        result = call(*args)
        seconds = self._after_answer + time.perf_counter() - begin
        self._after_answer = 0.0
        line = {"seconds": seconds, **self._memory()}
        with self._record.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return result


def make() -> Recorder:
    """The tracker that the environment asks for; its schedule stays in force for good."""
    service: Service = pickle.loads(Path(os.environ[VARIABLE]).read_bytes())
    job = service.job
    if service.replay:
        return Recorder(Replay(job.clip, job.objects), service.record, dict)
    import torch

    from tracker.bench.machine import MemoryGauge
    from tracker.bench.measure import running, set_threads

    set_threads(job.threads)
    context = running(job)
    tracker = context.__enter__()
    _open.append(context)
    return Recorder(tracker, service.record, MemoryGauge(torch.device(job.device)).read)


_open: list[Any] = []
"""Contexts that last as long as the process."""
