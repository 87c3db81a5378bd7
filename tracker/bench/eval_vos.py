"""`python -m tracker eval`: J and F of a tracker on videos with masks, beside two floors."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from tracker.arguments import output_file, some_path, whole
from tracker.bench.floors import RepeatFirstMask, WarpByFlow
from tracker.bench.one_by_one import OneByOne
from tracker.bench.one_video import Tracker, evaluate_video, naming, present
from tracker.bench.scores import SequenceScore, as_json, mean, percent, table
from tracker.config import ConfigError, preset
from tracker.exits import INTERRUPTED
from tracker.overrides import add_set_option, read_overrides
from tracker.training.errors import DataError
from tracker.training.items import Video
from tracker.training.manifest import NAME, by_name, read_manifest
from tracker.training.reading import read_labels, read_rgb
from tracker.training.sources import find_videos

if TYPE_CHECKING:
    from tracker.build import Parts

log = logging.getLogger(__name__)


def evaluate(
    make_tracker: Callable[[], Tracker], videos: Sequence[Video], max_frames: int | None = None
) -> list[SequenceScore]:
    """Every video in turn, each with what `make_tracker` gives (it may be one object, reused)."""
    return list(_each(make_tracker, videos, max_frames))


def _each(
    make_tracker: Callable[[], Tracker], videos: Sequence[Video], max_frames: int | None
) -> Iterator[SequenceScore]:
    for video in videos:
        score = evaluate_video(make_tracker(), video, max_frames)
        log.info("%s: J&F %s, %.2f frames/s", video.name, percent(mean([score]).jf), score.fps)
        yield score


STOPPED = "stopped by Ctrl-C"


def score_methods(
    makers: Mapping[str, Callable[[], Tracker]], videos: Sequence[Video], max_frames: int | None
) -> tuple[dict[str, list[SequenceScore]], dict[str, str]]:
    """Scores by method, and by method the fault that ended it before the last video.

    After Ctrl-C no further method is begun; its fault is STOPPED.
    """
    from tracker.out_of_memory import OutOfMemoryError

    methods: dict[str, list[SequenceScore]] = {}
    faults: dict[str, str] = {}
    for name, make_tracker in makers.items():
        if STOPPED in faults.values():
            break
        methods[name] = []
        try:
            for score in _each(make_tracker, videos, max_frames):
                methods[name].append(score)
        except DataError as error:
            faults[name] = str(error)
        except OutOfMemoryError as error:
            faults[name] = f"{videos[len(methods[name])].name}: {error}"
        except KeyboardInterrupt:
            faults[name] = STOPPED
    return methods, faults


def check_manifest(root: Path, videos: Sequence[Video]) -> list[str]:
    """Differences between the videos found and `root`/manifest.json; none without a manifest.

    Compared: names, number of frames, size of the first frame, number of objects in all masks.
    """
    path = root / NAME
    if not path.exists():
        return []
    stated = by_name(read_manifest(root))
    found = {v.name: v for v in videos}
    faults = [f"{name}: listed in {path}, not found" for name in sorted(stated.keys() - found)]
    faults += [f"{name}: not listed in {path}" for name in sorted(found.keys() - stated)]
    for name in sorted(stated.keys() & found.keys()):
        facts, video = stated[name], found[name]
        with naming(name):
            height, width = read_rgb(video.frames[0]).shape[:2]
            ids = {i for m in video.masks if m is not None for i in present(read_labels(m))}
        actual = {
            "frames": len(video.frames),
            "width": width,
            "height": height,
            "objects": len(ids),
        }
        for key, value in actual.items():
            if key in facts and facts[key] != value:
                faults.append(f"{name}: {key} {value}, the manifest says {json.dumps(facts[key])}")
    return faults


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    text = "J and F (DAVIS) of a preset on videos with masks, beside two floors"
    p = argparse.ArgumentParser(prog="python -m tracker eval", description=text)
    p.add_argument("--data", type=some_path, required=True, help="folder of videos with masks")
    p.add_argument("--preset", default="hqtrack-lite", help="hqtrack or hqtrack-lite (default)")
    p.add_argument(
        "--weights", type=some_path, help="file or folder; default: $HQTRACK_WEIGHTS, else weights/"
    )
    p.add_argument("--device", help="cpu, cuda, cuda:1; default: a GPU if there is one")
    p.add_argument("--split", help='list under ImageSets, for instance "2017/val"')
    p.add_argument("--sequences", nargs="+", metavar="NAME", help="only these")
    p.add_argument("--max-frames", type=whole(1), help="only the first frames of each video")
    part = p.add_mutually_exclusive_group()
    part.add_argument("--floors-only", action="store_true", help="no tracker, no weights needed")
    part.add_argument("--no-floors", action="store_true", help="only the tracker")
    p.add_argument("--one-by-one", action="store_true", help="also every object tracked alone")
    p.add_argument("--threads", type=whole(1), help="CPU threads of OpenCV and torch")
    add_set_option(p)
    p.add_argument("--json", type=output_file, metavar="OUT", help="write the scores there as well")
    return p


def main(argv: list[str], tracker: Callable[[], Tracker] | None = None) -> int:
    """Run the command; `tracker` replaces the preset's.

    Status 1: a fault on the way, the scores are incomplete; 2: unusable data, weights or output;
    130: stopped by Ctrl-C, the scores so far are told.
    """
    args = parser().parse_args(argv)
    if args.floors_only and args.one_by_one:
        print("eval: --one-by-one needs the tracker that --floors-only leaves out", file=sys.stderr)
        return 2
    from tracker.checkpoints import CheckpointError
    from tracker.out_of_memory import OutOfMemoryError

    try:
        videos = _videos(args)
        makers = _makers(args, tracker)
    except (DataError, ConfigError, CheckpointError, OutOfMemoryError, OSError) as error:
        print(f"eval: {error}", file=sys.stderr)
        return 2
    if args.threads:
        cv2.setNumThreads(args.threads)
    methods, faults = score_methods(makers, videos, args.max_frames)
    print(table(methods, faults), flush=True)
    for fault in dict.fromkeys(faults.values()):
        print(f"eval: the scores are incomplete: {fault}", file=sys.stderr)
    if args.json is not None:
        try:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(as_json(methods, faults), indent=1) + "\n")
        except OSError as error:
            print(f"eval: cannot write the scores to {args.json} ({error})", file=sys.stderr)
            return 2
    return INTERRUPTED if STOPPED in faults.values() else int(bool(faults))


def _makers(
    args: argparse.Namespace, tracker: Callable[[], Tracker] | None
) -> dict[str, Callable[[], Tracker]]:
    """What makes the trackers of each method, by the method's name."""
    makers: dict[str, Callable[[], Tracker]] = {}
    if not args.floors_only:
        tracker = tracker or _preset(args)
        makers[args.preset] = tracker
        if args.one_by_one:
            alone = OneByOne(tracker)
            makers["one by one"] = lambda: alone
    if not args.no_floors:
        makers |= {"repeat first mask": RepeatFirstMask, "warp by flow": WarpByFlow}
    return makers


