"""`python -m tracker pictures`: two pictures for a page of text, such as the README's.

A strip with a row of frames per sequence, and the plot of the first sequence. The same results make
the same files. The README's: TRACKER=HQTrackLite on the demo data, `--out docs/images`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from tracker.arguments import output_folder
from tracker.frames import FrameError
from tracker.view.build import save
from tracker.view.panels import Painter
from tracker.view.plots import plot_overlaps
from tracker.view.series import measure
from tracker.view.sheets import even_frames, sheet
from tracker.view.vot_footage import VotFootage, workspace_footage
from tracker.vot.chosen import add_arguments, workspace_of
from tracker.vot.errors import VotError
from tracker.vot.workspace import Workspace

STRIP, PLOT = "demo.webp", "iou.svg"

_COLUMNS = 4
_WIDTH = 300


def main(argv: list[str]) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tracker pictures", description=__doc__)
    add_arguments(parser)
    parser.add_argument(
        "--out", type=output_folder, help="folder (default: beside the toolkit's report)"
    )
    args = parser.parse_args(argv)
    try:
        workspace = workspace_of(args)
        out = args.out or workspace.folder / "reports" / args.tracker / "pictures"
        paths = draw_pictures(workspace, args.tracker, out)
    except (VotError, FrameError, OSError) as error:
        print(f"\npictures failed: {error}", file=sys.stderr)
        return 1
    print("saved: " + ", ".join(f"{path} ({path.stat().st_size} bytes)" for path in paths))
    return 0


def draw_pictures(workspace: Workspace, tracker: str, folder: Path) -> list[Path]:
    """Draw the strip, a row of frames for each sequence, and the plot, of the first sequence."""
    footage = list(workspace_footage(workspace, tracker))
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / STRIP, sheet([_row(one) for one in footage], columns=1))
    plot_overlaps(measure(footage[0]), [], folder / PLOT, footage[0].name)
    return [folder / STRIP, folder / PLOT]


def _row(footage: VotFootage) -> np.ndarray:
    """Frames of a sequence with the result, from the first to the last."""
    painter = Painter(footage, measure(footage), _WIDTH)
    numbers = even_frames(footage.length, _COLUMNS)
    frames = zip(numbers, footage.images(numbers), strict=True)
    return sheet([painter.result(number, image) for number, image in frames], _COLUMNS)
