"""`python -m tracker bench`: speed and memory of our path, the reference schedule, and floors."""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from tracker.bench.options import parse, refiner_of

log = logging.getLogger(__name__)

PERIOD = 48
"""Frames of the clip before it repeats itself."""

STAGED = 10
"""Frames with stages timed, at most a quarter of the others."""

PROTOCOL_FRAMES = 100
PROTOCOL_OBJECTS = 10

Result = TypeVar("Result")


def main(argv: Sequence[str]) -> int:
    """Run the command. Status 1: some measurement failed; 2: it cannot begin."""
    args = parse(argv)
    from tracker.checkpoints import CheckpointError
    from tracker.config import ConfigError

    try:
        _check_plot(args)
        with tempfile.TemporaryDirectory(prefix="hqtrack-bench-") as folder:
            document = Bench(args, Path(folder)).run()
    except (CheckpointError, ConfigError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    from tracker.bench.tables import text

    print(text(document))
    return _write(args, document) or int(bool(document["failures"]))


def _check_plot(args: argparse.Namespace) -> None:
    """ConfigError for a plot that cannot be drawn; one that is left out is told at once."""
    if args.plot is None:
        return
    from tracker.bench.plot import check_name

    try:
        check_name(args.plot)
    except ImportError:
        log.warning("no plot: matplotlib is not installed (pip install matplotlib)")
        args.plot = None


def _write(args: argparse.Namespace, document: dict[str, Any]) -> int:
    try:
        for path in (args.json, args.plot):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        if args.json is not None:
            args.json.write_text(json.dumps(document, indent=1) + "\n")
        if args.plot is not None:
            from tracker.bench.plot import plot

            plot(_series(document), args.plot)
    except OSError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 0


def _series(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Named series for the plot; a long run takes the place of the others of its preset."""
    long = {r["preset"]: r for r in document["flatness"]}
    runs = [
        r for r in document["runs"] if not (r["path"] == "ours" and r["preset"] in long)
    ] + list(long.values())  # fmt: skip
    return [
        (f"{r['preset']} {r.get('path', 'ours')}, {r['objects']} objects", r["series"])
        for r in runs
    ]


class Bench:
    """One run of the benchmark; what it makes lies in `folder`."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        from tracker.bench.clip import draw_clip
        from tracker.bench.records import FORMAT
        from tracker.build import usable_device

        self.args, self.folder = args, folder
        self.device = str(usable_device(args.device))
        clip = self._folder("clip")
        period = min(PERIOD, max(args.frames, args.long or 0))
        self.clip = draw_clip(clip, *args.size, max(*args.objects, PROTOCOL_OBJECTS), period)
        self.document: dict[str, Any] = {
            "format": FORMAT,
            "settings": _settings(args),
            "left_out": list(args.left_out),
            **{key: [] for key in (
                "made_up", "runs", "comparisons", "trax", "floors", "flatness", "added_object",
                "failures",
            )},
        }  # fmt: skip

    def run(self) -> dict[str, Any]:
        """All measurements, as the document of `tracker.bench.records`."""
        from tracker.bench import records
        from tracker.bench.measure import machine

        found, ceilings = self._apart(machine, self.device, self.args.threads)
        self.document["machine"] = {**found, "ceilings": ceilings}
        weights, presets = self._weights()
        ours = []
        for name in presets:
            for objects in self.args.objects:
                job = self._job(name, objects, weights)
                ours += self._try(f"{name}, {objects} objects", self._paths, job) or []
            if self.args.long:
                self._try(f"{name}, long run", self._long, self._job(name, 1, weights))
        if "floors" not in self.args.skip:
            self._floors()
        if "protocol" not in self.args.skip:
            self._try("protocol", self._protocol, weights)
        self.document["added_object"] = records.added_objects(ours)
        return self.document

    def _paths(self, job: Any) -> list[Any]:
        """Ours, the reference beside it, and ours over TraX; returns our measurement."""
        from tracker.bench import records
        from tracker.bench.measure import measure

        ceilings = self.document["machine"]["ceilings"]
        ours = self._apart(measure, job)
        self.document["runs"].append(records.run(ours, ceilings))
        what = f"{job.preset}, {job.objects} objects"
        if "reference" not in self.args.skip:
            self._try(f"{what}, reference", self._reference, job, ours)
        if "trax" not in self.args.skip:
            self._try(f"{what}, TraX", self._served, job, job.preset)
        return [ours]

    def _reference(self, job: Any, ours: Any) -> None:
        from tracker.bench import records
        from tracker.bench.measure import measure

        frames = min(job.kept, job.frames)
        other = replace(
            job, path="reference", answers=self._folder("reference"), frames=frames,
            staged=min(job.staged, max(1, frames // 4)),
        )  # fmt: skip
        found = self._apart(measure, other)
        self.document["runs"].append(records.run(found, self.document["machine"]["ceilings"]))
        record = records.comparison(ours, found, (job.answers, other.answers))
        self.document["comparisons"].append(record)

    def _served(self, job: Any, what: str, replay: bool = False, log_each: bool = False) -> None:
        from tracker.bench import records
        from tracker.bench.served import Service

        try:
            from tracker.bench.trax_client import round_trips
        except ImportError:
            self.document["left_out"].append("TraX: vot-trax is not installed")
            return
        from tracker.config import preset

        config = preset(job.preset, **job.settings)
        warm_up = 2 if replay else config.memory.capacity - 1
        service = Service(replace(job, answers=None), replay, self.folder / "frames.jsonl")
        found = round_trips(service, warm_up, self.folder, log_each)
        self.document["trax"].append(records.trax_record(what, job.objects, found))

    def _protocol(self, weights: Path) -> None:
        for objects in dict.fromkeys([*self.args.objects, PROTOCOL_OBJECTS]):
            job = self._job(self.args.preset[0], objects, weights)
            job = replace(job, frames=min(PROTOCOL_FRAMES, max(self.args.frames, 3)))
            self._served(job, "true masks, no model", replay=True)
            self._served(job, "the same, client with a log", replay=True, log_each=True)

    def _long(self, job: Any) -> None:
        from tracker.bench import records
        from tracker.bench.measure import measure
        from tracker.bench.series import flatness

        job = replace(
            job, objects=min(self.args.objects), frames=self.args.long, seconds=None, staged=0,
            count_operations=False, full_memory=False, answers=None, yardstick=True,
        )  # fmt: skip
        found = self._apart(measure, job)
        flat = flatness(found.seconds, found.rss_peak, found.cuda_peak, found.yardstick)
        series = records.run(found, {})["series"]
        self.document["flatness"].append({**_about(job), **records.as_dict(flat), "series": series})

    def _floors(self) -> None:
        from tracker.bench import opencv_floor, records

        trackers = opencv_floor.installed()
        if not trackers:
            self.document["left_out"].append("OpenCV's trackers: it has none without files")
        for name, make in trackers.items():
            for objects in self.args.objects:
                what = (make, self.clip, objects, self.args.frames, self.args.seconds)
                seconds = self._try(f"OpenCV {name}", opencv_floor.time_frames, *what)
                if seconds:
                    record = {"name": name, "objects": objects, **records.durations(seconds)}
                    self.document["floors"].append(record)

    def _job(self, name: str, objects: int, weights: Path) -> Any:
        from tracker.bench.job import Job

        args = self.args
        settings = {"refiner__model": refiner_of(args, name, self.device), **args.settings}
        staged = 0 if "stages" in args.skip else max(1, min(STAGED, args.frames // 4))
        return Job(
            name, "ours", objects, self.clip, weights, self.device, args.frames, settings,
            seconds=args.seconds, staged=staged, count_operations=staged > 0,
            threads=args.threads, answers=self._folder("ours"), kept=args.reference_frames,
        )  # fmt: skip

    def _weights(self) -> tuple[Path, list[str]]:
        """A folder with the weights of the presets that can be measured, and those presets."""
        from tracker.bench import filled
        from tracker.build import weights_folder
        from tracker.config import PRESETS, preset

        source = weights_folder(self.args.weights)
        refiners = {name: refiner_of(self.args, name, self.device) for name in self.args.preset}
        for name, model in refiners.items():
            if model != PRESETS[name].refiner.model and self.args.refiner is None:
                self.document["left_out"].append(
                    f"{name} with HQ-SAM {PRESETS[name].refiner.model}: on a CPU {model} runs in "
                    f"its place (--refiner {PRESETS[name].refiner.model})"
                )
        if self.args.random_weights:
            target = self._folder("weights")
            wanted = [model for model in dict.fromkeys(refiners.values()) if model]
            log.info("making up the weights that are missing")
            configs = [preset(name, **self.args.settings) for name in self.args.preset]
            self.document["made_up"] = filled.complete(target, source, configs, wanted)
            return target, self.args.preset
        able = []
        for name, model in refiners.items():
            files = filled.missing(source, name, model)
            if files:
                names = ", ".join(files)
                self.document["left_out"].append(f"{name}: no {names} (--random-weights)")
            else:
                able.append(name)
        return source, able

    def _try(self, what: str, call: Callable[..., Result], *args: Any) -> Result | None:
        """The call's result; a failure is noted, and the benchmark goes on."""
        log.info("measuring: %s", what)
        try:
            return call(*args)
        except (RuntimeError, ValueError, OSError, ArithmeticError, MemoryError) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            if isinstance(error, BrokenProcessPool):
                reason = "its process died; too little memory?"
            self.document["failures"].append(f"{what}: {reason}")
            log.warning("%s failed: %s", what, reason)
            return None

    def _apart(self, function: Callable[..., Result], *args: Any) -> Result:
        """The function's result, from a process of its own."""
        if self.args.one_process:
            return function(*args)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
            return pool.submit(function, *args).result()

    def _folder(self, name: str) -> Path:
        """A new folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    names = ("preset", "objects", "frames", "reference_frames", "seconds", "long", "threads",
             "refiner", "random_weights", "quick", "settings", "one_process")  # fmt: skip
    height, width = args.size
    return {"height": height, "width": width, **{name: getattr(args, name) for name in names}}


def _about(job: Any) -> dict[str, Any]:
    return {"preset": job.preset, "objects": job.objects}