def _videos(args: argparse.Namespace) -> list[Video]:
    if not args.data.is_dir():
        raise DataError(f"no folder {args.data}")
    videos = find_videos(args.data, args.split, validation=True)
    faults = check_manifest(args.data, videos)
    if faults:
        raise DataError("the data differ from their manifest:\n  " + "\n  ".join(faults))
    if args.sequences:
        missing = set(args.sequences) - {v.name for v in videos}
        if missing:
            names = ", ".join(v.name for v in videos)
            raise DataError(f"no sequence {', '.join(sorted(missing))}; there are {names}")
        videos = [v for v in videos if v.name in args.sequences]
    return videos


def _preset(args: argparse.Namespace) -> Callable[[], Tracker]:
    """What makes trackers that share one model."""
    import torch

    from tracker.build import build_parts
    from tracker.pipeline import HQTracker

    if args.threads:
        torch.set_num_threads(args.threads)
    overrides = read_overrides(args.set)
    if args.weights is not None and args.weights.is_file():
        parts = _parts_of_file(args.weights, args.preset, args.device, overrides)
    else:
        parts = build_parts(args.preset, args.weights, args.device, overrides)
    log.info("weights: %s", parts.weights_note)
    return lambda: HQTracker(parts.new_session, parts.refiner, parts.config, parts.weights_note)


def _parts_of_file(file: Path, name: str, device: str | None, overrides: dict[str, Any]) -> Parts:
    """The network and weights of one file (as training writes it), no refiner."""
    import torch

    from tracker.build import Parts, usable_device
    from tracker.checkpoints import fill, read_bundled
    from tracker.vmos.model import VmosModel
    from tracker.vmos.session import VmosSession

    place = usable_device(device)
    state, network, _ = read_bundled(file)
    config = replace(preset(name, **overrides), vmos=network)
    model = VmosModel(network)
    fill(model, state, str(file))
    model = model.to(place, memory_format=torch.channels_last).eval()
    return Parts(lambda: VmosSession(model, config, place), None, config, str(file))
