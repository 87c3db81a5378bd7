"""The words of `python -m tracker run`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from tracker.arguments import named, some_path
from tracker.overrides import add_set_option

_NUMBERS = re.compile(r"-[0-9.][^,]*,.*")
_PLACES = ("--box", "--point")


def parse(argv: Sequence[str], about: str) -> argparse.Namespace:
    """The words as arguments; about: what --help says first. Ends the program as argparse does."""
    return _parser(about).parse_args(_joined(argv))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if message.endswith(": source"):
            message += (
                "; it comes first, as in `run video.mp4 --mask first.png`: --mask and --set take "
                "all words up to the next option, and a name that begins with - is written ./-name"
            )
        super().error(message)


def _joined(argv: Sequence[str]) -> list[str]:
    """`--box -5,40,60,40` as `--box=-5,40,60,40`: argparse takes the word for an option."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in _PLACES and _NUMBERS.fullmatch(word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _parser(about: str) -> argparse.ArgumentParser:
    parser = _Parser("python -m tracker run", description=about)
    add = parser.add_argument
    add(
        "source",
        type=named,
        help="video file, folder of frames, or camera: its number or /dev/video0",
    )
    starts = parser.add_argument_group("objects; FRAME counts from 0, which is the default")
    mask = "indexed or grey mask, an object per value; several masks may name one frame"
    starts.add_argument("--mask", nargs="+", default=[], metavar="[FRAME=]PNG", help=mask)
    box = "box around an object in pixels; repeat it for more"
    starts.add_argument("--box", action="append", default=[], metavar="[FRAME=]X,Y,W,H", help=box)
    point = "point on an object; repeat it for more objects"
    starts.add_argument("--point", action="append", default=[], metavar="[FRAME=]X,Y", help=point)
    starts.add_argument("--prompts", type=some_path, metavar="JSON", help="all of these in a file")
    add("--out", type=some_path, help="folder for the results (default: runs/NAME)")
    add("--overwrite", action="store_true", help="replace the results of an earlier run there")
    add("--resume", action="store_true", help="go on with a run that was stopped; same words")
    add("--no-overlay", action="store_true", help="do not write overlay.mp4")
    add("--rle", action="store_true", help="COCO's run-length encoded masks in objects.json")
    add("--preset", default="hqtrack", help="hqtrack (default) or hqtrack-lite")
    add(
        "--weights",
        type=some_path,
        help="folder of weights (default: $HQTRACK_WEIGHTS, else weights/)",
    )
    add("--device", help="cpu, cuda, cuda:1 (default: CUDA where there is one)")
    add_set_option(parser)
    return parser
