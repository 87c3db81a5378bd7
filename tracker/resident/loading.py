"""Making the tracker: what it has to look like, where it comes from, and a time limit."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from tracker.config import ConfigError
from tracker.resident.options import OptionsError, ServeOptions

if TYPE_CHECKING:
    import numpy as np

    from tracker.prompts import Prompt

logger = logging.getLogger(__name__)
_BACKSTOP_SECONDS = 5.0


class ResultLike(Protocol):
    """The answer for one frame; `tracker.FrameResult` is one."""

    @property
    def labels(self) -> np.ndarray:
        """[H, W] integer, 0 background, objects 1..N in order of arrival."""

    @property
    def confidence(self) -> np.ndarray:
        """[N] float, 0 to 1."""


class TrackerLike(Protocol):
    """What can be served; `tracker.HQTracker` is one.

    image: [H, W, 3] uint8 RGB; objects: for each new one its mask [H, W] bool or a prompt
    (`tracker.prompts`). Every frame is exactly one call; `initialize` forgets everything before
    it. An attribute `weights_note: str`, where there is one, says which weights run; it goes to the
    log and to the results.
    """

    def initialize(self, image: np.ndarray, objects: Sequence[np.ndarray | Prompt]) -> ResultLike:
        """Start anew with these objects."""

    def track(self, image: np.ndarray) -> ResultLike:
        """The objects in the next frame."""

    def add_objects(self, image: np.ndarray, objects: Sequence[np.ndarray | Prompt]) -> ResultLike:
        """The next frame, in which new objects appear; they come last in the result."""

    def settle(self) -> None:
        """Called when an answer is on its way: time for what it need not have waited for."""

    def reset(self) -> None:
        """Forget the video, keep the models."""


TrackerFactory = Callable[[], TrackerLike]


def factory_of(options: ServeOptions) -> TrackerFactory:
    """What makes the tracker: HQTrack with a preset, or the function `--factory` names.

    Raises OptionsError when that name leads nowhere. Only calling the result loads models.
    """
    if options.factory is None:
        return lambda: _hqtrack(options)
    module_name, colon, function_name = options.factory.partition(":")
    if not colon:
        raise OptionsError(f"--factory {options.factory}: write it as MODULE:FUNCTION")
    factory = getattr(importlib.import_module(module_name), function_name, None)
    if not callable(factory):
        raise OptionsError(f"--factory: {module_name} has no function {function_name!r}")
    return factory


def load(options: ServeOptions) -> TrackerLike:
    """The tracker for these options, its models loaded."""
    begin = time.monotonic()
    tracker = factory_of(options)()
    note = getattr(tracker, "weights_note", "") or options.factory or options.preset
    logger.info("loaded in %.1f s: %s", time.monotonic() - begin, note)
    return tracker


@contextlib.contextmanager
def time_limit(seconds: float, on_expiry: Callable[[str], None]) -> Iterator[None]:
    """End this process when the block takes longer than `seconds` (0: no limit).

    `on_expiry` is called with the reason, every thread's stack goes to the log, the process exits
    with 1. If even that is stuck, the interpreter's own alarm ends the process soon after.
    """
    if not seconds:
        yield
        return
    reason = (
        f"the models were not loaded within {seconds:g} s; "
        "raise HQTRACK_START_SECONDS if they need longer"
    )
    timer = threading.Timer(seconds, _expire, (reason, on_expiry))
    timer.daemon = True
    faulthandler.dump_traceback_later(seconds + _BACKSTOP_SECONDS, exit=True, file=sys.__stderr__)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()


def give_up(reason: str) -> None:
    """Write the reason and the stack of every thread to the log and end this process with 1."""
    with contextlib.suppress(Exception):
        logger.error(reason)
        faulthandler.dump_traceback(file=sys.__stderr__, all_threads=True)
    os._exit(1)


def log_failure(error: BaseException) -> None:
    """Log why loading failed; for an option or setting that is wrong, without a traceback."""
    refused = isinstance(error, (ConfigError, OptionsError))
    logger.error("loading failed: %s", explain(error), exc_info=None if refused else error)


def explain(error: BaseException) -> str:
    """The error in one clause: its message, with its type where the message alone says little."""
    message = str(error).strip()
    named = isinstance(error, (ValueError, RuntimeError)) and len(message.split()) > 2
    return message if named else f"{type(error).__name__}: {message}".rstrip(": ")


def _expire(reason: str, on_expiry: Callable[[str], None]) -> None:
    with contextlib.suppress(Exception):
        on_expiry(reason)
    give_up(reason)


def _hqtrack(options: ServeOptions) -> TrackerLike:
    import torch

    from tracker.pipeline import HQTracker

    tracker = HQTracker.from_preset(
        options.preset, weights=options.weights, device=options.device, **dict(options.settings)
    )
    if torch.cuda.is_initialized():
        tracker.warm_up()  # A GPU's first frames are slow, and a real-time client counts them.
    return tracker
