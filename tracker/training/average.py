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

from tracker.arguments import output_file
from tracker.checkpoints import CheckpointError, read_bundled
from tracker.config import VmosConfig
from tracker.training.export import write

logger = logging.getLogger(__name__)


def average(files: Sequence[Path]) -> tuple[dict[str, Tensor], VmosConfig, dict[str, str]]:
    """float32 entries, network settings and notes of the mean of bundled files.

    A file that is named twice counts twice. Raises CheckpointError for a file that cannot be read,
    and for one of another preset, of another network or with other entries than the first.
    """
    state, network, notes = read_bundled(files[0])
    total = {name: value.float() for name, value in state.items()}
    data = [notes.get("data", "")]
    for file in files[1:]:
        other, its_network, its_notes = read_bundled(file)
        shapes = {name: value.shape for name, value in other.items()}
        if (
            its_network != network
            or its_notes.get("preset") != notes.get("preset")
            or shapes != {name: value.shape for name, value in state.items()}
        ):
            raise CheckpointError(
                f"{file} is of another network than {files[0]}; a mean is of files of one network"
            )
        for name, value in other.items():
            total[name] += value
        data.append(its_notes.get("data", ""))
    names = ", ".join(file.name for file in files)
    return (
        {name: value / len(files) for name, value in total.items()},
        network,
        {
            "preset": notes.get("preset", ""),
            "recipe": f"mean of {len(files)} files ({names})",
            "data": " / ".join(dict.fromkeys(filter(None, data))),
        },
    )


def main(argv: list[str]) -> int:
    """Run the command. Status 1: a file that cannot be read, or of another network."""
    parser = argparse.ArgumentParser("python -m tracker average", description=__doc__)
    add = parser.add_argument
    add("out", type=output_file, metavar="OUT", help="the file to write (NAME.safetensors)")
    add("files", type=Path, nargs="+", metavar="FILE", help="one named twice counts twice")
    args = parser.parse_args(argv)
    try:
        state, network, notes = average(args.files)
        write(state, network, args.out, notes)
    except (CheckpointError, OSError) as error:
        print(f"average: {error}", file=sys.stderr)
        return 1
    logger.info("%s: %s", args.out, notes["recipe"])
    return 0
