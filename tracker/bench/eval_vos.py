"""`python -m tracker eval`: J and F of a tracker on videos with masks, beside two floors."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from tracker.arguments import output_file, whole
from tracker.bench.floors import RepeatFirstMask, WarpByFlow
from tracker.bench.metrics import Scorer
from tracker.bench.one_by_one import OneByOne
from tracker.bench.scores import SequenceScore, as_json, mean, percent, table
from tracker.config import ConfigError, preset
from tracker.overrides import add_set_option, read_overrides
from tracker.training.manifest import NAME, by_name, read_manifest
from tracker.training.sources import DataError, Video, find_videos, read_labels, read_rgb

if TYPE_CHECKING:
    from tracker.build import Parts

log = logging.getLogger(__name__)


class HasLabels(Protocol):
    """An answer: labels [H, W], 0 background, objects 1..N in order of arrival."""

    @property
    def labels(self) -> np.ndarray: ...


class Tracker(Protocol):
    """The calls of HQTracker: one of them for each frame (masks [N, H, W] bool)."""

    def initialize(self, image: np.ndarray, masks: np.ndarray) -> HasLabels: ...
    def track(self, image: np.ndarray) -> HasLabels: ...
    def add_objects(self, image: np.ndarray, masks: np.ndarray) -> HasLabels: ...


def evaluate_video(tracker: Tracker, video: Video, max_frames: int | None = None) -> SequenceScore:
    """Track one video from its masks; every frame with a mask but the first and last is scored.

    Objects start in the first frame whose mask shows them: the first ones by `initialize`, later
    ones by `add_objects`. Frames before the first mask are skipped.
    Raises DataError if there is no mask, or no object in any.
    """
    frames, masks = video.frames[:max_frames], video.masks[:max_frames]
    scorer, ids, seconds, count = Scorer(), [], 0.0, 0
    for t, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        truth = None if mask is None else read_labels(mask)
        new = [] if truth is None else [i for i in _present(truth) if i not in ids]
        if not ids and not new:
            continue
        image = read_rgb(frame)
        started = time.perf_counter()
        answer = _step(tracker, image, truth, new, first=not ids)
        seconds += time.perf_counter() - started
        count += 1
        if truth is not None and ids and t < len(frames) - 1:
            scorer.add(_with_ids(answer.labels, [*ids, *new]), truth, list(ids))
        ids += new
    if not ids:
        raise DataError(f"{video.name}: no object in any of its masks")
    return SequenceScore(video.name, scorer.result(), count, seconds)


def _step(tracker: Tracker, image, truth, new: list[int], first: bool) -> HasLabels:
    if not new:
        return tracker.track(image)
    masks = np.stack([truth == i for i in new])
    return tracker.initialize(image, masks) if first else tracker.add_objects(image, masks)


def _present(labels: np.ndarray) -> list[int]:
    return (np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[1:]) + 1).tolist()


def _with_ids(labels: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """From order of arrival to the ids of the masks."""
    table = np.zeros(max(len(ids) + 1, int(labels.max()) + 1), np.uint8)
    table[1 : len(ids) + 1] = ids
    return table[labels]


def evaluate(
    make_tracker: Callable[[], Tracker], videos: Sequence[Video], max_frames: int | None = None
) -> list[SequenceScore]:
    """Every video in turn, each with what `make_tracker` gives (it may be one object, reused)."""
    scores = []
    for video in videos:
        score = evaluate_video(make_tracker(), video, max_frames)
        log.info("%s: J&F %s, %.2f frames/s", video.name, percent(mean([score]).jf), score.fps)
        scores.append(score)
    return scores


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
        height, width = read_rgb(video.frames[0]).shape[:2]
        ids = {i for m in video.masks if m is not None for i in _present(read_labels(m))}
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
    p.add_argument("--data", type=Path, required=True, help="folder of videos with masks")
    p.add_argument("--preset", default="hqtrack-lite")
    p.add_argument(
        "--weights", type=Path, help="file or folder; default: $HQTRACK_WEIGHTS, else weights/"
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
    """Run the command; `tracker` replaces the preset's. Status 2: unusable data or weights."""
    args = parser().parse_args(argv)
    try:
        videos = _videos(args)
    except DataError as error:
        print(f"eval: {error}", file=sys.stderr)
        return 2
    if args.threads:
        cv2.setNumThreads(args.threads)
    methods: dict[str, list[SequenceScore]] = {}
    if not args.floors_only:
        from tracker.checkpoints import CheckpointError

        try:
            tracker = tracker or _preset(args)
        except (ConfigError, CheckpointError) as error:
            print(f"eval: {error}", file=sys.stderr)
            return 2
        methods[args.preset] = evaluate(tracker, videos, args.max_frames)
        if args.one_by_one:
            alone = OneByOne(tracker)
            methods["one by one"] = evaluate(lambda: alone, videos, args.max_frames)
    if not args.no_floors:
        methods["repeat first mask"] = evaluate(RepeatFirstMask, videos, args.max_frames)
        methods["warp by flow"] = evaluate(WarpByFlow, videos, args.max_frames)
    print(table(methods))
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(as_json(methods), indent=1) + "\n")
    return 0


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
