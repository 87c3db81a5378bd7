"""`python -m tracker COMMAND ...`: a table of commands, each imported when it is used.

Every module named here has `main(argv: list[str]) -> int`, which parses its own arguments.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys

from tracker.exits import INTERRUPTED
from tracker.threads import wait_briefly

COMMANDS = {
    "run": ("tracker.cli.run", "track objects in your own video or folder of frames"),
    "web": ("tracker.web.command", "a page on this computer to track objects in your own video"),
    "serve": ("tracker.serve", "the resident TraX server (started by itself when needed)"),
    "stop": ("tracker.cli.stop", "stop resident servers"),
    "weights": ("tracker.cli.weights", "download and check the official weights"),
    "doctor": ("tracker.cli.doctor", "check the installation, say what to do about faults"),
    "demo": ("tracker.vot.demo", "make the demo data set in VOT format"),
    "convert": ("tracker.vot.convert", "make a VOT data set of frames with indexed masks"),
    "evaluate": ("tracker.vot.evaluate", "run the VOT toolkit and check what it leaves"),
    "scores": ("tracker.vot.scores", "analyse results and print the table of scores"),
    "view": ("tracker.view.command", "pictures, videos and plots of results, on a page"),
    "pictures": (
        "tracker.view.pictures",
        "a strip of frames and a plot, for a page of text",
    ),
    "submit": ("tracker.vot.submit", "pack and verify a challenge entry"),
    "parity": ("tracker.cli.parity", "compare with recordings of the reference implementation"),
    "train": ("tracker.cli.train", "train VMOS by a recipe"),
    "average": ("tracker.training.average", "the mean of weights of one network"),
    "compose": ("tracker.training.compose", "make videos of several objects to score on"),
    "eval": ("tracker.bench.eval_vos", "J&F on videos with masks, beside two floors"),
    "bench": ("tracker.bench.speed", "measure speed and memory"),
    "bench-kernels": ("tracker.bench.kernels", "measure every way there is to attend"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit status.

    Ctrl-C in a command that says nothing about it itself ends it with one line, and a reader of
    the output that has gone (`| head -1`) with none.
    """
    try:
        status = _run(sys.argv[1:] if argv is None else argv)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        if not _reader_has_gone():
            raise
        # what is left in the buffer would be written once more, with a message, at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _reader_has_gone() -> bool:
    """Whether the output cannot be written; a pipe to another process may break as well."""
    try:
        print(flush=True)
    except BrokenPipeError:
        return True
    return False


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: python -m tracker COMMAND [--help]\n")
        for name, (_, text) in COMMANDS.items():
            print(f"  {name:<13} {text}")
        return 0
    if arguments[0] not in COMMANDS:
        print(f"unknown command {arguments[0]!r}; commands: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    wait_briefly(os.environ)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(name)s: %(message)s")
    return importlib.import_module(COMMANDS[arguments[0]][0]).main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
