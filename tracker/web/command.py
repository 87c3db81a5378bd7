"""`python -m tracker web`: a page on this computer to track objects in your own videos.

Only this computer can open it (127.0.0.1). Nothing is loaded from the network.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import socket
from typing import TYPE_CHECKING

from tracker.arguments import above_zero, some_path, whole
from tracker.overrides import add_set_option, read_overrides
from tracker.web.limits import Limits

if TYPE_CHECKING:
    from tracker.web.site import Site

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
PORT = 8080
LAST_PORT = 65535


def main(argv: list[str]) -> int:
    """Serve until interrupted; returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        _check_port(arguments.port)
    except OSError as error:
        logger.error("%s", error)
        return 1
    if importlib.util.find_spec("nicegui") is None:
        logger.error("the page needs NiceGUI: python -m pip install -e '.[web]' in the repository")
        return 1
    from tracker.checkpoints import CheckpointError
    from tracker.out_of_memory import OutOfMemoryError

    try:
        site = make_site(arguments)
    except (ValueError, OSError, CheckpointError, OutOfMemoryError) as error:
        logger.error("%s", error)
        return 1
    logger.info("weights: %s", site.tracker.weights_note)
    from tracker.web.app import serve

    serve(site, HOST, arguments.port, arguments.open)
    return 0


def make_site(arguments: argparse.Namespace) -> Site:
    """The tracker and the limits of a command line. Errors as of its parts."""
    from tracker.pipeline import HQTracker
    from tracker.web.places import VideoFolder
    from tracker.web.site import Site

    folder = None if arguments.folder is None else VideoFolder(arguments.folder)
    settings = read_overrides(arguments.set)
    tracker = HQTracker.from_preset(
        arguments.preset, arguments.weights, arguments.device, **settings
    )
    limits = Limits(
        megabytes=arguments.max_megabytes,
        frames=arguments.max_frames,
        long_side=arguments.max_side,
        idle_minutes=arguments.idle_minutes,
    )
    return Site(tracker, limits, folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tracker web", description=__doc__)
    limits = Limits()
    add = parser.add_argument
    add("--port", type=whole(1, LAST_PORT), default=PORT, help=f"default {PORT}")
    add(
        "--folder",
        type=some_path,
        help="also offer the videos in this folder; no other path is opened",
    )
    add("--open", action="store_true", help="open the page in the default browser")
    add("--preset", default="hqtrack", help="hqtrack (default) or hqtrack-lite")
    add(
        "--weights",
        type=some_path,
        help="folder of weights (default: $HQTRACK_WEIGHTS, else weights/)",
    )
    add("--device", help="cpu, cuda, cuda:1 (default: CUDA where there is one)")
    add_set_option(parser)
    for name, kind, default, text in (
        ("--max-megabytes", whole(1), limits.megabytes, "of a file"),
        ("--max-frames", whole(1), limits.frames, "of a video"),
        ("--max-side", whole(1), limits.long_side, "longer side of a frame, in pixels"),
        ("--idle-minutes", above_zero, limits.idle_minutes, "until an unused video is deleted"),
    ):
        add(name, type=kind, default=default, help=f"{text} (default {default:g})")
    return parser


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise OSError(
                f"port {port} cannot be used ({error.strerror}); choose another with --port"
            ) from error
