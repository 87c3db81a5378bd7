"""What a server is asked to be, from the command line; the environment gives the defaults.

HQTRACK_PRESET, HQTRACK_WEIGHTS, HQTRACK_DEVICE, HQTRACK_FACTORY, HQTRACK_IDLE_SECONDS,
HQTRACK_START_SECONDS, HQTRACK_HANGUP_SECONDS and HQTRACK_IN_PROCESS stand for the options of
those names: in trackers.ini `env_HQTRACK_DEVICE = cuda:1` sets one. HQTRACK_SET holds settings of
the preset, KEY=VALUE separated by spaces; a `--set` of the same key wins.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NoReturn

from tracker.arguments import some_path
from tracker.checkout import in_project
from tracker.config import ConfigError, preset
from tracker.overrides import add_set_option, read_overrides

_DEFAULTS: Mapping[str, str] = {
    "preset": "hqtrack",
    "idle_seconds": "600",
    "start_seconds": "600",
    "hangup_seconds": "120",
}


class OptionsError(ValueError):
    """An option that does not exist or has a value that makes no sense."""


_UPKEEP = {"upkeep": True}  # of options that change no answer


@dataclass(frozen=True)
class ServeOptions:
    """What to load and how long to live.

    weights is a folder, absolute (None: the one of the project); settings are overrides of the
    preset, as (key, value) pairs. A server leaves after `idle_seconds` without a session (0:
    never); loading may take `start_seconds`; a session whose client is gone may take
    `hangup_seconds` to notice.
    """

    preset: str = "hqtrack"
    weights: Path | None = None
    device: str | None = None
    factory: str | None = None
    settings: tuple[tuple[str, object], ...] = ()
    idle_seconds: float = field(default=600.0, metadata=_UPKEEP)
    start_seconds: float = field(default=600.0, metadata=_UPKEEP)
    hangup_seconds: float = field(default=120.0, metadata=_UPKEEP)
    in_process: bool = field(default=False, metadata=_UPKEEP)

    def to_argv(self) -> list[str]:
        """The command line that gives these options again (without `in_process`)."""
        argv = ["--preset", self.preset]
        for name in ("weights", "device", "factory"):
            if getattr(self, name) is not None:
                argv += [f"--{name}", str(getattr(self, name))]
        for key, value in self.settings:
            argv += ["--set", f"{key}={json.dumps(value)}"]
        for name in ("idle_seconds", "start_seconds", "hangup_seconds"):
            argv += [f"--{name.replace('_', '-')}", str(getattr(self, name))]
        return argv


def _variable(option: str) -> str:
    return "HQTRACK_SET" if option == "settings" else f"HQTRACK_{option.upper()}"


DECIDING = tuple(
    _variable(option.name) for option in fields(ServeOptions) if option.metadata != _UPKEEP
)
"""The variables that can change an answer."""

VARIABLES = frozenset(
    {"HQTRACK_RUNTIME_DIR", *(_variable(option.name) for option in fields(ServeOptions))}
)
"""All variables of this project that a section of trackers.ini can set."""


class _Parser(argparse.ArgumentParser):
    """Raises OptionsError, so that the caller decides where the reason goes."""

    def error(self, message: str) -> NoReturn:
        raise OptionsError(message)


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    """A parser for ServeOptions, to which a command may add its own arguments."""
    result = _Parser(
        prog=prog,
        description=description,
        epilog="Every option has a default in the environment: HQTRACK_PRESET, "
        "HQTRACK_IDLE_SECONDS and so on; HQTRACK_SET='a__b=1 c__d=2' holds settings. "
        "Sockets and logs lie in HQTRACK_RUNTIME_DIR (default: hqtrack in XDG_RUNTIME_DIR, "
        "or hqtrack-UID in the folder for temporary files).",
    )
    add = result.add_argument
    presets = "hqtrack or hqtrack-lite (default: %(default)s)"
    add("--preset", default=_default("preset"), help=presets)
    add(
        "--weights",
        type=some_path,
        default=_default("weights"),
        help="folder of the weights; a relative path begins at the project (default: weights)",
    )
    add("--device", default=_default("device"), help="cpu, cuda, cuda:1 (default: what there is)")
    add_set_option(result)
    add("--factory", default=_default("factory"), metavar="MODULE:FUNCTION",
        help="serve what this function returns in place of HQTrack")  # fmt: skip
    add("--idle-seconds", type=_seconds, default=_default("idle_seconds"), metavar="S",
        help="leave after this idle time, 0: never (default: %(default)s)")  # fmt: skip
    add("--start-seconds", type=_seconds, default=_default("start_seconds"), metavar="S",
        help="time limit for loading the models (default: %(default)s)")  # fmt: skip
    add("--hangup-seconds", type=_seconds, default=_default("hangup_seconds"), metavar="S",
        help="time a session may take to end when its client is gone; "
        "then the server is given up (default: %(default)s)")  # fmt: skip
    add("--in-process", action="store_true", default=_default("in_process") not in (None, "", "0"),
        help="no resident server: load the models in this process, for one session")  # fmt: skip
    return result


def preset_of(argv: Sequence[str] | None) -> str:
    """The preset that a command line names (None: that of this process), whatever its faults."""
    only = _Parser(add_help=False)
    only.add_argument("--preset", default=_default("preset"))
    try:
        return only.parse_known_args(argv)[0].preset
    except OptionsError:  # --preset without a value
        return only.get_default("preset")


def options_from(arguments: argparse.Namespace) -> ServeOptions:
    """ServeOptions of parsed arguments and $HQTRACK_SET.

    Raises OptionsError for a setting that is not KEY=VALUE, and where HQTrack is to be served for
    an unknown preset, an unknown setting and a value that makes no sense.
    """
    try:
        settings = read_overrides(_settings_of_environment(), "HQTRACK_SET")
        settings |= read_overrides(arguments.set)
        if arguments.factory is None:
            preset(arguments.preset, **settings)
    except ConfigError as error:
        raise OptionsError(str(error)) from error
    weights = arguments.weights
    return ServeOptions(
        preset=arguments.preset,
        weights=None if weights is None else in_project(weights),
        device=arguments.device,
        factory=arguments.factory,
        settings=tuple(sorted(settings.items())),
        idle_seconds=arguments.idle_seconds,
        start_seconds=arguments.start_seconds,
        hangup_seconds=arguments.hangup_seconds,
        in_process=arguments.in_process,
    )


def _default(name: str) -> str | None:
    return os.environ.get(f"HQTRACK_{name.upper()}") or _DEFAULTS.get(name)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds; write a number from 0")
    return value


def _settings_of_environment() -> list[str]:
    text = os.environ.get("HQTRACK_SET", "")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise OptionsError(f"HQTRACK_SET is {text!r}: {error}") from error
