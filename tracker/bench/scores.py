"""Scores of videos: their means, as a table and as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tracker.bench.metrics import ObjectScore


@dataclass(frozen=True)
class SequenceScore:
    """Scores of one method on one video; objects by their id in the masks."""

    name: str
    objects: dict[int, ObjectScore]
    frames: int
    seconds: float

    @property
    def fps(self) -> float:
        """Frames per second of the tracker's calls, reading of files not counted."""
        return self.frames / self.seconds if self.seconds else 0.0


Methods = Mapping[str, Sequence[SequenceScore]]
"""Scores of methods by their names."""


@dataclass(frozen=True)
class Mean:
    """Means over objects (each counts alike, as in DAVIS); None where nothing was scored."""

    j: float | None
    f: float | None
    jf: float | None
    false_presence: float | None
    fps: float


def mean(scores: Sequence[SequenceScore]) -> Mean:
    """Means over all objects; false presence over all frames with something absent."""
    objects = [o for score in scores for o in score.objects.values()]
    seconds = sum(score.seconds for score in scores)
    absent = sum(o.absent for o in objects)
    false = sum(o.absent * (o.false_presence or 0.0) for o in objects)
    return Mean(
        j=float(np.mean([o.j for o in objects])) if objects else None,
        f=float(np.mean([o.f for o in objects])) if objects else None,
        jf=float(np.mean([o.jf for o in objects])) if objects else None,
        false_presence=false / absent if absent else None,
        fps=sum(score.frames for score in scores) / seconds if seconds else 0.0,
    )


def table(methods: Methods, faults: Mapping[str, str] | None = None) -> str:
    """The scores as text: a block per method, a line per object, sequence (mean) and set (mean).

    faults: by method, what ended it before the last sequence; its mean is marked.
    """
    header = ("method", "sequence", "object", "J", "F", "J&F", "false", "frames/s")
    rows = [header]
    for method, scores in methods.items():
        for score in scores:
            if len(score.objects) > 1:
                rows += [_object_row(method, score.name, i, o) for i, o in score.objects.items()]
            label = "all" if len(score.objects) > 1 else "".join(map(str, score.objects))
            rows.append(_mean_row(method, score.name, label, mean([score])))
        whole = "MEAN, incomplete" if method in (faults or {}) else "MEAN"
        rows.append(_mean_row(method, whole, "all", mean(scores)))
    widths = [max(len(row[k]) for row in rows) for k in range(len(header))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(w) if k < 3 else cell.rjust(w)
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    note = "false: share of frames without the object in which it was reported all the same"
    return "\n".join([*lines, note])


def _object_row(method: str, name: str, number: int, score: ObjectScore) -> tuple[str, ...]:
    shares = (score.j, score.f, score.jf, score.false_presence)
    return (method, name, str(number), *map(percent, shares), "")


def _mean_row(method: str, name: str, label: str, score: Mean) -> tuple[str, ...]:
    shares = (score.j, score.f, score.jf, score.false_presence)
    return (method, name, label, *map(percent, shares), f"{score.fps:.2f}")


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def as_json(methods: Methods, faults: Mapping[str, str] | None = None) -> dict:
    """The same as plain data, shares from 0 to 1; `incomplete` is the method's fault, or None."""
    return {
        method: {
            "incomplete": (faults or {}).get(method),
            "mean": asdict(mean(scores)),
            "sequences": [{**asdict(s), "fps": s.fps, "mean": asdict(mean([s]))} for s in scores],
        }
        for method, scores in methods.items()
    }
