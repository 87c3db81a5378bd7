"""One measurement in a process of its own: a tracker on a clip, frame by frame.

First the frames as they come, then some with every stage timed (and the device waited for after
each), then one whose floating-point operations are counted.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from tracker import frames
from tracker.bench import reference
from tracker.bench.job import Job
from tracker.bench.machine import MemoryGauge, Yardstick, ceilings, describe, now
from tracker.bench.stages import OUR_HOOKS, REFERENCE_HOOKS, StageMeter
from tracker.checkpoints import CheckpointError, fill, read_torch
from tracker.config import MemoryConfig, preset
from tracker.pipeline import HQTracker
from tracker.refiner import checkpoint_path
from tracker.refiner.build import empty_network
from tracker.vmos import groups, session
from tracker.vmos.loading import load_vmos

log = logging.getLogger(__name__)

LEAST_FRAMES = 3


def _of_convolution(image: Any, weight: Any, *_: Any, out_shape: Any, **__: Any) -> int:
    return conv_flop_count(image, weight, out_shape)


_FUSED = {torch.ops.mkldnn._convolution_pointwise: _of_convolution}
"""Operators that PyTorch's counter does not know, with their operations."""


@dataclass
class Measured:
    """What a job found; lists have one entry per frame, times are in seconds, memory in bytes.

    yardstick: of a fixed piece of work after every frame, empty where the job has none.
    stages: seconds per staged frame, by stage; operations: of one frame, by stage. present: how
    many objects had pixels, on average.
    """

    preset: str
    path: str
    objects: int
    weights: str
    start_seconds: float = 0.0
    seconds: list[float] = field(default_factory=list)
    yardstick: list[float] = field(default_factory=list)
    rss: list[int | None] = field(default_factory=list)
    rss_peak: list[int | None] = field(default_factory=list)
    cuda_peak: list[int | None] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)
    operations: dict[str, float] = field(default_factory=dict)
    present: float = 0.0
    remark: str = ""


def measure(job: Job) -> Measured:
    """Run a job. CheckpointError where its weights are missing."""
    set_threads(job.threads)
    device = torch.device(job.device)
    with running(job) as tracker:
        found = Measured(job.preset, job.path, job.objects, tracker.weights_note)
        step = _Steps(job, tracker)
        begin = now(device)
        step.start()
        found.start_seconds = now(device) - begin
        if job.full_memory:
            for _ in range(preset(job.preset, **job.settings).memory.capacity - 1):
                step.next()
        _time_frames(job, step, found)
        _time_stages(job, step, found)
        if job.count_operations:
            _count_operations(job, step, found)
    return found


def machine(device: str, threads: int | None) -> tuple[dict[str, Any], dict[str, float]]:
    """The machine's description, and operations per second of matrix products."""
    set_threads(threads)
    place = torch.device(device)
    return describe(place), ceilings(place)


def set_threads(threads: int | None) -> None:
    """Threads of torch and OpenCV; None leaves them as they are."""
    if threads:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)


@contextlib.contextmanager
def running(job: Job) -> Iterator[HQTracker]:
    """The tracker of a job, with its schedule in force."""
    config = preset(job.preset, **job.settings)
    with contextlib.ExitStack() as stack:
        if job.path == "ours":
            tracker = HQTracker.from_preset(job.preset, job.weights, job.device, **job.settings)
            if tracker.config.name != job.preset:
                raise CheckpointError(f"{job.preset} has no weights in {job.weights}")
        else:
            calls = stack.enter_context(reference.swapped(job.device))
            tracker = _reference_tracker(job)
        if job.full_memory:
            stack.enter_context(_filling(config.memory))
        yield tracker
        if job.path == "reference" and not all(calls[name] for name in _needed(config, job.device)):
            raise RuntimeError(
                f"the reference schedule was not in force (calls: {dict(calls)}): the segmenter "
                "does not use the functions that the benchmark replaces"
            )


def _needed(config: Any, device: str) -> tuple[str, ...]:
    sampled = config.vmos.encoder == "internimage-t" and torch.device(device).type == "cpu"
    names = ("global_attention", "local_attention", "LongTermMemory")
    return (*names, "deform_conv3") if sampled else names


