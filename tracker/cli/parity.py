"""`python -m tracker parity CASE.npz [--forced]`: compare with a recorded reference run.

The recording's format is that of `tests/parity/README.md`, the rule for the weights that of
`tracker.vmos.deterministic`. One line per frame; exit status 1 past the limits.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import zipfile
from argparse import ArgumentTypeError
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tracker.arguments import some_path, whole
from tracker.build import usable_device
from tracker.config import PRESETS, ConfigError, FrameConfig, MemoryConfig, TrackerConfig

if TYPE_CHECKING:
    import torch

    from tracker.vmos.session import EncodedFrame

LOGIT_LIMIT = 1e-4
"""Largest logit difference when the recorded labels are remembered: rounding reaches 4e-5."""

MERGE_ROUNDING = 8 * 2.0**-24
"""Above ten objects the logits are those of merged float32 probabilities p, on both sides.

Near 1 one rounding step of p, 2**-24, moves the logit by 1 / (1 - p) = 1 + exp(logit) as much: our
float32 run is 1.2 such steps from a float64 one. The limit grows by eight.
"""

RESIZE_ROUNDING = 5e-2
"""Added for frames that are resized: OpenCV's cubic resize rounds about ten of a million values,
those half-way between two levels, one way on processors with AVX-512 and another way without.

One level in one pixel moves the logits around it by up to 2e-2; the others stay where they were.
"""

UNMOVED_SHARE = 0.9
"""Least share of the logits of a resized frame that is within the limit without that; 0.96 seen."""

LABEL_LIMIT = 0.999
"""Least share of equal labels in any frame."""

NEEDED = ("frames", "initial_labels", "labels", "logits", "settings")


class RecordingError(ValueError):
    """A file that is no recording of the reference implementation."""


@dataclass(frozen=True)
class FrameParity:
    """One frame: largest logit difference, share of equal labels, whether it was forced.

    same_logits: within the limits. same_memory: the frames in long- and short-term memory are
    the recorded ones.
    """

    number: int
    logit_difference: float
    equal_labels: float
    same_logits: bool
    same_memory: bool
    forced: bool

    @property
    def holds(self) -> bool:
        """Within the limits; free running, a flipped pixel moves logits, so labels decide."""
        logits_hold = self.same_logits or not self.forced
        return logits_hold and self.same_memory and self.equal_labels >= LABEL_LIMIT

    def __str__(self) -> str:
        memory = "" if self.same_memory else "other memory  "
        return (
            f"frame {self.number:4d}  logits {self.logit_difference:.2e}  "
            f"labels {100 * self.equal_labels:.4f} %  {memory}"
            f"{'ok' if self.holds else 'PAST THE LIMIT'}"
        )


def main(argv: list[str]) -> int:
    """0 when every frame holds, 1 past a limit, 2 for what is no recording or no device here."""
    parser = argparse.ArgumentParser(prog="python -m tracker parity", description=__doc__)
    parser.add_argument("case", type=some_path, help="recording, an .npz file")
    parser.add_argument(
        "--forced", action="store_true", help="remember the recorded labels, compare logits too"
    )
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args(argv)
    try:
        case = read_case(arguments.case)
        device = usable_device(arguments.device)
    except (RecordingError, ConfigError) as error:
        print(error, file=sys.stderr)
        return 2
    holds = True
    for frame in compare(case, arguments.forced, device):
        print(frame, flush=True)
        holds &= frame.holds
    return 0 if holds else 1


def read_case(file: Path) -> dict[str, np.ndarray]:
    """The recording's arrays. RecordingError names the file and what is wrong with it."""
    if file.is_file() and not zipfile.is_zipfile(file):
        raise RecordingError(f"{file}: not a recording: those are .npz files")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            case = dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise RecordingError(f"{file}: not a readable recording ({error})") from error
    missing = [name for name in NEEDED if name not in case]
    if missing:
        raise RecordingError(f"{file}: lacks {', '.join(missing)}; a recording has them all")
    _check_frames(file, case)
    try:
        settings = json.loads(str(case["settings"]))
        _config(settings)
        whole(1)(str(settings["objects"]))
    except (KeyError, TypeError, ValueError, ArgumentTypeError) as error:
        raise RecordingError(f"{file}: its settings cannot be used ({error!r})") from error
    return case


