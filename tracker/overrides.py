"""Settings as a user writes them, `section__setting=value`: read alike by every command."""

from __future__ import annotations

import ast
import json
from argparse import ArgumentParser
from collections.abc import Sequence

from tracker.config import ConfigError


def add_set_option(parser: ArgumentParser) -> None:
    """`--set KEY=VALUE ...`, which may be repeated; the texts are in `set`."""
    text = "settings of the preset, as memory__interval=25; may be repeated"
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="SECTION__SETTING=VALUE", help=text
    )


def read_overrides(texts: Sequence[str], source: str = "--set") -> dict[str, object]:
    """["memory__interval=25"] -> {"memory__interval": 25}; of one key, the last text counts.

    Values are as JSON or Python writes them (null and None, true and True), else the text itself.
    Whether there is such a setting is not looked at. ConfigError, with the `source` of the text,
    for one without "=".
    """
    overrides: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(
                f"{source} {text}: write it as KEY=VALUE; {source} takes settings, as "
                "memory__interval=25"
            )
        overrides[key.strip()] = _value(value.strip())
    return overrides


def _value(text: str) -> object:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text
