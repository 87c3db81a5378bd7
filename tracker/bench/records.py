"""From measurements to the benchmark's JSON: plain dicts, times in seconds, memory in bytes.

The document is a dict with
  format       1
  machine      names, counts and versions; `ceilings`: operations per second by type
  settings     what was asked for
  made_up      weight files that were made up
  runs         one per preset, path and number of objects (`run`)
  comparisons  ours and the reference beside each other (`comparison`)
  trax         round trips (`trax_record`)
  floors       OpenCV's trackers: name, objects and a summary
  flatness     one per long run: preset, objects and the fields of `series.Flatness`
  added_object per preset: share of the one-object time that another object costs
  left_out, failures   lines of text
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracker.bench.measure import Measured
from tracker.bench.series import added_object_cost, summary
from tracker.bench.stages import STAGES, VMOS_STAGES
from tracker.bench.trax_client import RoundTrips

FORMAT = 1


def run(measured: Measured, ceilings: Mapping[str, float]) -> dict[str, Any]:
    """A run: summary of its frames, its stages, and the series over the frame number."""
    return {
        "preset": measured.preset,
        "path": measured.path,
        "objects": measured.objects,
        "objects_present": measured.present,
        "weights": measured.weights,
        "start_s": measured.start_seconds,
        **durations(measured.seconds),
        "rss_peak": measured.rss_peak[-1],
        "cuda_peak": measured.cuda_peak[-1],
        "stages": stages(measured, ceilings),
        "remark": measured.remark,
        "series": {
            "seconds": [round(value, 6) for value in measured.seconds],
            "rss": measured.rss,
            "cuda_peak": measured.cuda_peak,
        },
    }


def stages(measured: Measured, ceilings: Mapping[str, float]) -> list[dict[str, Any]]:
    """Stages that ran, in the order of a frame; a stage without counted operations has None."""
    found = []
    for stage in STAGES:
        seconds = [frame[stage] for frame in measured.stages if stage in frame]
        if not seconds:
            continue
        durations_of = summary(seconds)
        operations = measured.operations.get(stage) or None
        rate = operations / durations_of.median if operations and durations_of.median else None
        found.append(
            {
                "stage": stage,
                "median_s": durations_of.median,
                "p95_s": durations_of.p95,
                "operations": operations,
                "share_of_ceiling": {n: rate / c for n, c in ceilings.items()} if rate else None,
            }
        )
    return found


def durations(seconds: Sequence[float]) -> dict[str, Any]:
    """frames, median_s, p95_s, per_second of a series of durations."""
    of = summary(seconds)
    return {
        "frames": of.count,
        "median_s": of.median,
        "p95_s": of.p95,
        "per_second": of.per_second,
    }


def vmos_seconds(measured: Measured) -> float | None:
    """Median over the staged frames of the segmenter's stages together."""
    if not measured.stages:
        return None
    sums = [sum(frame.get(stage, 0.0) for stage in VMOS_STAGES) for frame in measured.stages]
    return float(np.median(sums))


def comparison(ours: Measured, reference: Measured, folders: tuple[Path, Path]) -> dict[str, Any]:
    """How many times faster we are, and the share of pixels with equal labels.

    folders: where both have kept their labels. `labels` is before, `final` after refinement.
    """
    record: dict[str, Any] = {
        "preset": ours.preset,
        "objects": ours.objects,
        "frame_speedup": summary(reference.seconds).median / summary(ours.seconds).median,
        "vmos_speedup": None,
        **equality(*folders),
    }
    theirs, own = vmos_seconds(reference), vmos_seconds(ours)
    if theirs and own:
        record["vmos_speedup"] = theirs / own
    return record


def equality(ours: Path, reference: Path) -> dict[str, Any]:
    """Mean and least share of equal pixels over the frames that both folders hold."""
    names = sorted({p.name for p in ours.glob("*.npz")} & {p.name for p in reference.glob("*.npz")})
    record: dict[str, Any] = {"frames_compared": len(names)}
    for key, title in (("vmos", "labels"), ("final", "final")):
        shares = [
            float(np.mean(np.load(ours / name)[key] == np.load(reference / name)[key]))
            for name in names
        ]
        record[f"{title}_equal"] = float(np.mean(shares)) if shares else None
        record[f"{title}_equal_worst"] = min(shares) if shares else None
    return record


def trax_record(what: str, objects: int, found: RoundTrips) -> dict[str, Any]:
    """A session: round trips, and of those the part outside the tracker (`protocol`)."""
    outside = [whole - own for whole, own in zip(found.seconds, found.inside, strict=False)]
    return {
        "what": what,
        "objects": objects,
        "start_s": found.start_seconds,
        **durations(found.seconds),
        "protocol": durations(outside),
        "rss_peak": found.rss_peak,
        "cuda_peak": found.cuda_peak,
    }


def added_objects(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Per preset, from our runs with one object and with the most up to ten."""
    records = []
    for name in dict.fromkeys(m.preset for m in measured):
        times = {m.objects: vmos_seconds(m) for m in measured if m.preset == name}
        many = max((count for count in times if 1 < count <= 10), default=None)
        if many and times.get(1) and times[many]:
            cost = added_object_cost(times[1], times[many], many)
            records.append({"preset": name, "objects": many, "share": cost})
    return records


def as_dict(value: Any) -> dict[str, Any]:
    """A record's fields."""
    return dataclasses.asdict(value)
