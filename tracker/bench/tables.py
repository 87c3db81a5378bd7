"""The benchmark's document (`records`) as text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracker.bench.stages import STAGES

_TIMES = ("frames", "median ms", "p95 ms", "frames/s")


def text(document: Mapping[str, Any]) -> str:
    """All tables and lines, in the order they are read."""
    parts = [
        _machine(document),
        _runs(document),
        *(_stage_table(document, *key) for key in _stage_keys(document)),
        _trax(document["trax"]),
        _lines("Ours against the reference", map(_comparison, document["comparisons"])),
        _lines("Another object", map(_added, document["added_object"])),
        _lines("Long runs", map(_flat, document["flatness"])),
        _lines("Left out", document["left_out"]),
        _lines("Failed", document["failures"]),
    ]
    return "\n\n".join(part for part in parts if part)


def _machine(document: Mapping[str, Any]) -> str:
    m = document["machine"]
    gpu = f", {m['gpu']}" if m["gpu"] else ""
    rates = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in m["ceilings"].items())
    lines = [
        f"{m['cpu']}, {m['cores']} cores, {m['threads']} threads{gpu}; running on {m['device']}",
        f"Python {m['python']}, torch {m['torch']}, OpenCV {m['opencv']}, {m['system']}",
        f"matrix products here: {rates} TFLOP/s",
        "frames {width}x{height}".format(**document["settings"]),
    ]
    if document["made_up"]:
        lines.append(
            f"weights made up, not trained: {', '.join(document['made_up'])} (the speed of the "
            "networks does not depend on their values; the masks mean nothing)"
        )
    return "\n".join(lines)


def _runs(document: Mapping[str, Any]) -> str:
    head = ["", "objects", "present", *_TIMES, "RSS MB", "CUDA MB"]
    rows = [
        [
            f"{run['preset']} {run['path']}", str(run["objects"]), f"{run['objects_present']:.1f}",
            *_times(run), _megabytes(run["rss_peak"]), _megabytes(run["cuda_peak"]),
        ]
        for run in document["runs"]
    ]  # fmt: skip
    rows += [
        [f"OpenCV {floor['name']}", str(floor["objects"]), "", *_times(floor), "", ""]
        for floor in document["floors"]
    ]
    notes = [
        f"{run['preset']} {run['path']}: {run['weights']}"
        + (f"; {run['remark']}" if run["remark"] else "")
        for run in document["runs"]
    ]
    title = "From the image file to the answer (peak memory of the process while it tracks)"
    return "\n".join([title, grid(head, rows), *dict.fromkeys(notes)]) if rows else ""


def _stage_keys(document: Mapping[str, Any]) -> list[tuple[str, int]]:
    keys = ((run["preset"], run["objects"]) for run in document["runs"] if run["stages"])
    return list(dict.fromkeys(keys))


def _stage_table(document: Mapping[str, Any], name: str, objects: int) -> str:
    """Stages of one preset and number of objects, paths side by side."""
    runs = [r for r in document["runs"] if (r["preset"], r["objects"]) == (name, objects)]
    head, columns = ["stage"], []
    for run in runs:
        head += [f"{run['path']} ms", "p95", "GFLOP", *(f"% {n}" for n in _types(document))]
        columns.append({stage["stage"]: stage for stage in run["stages"]})
    rows = [
        [stage, *(cell for column in columns for cell in _cells(column.get(stage), document))]
        for stage in STAGES
        if any(stage in column for column in columns)
    ]
    title = f"Stages of {name}, {objects} objects (%: of the rate of matrix products)"
    return f"{title}\n{grid(head, rows)}"


def _cells(stage: Mapping[str, Any] | None, document: Mapping[str, Any]) -> list[str]:
    types = _types(document)
    if stage is None:
        return [""] * (3 + len(types))
    share = stage["share_of_ceiling"]
    operations = stage["operations"]
    return [
        f"{stage['median_s'] * 1e3:.2f}",
        f"{stage['p95_s'] * 1e3:.2f}",
        f"{operations / 1e9:.2f}" if operations else "",
        *(f"{share[name] * 100:.1f}" if share else "" for name in types),
    ]


def _types(document: Mapping[str, Any]) -> list[str]:
    return list(document["machine"]["ceilings"])


def _trax(sessions: Sequence[Mapping[str, Any]]) -> str:
    head = ["TraX round trip", "objects", *_TIMES, "protocol ms", "p95", "RSS MB", "CUDA MB"]
    head.append("start s")
    rows = [
        [
            s["what"], str(s["objects"]), *_times(s),
            f"{s['protocol']['median_s'] * 1e3:.2f}", f"{s['protocol']['p95_s'] * 1e3:.2f}",
            _megabytes(s["rss_peak"]), _megabytes(s["cuda_peak"]), f"{s['start_s']:.1f}",
        ]
        for s in sessions
    ]  # fmt: skip
    note = (
        "protocol: the round trip less the time in the tracker (reading the image, cropping and "
        "encoding masks, both sides of the pipe)"
    )
    return f"{grid(head, rows)}\n{note}" if rows else ""


def _times(record: Mapping[str, Any]) -> list[str]:
    return [
        str(record["frames"]),
        f"{record['median_s'] * 1e3:.2f}",
        f"{record['p95_s'] * 1e3:.2f}",
        f"{record['per_second']:.2f}",
    ]


def _comparison(c: Mapping[str, Any]) -> str:
    vmos = f"VMOS {c['vmos_speedup']:.2f} times as fast, " if c["vmos_speedup"] else ""
    labels = (
        f"; equal pixels over {c['frames_compared']} frames: segmented {c['labels_equal']:.4%} "
        f"(worst {c['labels_equal_worst']:.4%}), final {c['final_equal']:.4%} "
        f"(worst {c['final_equal_worst']:.4%})"
        if c["frames_compared"]
        else ""
    )
    frame = f"the frame {c['frame_speedup']:.2f} times"
    return f"{c['preset']}, {c['objects']} objects: {vmos}{frame}{labels}"


def _added(a: Mapping[str, Any]) -> str:
    return (
        f"{a['preset']}: each of objects 2-{a['objects']} adds {a['share']:.1%} of the VMOS time "
        "for one"
    )


def _flat(f: Mapping[str, Any]) -> str:
    after = f["settle"]
    grown = [
        f"peak {name} +{f[key]:.2%} after frame {after}"
        for name, key in (("RSS", "rss_growth"), ("CUDA", "cuda_growth"))
        if f[key] is not None
    ]
    paced = f"{f['paced_ratio'] - 1:+.2%} against fixed work timed between the frames"
    return (
        f"{f['preset']}, {f['objects']} objects, {f['frames']} frames: median of frames "
        f"{after}-{after + f['window']} {f['early'] * 1e3:.2f} ms, of the last {f['window']} "
        f"{f['late'] * 1e3:.2f} ms ({f['time_ratio'] - 1:+.2%}; {paced}); {', '.join(grown)}"
    )


def _lines(title: str, lines: Any) -> str:
    found = [f"  {line}" for line in lines]
    return "\n".join([f"{title}:", *found]) if found else ""


def _megabytes(value: int | None) -> str:
    return "" if value is None else f"{value / 1e6:.0f}"


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    )