def _reference_tracker(job: Job) -> HQTracker:
    config = preset(job.preset, **{**job.settings, "compute__precision": "float32"})
    model = load_vmos(config, job.weights).float().to(job.device).eval()
    refiner, note = None, "no refiner"
    if config.refiner.model is not None:
        file = checkpoint_path(config.refiner.model, job.weights)
        network = empty_network(config.refiner.model)
        fill(network, read_torch(file), file)
        refiner = reference.PerObjectRefiner(network.to(job.device))
        note = f"refiner {file.name}"
    return HQTracker(
        lambda: session.VmosSession(model, config, job.device), refiner, config,
        f"{job.preset}, reference schedule; {note}",
    )  # fmt: skip


@contextlib.contextmanager
def _filling(memory: MemoryConfig) -> Iterator[None]:
    """Long-term memories take each of the first frames, then one every `interval` as ever."""
    make, first = groups.LongTermMemory, memory.capacity - 1

    def eager(*args: Any, **kwargs: Any) -> Any:
        result = make(*args, **kwargs)
        offer = result.offer

        def offer_later(number: int, frame: Any, complete: bool) -> None:
            full = min(number, first) * memory.interval
            offer(full + max(0, number - first), frame, complete)

        result.offer = offer_later
        return result

    with mock.patch.object(groups, "LongTermMemory", eager):
        yield


class _Steps:
    """The frames of the clip, one after another, through the tracker."""

    def __init__(self, job: Job, tracker: HQTracker) -> None:
        self._clip, self._objects, self._tracker = job.clip, job.objects, tracker
        self.number = 0

    def start(self) -> None:
        image = frames.read_image(self._clip.frame(0))
        self._tracker.initialize(image, self._clip.masks(self._objects))

    def next(self) -> Any:
        """From the file to the answer, and into memory."""
        self.number += 1
        result = self._tracker.track(frames.read_image(self._clip.frame(self.number)))
        self._tracker.settle()
        return result


def _time_frames(job: Job, step: _Steps, found: Measured) -> None:
    device = torch.device(job.device)
    gauge = MemoryGauge(device)
    yardstick = Yardstick(device) if job.yardstick else None
    segmented: list[np.ndarray] = []
    present = []
    end = time.monotonic() + job.seconds if job.seconds else None
    with _watching(segmented) if job.answers else contextlib.nullcontext():
        for index in range(job.frames):
            begin = now(device)
            result = step.next()
            found.seconds.append(now(device) - begin)
            for name, value in gauge.read().items():
                getattr(found, name).append(value)
            if yardstick is not None:
                found.yardstick.append(yardstick.seconds())
            present.append(int(result.present.sum()))
            if job.answers and index < job.kept:
                np.savez(job.answers / f"{index}.npz", final=result.labels, vmos=segmented[-1])
            segmented.clear()
            if end is not None and time.monotonic() > end and index + 1 >= LEAST_FRAMES:
                break
    found.present = float(np.mean(present))


@contextlib.contextmanager
def _watching(segmented: list[np.ndarray]) -> Iterator[None]:
    """Append the segmenter's labels of every frame, before they are refined."""
    step = session.VmosSession.step

    def watched(self: session.VmosSession, image: np.ndarray) -> session.VmosFrame:
        frame = step(self, image)
        segmented.append(frame.labels.copy())
        return frame

    with mock.patch.object(session.VmosSession, "step", watched):
        yield


def _time_stages(job: Job, step: _Steps, found: Measured) -> None:
    meter = StageMeter(lambda: now(torch.device(job.device)))
    _staged(job, step, meter, job.staged, found.stages.append)


def _count_operations(job: Job, step: _Steps, found: Measured) -> None:
    try:
        with FlopCounterMode(display=False, custom_mapping=_FUSED) as counter:
            meter = StageMeter(counter.get_total_flops)
            _staged(job, step, meter, 1, found.operations.update)
    except Exception as error:  # a compiled network may refuse to be looked into
        found.remark = f"operations not counted ({type(error).__name__}: {error})"
        log.warning("%s %s: %s", job.preset, job.path, found.remark)


def _staged(
    job: Job, step: _Steps, meter: StageMeter, count: int, put: Callable[[Any], Any]
) -> None:
    hooks = OUR_HOOKS if job.path == "ours" else REFERENCE_HOOKS
    end = time.monotonic() + job.seconds / 2 if job.seconds else None
    with meter.on(hooks):
        for _ in range(count):
            step.next()
            put(dict(meter.take()))
            if end is not None and time.monotonic() > end:
                break
