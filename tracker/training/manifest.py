"""`manifest.json` beside the data: what it may say stands in `tracker.training.sources`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker.training.errors import DataError

NAME = "manifest.json"
REMEDY = "mend it, or remove the file"
_FLAGS = ("parts", "partition", "dense")


def read_manifest(root: Path) -> dict[str, Any]:
    """The manifest of the folder `root`, checked; empty without one.

    `sets` is a dict of dicts by the sets' names, `sequences` a list of dicts with a name each;
    either may be missing. DataError, which names the file, for anything else.
    """
    path = root / NAME
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path} ({error}); {REMEDY}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds {_shown(content)}, not an object; {REMEDY}")
    sets, sequences = content.get("sets", {}), content.get("sequences", [])
    if not isinstance(sets, dict):
        raise DataError(f"{path}: sets is {_shown(sets)}, not an object; {REMEDY}")
    if not isinstance(sequences, list):
        raise DataError(f"{path}: sequences is {_shown(sequences)}, not a list; {REMEDY}")
    for name, facts in sets.items():
        _check_facts(path, f"sets, {name}", facts)
    for number, facts in enumerate(sequences):
        _check_facts(path, f"sequences, entry {number} from 0", facts)
        if not isinstance(facts.get("name"), str):
            raise DataError(f"{path}: sequences, entry {number} from 0 has no name; {REMEDY}")
    return content


def by_name(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The facts of every sequence that the manifest lists, by its name."""
    return {facts["name"]: facts for facts in manifest.get("sequences", [])}


def _check_facts(path: Path, where: str, facts: object) -> None:
    if not isinstance(facts, dict):
        raise DataError(f"{path}: {where} is {_shown(facts)}, not an object; {REMEDY}")
    for key in _FLAGS:
        if not isinstance(facts.get(key, False), bool):
            shown = _shown(facts[key])
            raise DataError(f"{path}: {where}: {key} is {shown}, not true or false; {REMEDY}")


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
