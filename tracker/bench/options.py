"""The benchmark's command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tracker.arguments import above_zero, output_file, some_path, whole
from tracker.config import PRESETS, ConfigError
from tracker.overrides import add_set_option, read_overrides

PARTS = ("reference", "stages", "trax", "protocol", "floors")
REFINER_ON_CPU = "vit_tiny"
OBJECT_COUNTS = [1, 5, 10, 20]
MOST_OBJECTS = 255  # the labels of the clip are uint8
FULL = {"objects": OBJECT_COUNTS, "frames": 300, "reference_frames": 20, "seconds": None}
QUICK = {"objects": [3], "frames": 20, "reference_frames": 20, "seconds": 12.0}

_DESCRIPTION = (
    "Speed and memory of our path, of the public code's schedule on the same weights, and of "
    "OpenCV's trackers, on a clip that the benchmark draws. Every measurement runs in a process "
    "of its own, so that its peak memory is its own."
)


def parser() -> argparse.ArgumentParser:
    """The arguments; what --quick decides is None until `parse` fills it in."""
    p = argparse.ArgumentParser(prog="python -m tracker bench", description=_DESCRIPTION)
    add = p.add_argument
    add("--preset", nargs="+", choices=sorted(PRESETS), default=["hqtrack-lite", "hqtrack"])
    add("--size", type=_size, default=(480, 854), metavar="WxH", help="of frames; default 854x480")
    add("--objects", type=whole(1, MOST_OBJECTS), nargs="+",
        help=f"up to {MOST_OBJECTS}; default 1 5 10 20; with --quick 3")  # fmt: skip
    add("--frames", type=whole(1), help="per measurement, at most; default 300; with --quick 20")
    add("--reference-frames", type=whole(1), help="of the reference, at most; default 20")
    add("--seconds", type=above_zero, metavar="S",
        help="end a measurement after this time (3 frames at least); default: no limit; "
        "with --quick 12")  # fmt: skip
    add("--long", type=whole(1), metavar="FRAMES",
        help="a long run per preset: do time and memory stay flat? (2000 is usual)")  # fmt: skip
    add("--quick", action="store_true", help="a few frames with three objects")
    add("--skip", nargs="+", choices=PARTS, default=[], metavar="PART", help=", ".join(PARTS))
    add("--device", help="cpu, cuda, cuda:1; default: a GPU if there is one")
    add("--threads", type=whole(1), help="CPU threads; default: torch's own choice")
    add("--refiner", metavar="MODEL",
        help="vit_h, vit_l, vit_b, vit_tiny or none; default: the preset's own on a GPU, "
        f"{REFINER_ON_CPU} in its place on a CPU")  # fmt: skip
    add("--weights", type=some_path, help="folder; default: $HQTRACK_WEIGHTS, else weights/")
    add("--random-weights", action=argparse.BooleanOptionalAction, default=True,
        help="make up missing weights (default); else leave their presets out")  # fmt: skip
    add_set_option(p)
    add("--json", type=output_file, metavar="FILE", help="write everything measured there")
    add("--plot", type=output_file, metavar="FILE",
        help="picture of time and memory over the frames")  # fmt: skip
    add("--one-process", action="store_true",
        help="measure in this process: quicker to start, but memory is that of all")  # fmt: skip
    return p


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parsed arguments; `settings` is a dict, `left_out` says what --quick leaves out."""
    command = parser()
    args = command.parse_args(argv)
    try:
        args.settings = read_overrides(args.set)
    except ConfigError as error:
        command.error(str(error))
    given = {name for name in FULL if getattr(args, name) is not None}
    for name, value in (QUICK if args.quick else FULL).items():
        if name not in given:
            setattr(args, name, value)
    args.left_out = _left_out(args)
    return args


def refiner_of(args: argparse.Namespace, name: str, device: str) -> str | None:
    """The refiner that a preset runs with in this benchmark."""
    own = PRESETS[name].refiner.model
    if args.refiner is not None:
        return None if args.refiner == "none" else args.refiner
    return REFINER_ON_CPU if own is not None and device == "cpu" else own


def _left_out(args: argparse.Namespace) -> list[str]:
    lines = []
    missing = [str(count) for count in OBJECT_COUNTS if count not in args.objects]
    if missing:
        lines.append(f"runs with {', '.join(missing)} objects (--objects {' '.join(missing)})")
    if args.frames < FULL["frames"] or args.seconds is not None:
        limit = f" or {args.seconds:g} s" if args.seconds is not None else ""
        lines.append(
            f"long measurements: at most {args.frames} frames{limit} each (--frames 300 without "
            "--quick)"
        )
    if args.long is None:
        lines.append("flatness of time and memory over a long run (--long 2000)")
    lines += [f"{part} (--skip)" for part in args.skip]
    return lines


def _size(text: str) -> tuple[int, int]:
    """ "854x480" -> (height, width)."""
    try:
        width, height = (int(side) for side in text.lower().split("x"))
    except ValueError:
        width = height = 0
    if width < 16 or height < 16:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size; write WIDTHxHEIGHT, at least 16x16, as 854x480"
        )
    return height, width
