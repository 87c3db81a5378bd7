"""A picture of time per frame and memory over the frame number. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tracker.config import ConfigError

LINEAR_RANGE = 8
"""Times that differ by more than this are drawn on a logarithmic axis."""


def check_name(path: Path) -> None:
    """ConfigError for a name that ends in no kind of picture; ImportError without matplotlib."""
    from matplotlib.figure import Figure

    kinds = Figure().canvas.get_supported_filetypes()
    if path.suffix and path.suffix[1:].lower() not in kinds:
        raise ConfigError(
            f"--plot {path}: no pictures end in {path.suffix!r}; name it with one of "
            f"{', '.join(f'.{kind}' for kind in sorted(kinds))}"
        )


def plot(series: Sequence[tuple[str, Mapping[str, Any]]], path: Path) -> None:
    """Draw (name, series of a run: seconds, rss, cuda_peak) into a PNG or what the name ends in.

    ImportError without matplotlib; OSError where the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    time_axes, memory_axes = figure.subplots(2, 1, sharex=True)
    for name, values in series:
        frames = range(1, len(values["seconds"]) + 1)
        time_axes.plot(frames, [1e3 * s for s in values["seconds"]], label=name, linewidth=0.9)
        for key, title, style in (("rss", "RSS", "-"), ("cuda_peak", "CUDA peak", "--")):
            if None not in values[key]:
                megabytes = [value / 1e6 for value in values[key]]
                memory_axes.plot(frames, megabytes, style, label=f"{name}, {title}", linewidth=0.9)
    time_axes.set_ylabel("ms per frame")
    everything = [second for _, values in series for second in values["seconds"]]
    if everything and max(everything) > LINEAR_RANGE * min(everything):
        time_axes.set_yscale("log")
    else:
        time_axes.set_ylim(bottom=0)
    memory_axes.set_ylabel("memory, MB")
    memory_axes.set_ylim(bottom=0, top=1.15 * memory_axes.get_ylim()[1])
    memory_axes.set_xlabel("frame")
    for axes in (time_axes, memory_axes):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="x-small")
    figure.savefig(path, dpi=120)