def _check_frames(file: Path, case: dict[str, np.ndarray]) -> None:
    """RecordingError unless there are frames to compare, each with its labels and logits."""
    frames, labels, logits = (case[name].shape for name in ("frames", "labels", "logits"))
    if len(frames) != 4 or frames[0] < 2:
        raise RecordingError(f"{file}: frames of shape {list(frames)}; two or more are compared")
    if labels != frames[:3] or case["initial_labels"].shape != frames[1:3]:
        raise RecordingError(f"{file}: labels of shape {list(labels)} for frames {list(frames)}")
    if logits[:1] < (frames[0] - 1,):
        raise RecordingError(f"{file}: logits of shape {list(logits)} for {frames[0]} frames")


def compare(
    case: dict[str, np.ndarray], forced: bool, device: str | torch.device = "cpu"
) -> Iterator[FrameParity]:
    """Run the recorded frames through our network with the same weights."""
    from tracker.vmos.official import deterministic_model
    from tracker.vmos.session import VmosSession

    settings = json.loads(str(case["settings"]))
    model = deterministic_model().to(device)
    session = VmosSession(model, _config(settings), device)
    session.start(case["frames"][0], case["initial_labels"], settings["objects"])
    for number in range(1, len(case["frames"])):
        same_memory = _same_memory(session.memory_frames, case, number)
        prediction = session.predict(case["frames"][number])
        decided, recorded = prediction.decide(), case["labels"][number]
        session.remember(prediction, recorded if forced else decided.labels)
        logits = case["logits"][number - 1]
        difference = np.abs(prediction.logits.cpu().numpy() - logits)
        limits = _limits(logits, len(prediction.group_logits))
        same_logits = _within(difference, limits, resized=_is_resized(prediction.frame))
        equal = float((decided.labels == recorded).mean())
        yield FrameParity(number, float(difference.max()), equal, same_logits, same_memory, forced)


def _limits(logits: np.ndarray, groups: int) -> np.ndarray:
    """The largest difference allowed at each of the recorded logits."""
    merged = MERGE_ROUNDING * (1 + np.exp(logits)) if groups > 1 else 0.0
    return np.full_like(logits, LOGIT_LIMIT) + merged


def _within(difference: np.ndarray, limits: np.ndarray, resized: bool) -> bool:
    """Whether all differences are within their limits, or for a resized frame nearly all."""
    if not resized:
        return bool((difference <= limits).all())
    unmoved = float((difference <= limits).mean())
    return unmoved >= UNMOVED_SHARE and bool((difference <= limits + RESIZE_ROUNDING).all())


def _is_resized(frame: EncodedFrame) -> bool:
    return frame.size != frame.input_size


def _same_memory(
    held: tuple[tuple[int, ...], int], case: dict[str, np.ndarray], number: int
) -> bool:
    """Whether the frames in memory are those recorded; recordings may leave them out."""
    if "long_term_frames" not in case or "short_term_frame" not in case:
        return True
    long_term = [frame for frame in case["long_term_frames"][number - 1] if frame >= 0]
    return list(held[0]) == long_term and held[1] == case["short_term_frame"][number - 1]


def _config(settings: dict) -> TrackerConfig:
    short_edge, long_edge = settings["min_short_edge"], settings["max_long_edge"]
    frame = FrameConfig(
        min_short_edge=None if short_edge is None else int(short_edge),
        max_long_edge=None if long_edge is None else int(long_edge),
        stride=int(settings["stride"]),
    )
    memory = MemoryConfig(
        capacity=int(settings["max_long_term_memories"]),
        interval=int(settings["long_term_mem_gap"]),
        short_term_lag=int(settings["short_term_mem_skip"]),
    )
    return dataclasses.replace(PRESETS["hqtrack"], frame=frame, memory=memory)
