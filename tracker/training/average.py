"""`python -m tracker average OUT FILE FILE ...`: the mean of weights of one network.

Runs that went on from the same weights are good at different things, and their mean, value by
value, keeps much of each at the cost of one. Source: model soups (Wortsman et al., ICML 2022).
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from tracker.arguments import output_file, some_path
from tracker.checkpoints import CheckpointError, read_bundled
from tracker.config import VmosConfig
from tracker.training.export import write

logger = logging.getLogger(__name__)


Weights = tuple[dict[str, Tensor], VmosConfig, dict[str, str]]
"""Entries, network settings and notes of a file."""


def average(files: Sequence[Path]) -> Weights:
    """The mean of bundled files, in float32. A file that is named twice counts twice.

    Raises CheckpointError for a file that cannot be read, and for one of another preset, of another
    network or with other entries than the first.
    """
    read = [read_bundled(file) for file in files]
    for file, weights in zip(files, read, strict=True):
        if _kind(weights) != _kind(read[0]):
            raise CheckpointError(
                f"{file} is of another network than {files[0]}; a mean is of files of one network"
            )
    first, network, notes = read[0]
    states = [state for state, _, _ in read]
    mean = {name: sum(s[name].float() for s in states) / len(states) for name in first}
    data = dict.fromkeys(its_notes["data"] for _, _, its_notes in read if "data" in its_notes)
    names = ", ".join(file.name for file in files)
    return (
        mean,
        network,
        {
            "preset": notes.get("preset", ""),
            "recipe": f"mean of {len(files)} files ({names})",
            "data": " / ".join(data),
        },
    )


def _kind(weights: Weights) -> tuple[object, ...]:
    """What files of one network have in common."""
    state, network, notes = weights
    return network, notes.get("preset"), {name: value.shape for name, value in state.items()}


def main(argv: list[str]) -> int:
    """Run the command. Status 1: a file that cannot be read, or of another network."""
    parser = argparse.ArgumentParser("python -m tracker average", description=__doc__)
    add = parser.add_argument
    add("out", type=output_file, metavar="OUT", help="the file to write (NAME.safetensors)")
    add("files", type=some_path, nargs="+", metavar="FILE", help="one named twice counts twice")
    args = parser.parse_args(argv)
    try:
        state, network, notes = average(args.files)
        write(state, network, args.out, notes)
    except (CheckpointError, OSError) as error:
        print(f"average: {error}", file=sys.stderr)
        return 1
    logger.info("%s: %s", args.out, notes["recipe"])
    return 0
