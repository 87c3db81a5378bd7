"""`python -m tracker weights [NAME ...]`: download the official weights and check them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tracker import weights
from tracker.arguments import some_path
from tracker.checkout import chosen_weights
from tracker.exits import INTERRUPTED


def main(argv: list[str]) -> int:
    """The command; returns its exit status: 0 only when every file named is there and right."""
    parser = argparse.ArgumentParser(prog="python -m tracker weights", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="files as --list names them; without any: those of HQTrack"
    )
    default = chosen_weights()
    parser.add_argument("--folder", type=some_path, default=default, help=f"default: {default}")
    parser.add_argument("--list", action="store_true", help="say what there is and what is here")
    args = parser.parse_args(argv)
    if args.list:
        _list(args.folder)
        return 0
    failed = False
    for name in args.names or weights.DEFAULT_NAMES:
        try:
            entry = weights.find(name)
            _check_before_recording(entry, args.folder)
            path = weights.fetch(entry, args.folder)
            print(f"{path}: checked")
        except weights.WeightsError as error:
            failed = True
            print(f"weights failed: {error}", file=sys.stderr)
        except KeyboardInterrupt:
            print("\ninterrupted; the next run goes on from here", file=sys.stderr)
            return INTERRUPTED
    return 1 if failed else 0


def _check_before_recording(entry: weights.WeightFile, folder: Path) -> None:
    """WeightsError for a file without a digest, published or recorded, that is no checkpoint.

    It came by hand, and a page saved in its place or a download cut short would be recorded.
    """
    path = folder / entry.name
    if not path.is_file() or entry.sha256 or weights.recorded_digest(path):
        return
    from tracker.checkpoints import CheckpointError, read_torch
    from tracker.vmos.official import from_official

    try:
        from_official(read_torch(path), str(path))
    except CheckpointError as error:
        raise weights.WeightsError(str(error)) from error


def _list(folder: Path) -> None:
    for entry in weights.MANIFEST:
        size = f"{entry.size / 1e6:8.1f} MB" if entry.size else " " * 11
        state = "here" if (folder / entry.name).is_file() else "-"
        print(f"{entry.name:<26} {size}  {state:<5} {entry.use}")
