"""Weights with their digests, the registry, and the folder of the resident servers."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from tracker import weights
from tracker.checkout import REGISTRY, WEIGHTS
from tracker.doctor import registry_values
from tracker.doctor.finding import FAIL, NOTE, OK, Finding
from tracker.resident.places import PlaceError, runtime_folder

BUNDLED = "hqtrack-lite.safetensors"
AS_UTF8 = "save it as UTF-8, for instance with iconv -f LATIN1 -t UTF-8"
_RESTORE = f"git checkout weights/{BUNDLED}"
_LEAST_FREE = 1 << 30
_PROTOCOLS = ("trax", "traxpython", "folder", "folderpython")
# What vot-toolkit 0.9.0 takes in a section; with anything else its TraX trackers do not start.
_KEYS = {
    *("label", "protocol", "command", "version", "tags", "storage"),
    *("timeout", "linkpaths", "socket", "restart", "onerror"),
}
_PYTHON_KEYS = {"paths", "python"}
_KEY_PREFIXES = ("env_", "arg_", "meta_")


def check_weights(folder: Path) -> list[Finding]:
    """The bundled weights, and every official file that is there; the two that are needed.

    No tracker starts with a folder that is not there.
    """
    if not folder.is_dir():
        remedy = "name the folder in $HQTRACK_WEIGHTS, or make it"
        return [Finding("weights", FAIL, f"no weights folder {folder}", remedy)]
    own = folder / BUNDLED
    findings = [check_bundled(own if own.is_file() else WEIGHTS / BUNDLED)]
    for entry in weights.MANIFEST:
        if (folder / entry.name).is_file():
            findings.append(_check_official(entry, folder / entry.name))
        elif entry.name in weights.DEFAULT_NAMES:
            text = f"not in {folder}: HQTrack runs without it, and says so"
            findings.append(Finding(entry.name, NOTE, text, "make weights"))
    return findings


def _check_official(entry: weights.WeightFile, path: Path) -> Finding:
    if not (entry.sha256 or weights.recorded_digest(path)):
        text = "no digest is published, and none is recorded yet"
        return Finding(entry.name, NOTE, text, f"{weights.fetch_command(path)} records it")
    try:
        return Finding(entry.name, OK, f"sha256 {weights.check_file(entry, path)[:16]}...")
    except (weights.WeightsError, OSError) as error:
        remedy = f"remove {path}, then {weights.fetch_command(path)}"
        return Finding(entry.name, FAIL, str(error), remedy)


def check_bundled(path: Path) -> Finding:
    """Whether a safetensors file is whole: its header says how long it is."""
    name = path.name
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 0 < length < size else {}
    except OSError as error:
        return Finding(name, FAIL, f"cannot be read: {error}", _RESTORE)
    except ValueError:
        header = {}
    ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
    if not ends or 8 + length + max(ends) != size:
        return Finding(name, FAIL, f"{path} is damaged ({size} bytes)", _RESTORE)
    digest, recorded = weights.sha256_of(path), weights.recorded_digest(path)
    if recorded not in (None, digest):
        text = f"{path} is damaged: sha256 {digest[:16]}... instead of {recorded[:16]}..."
        return Finding(name, FAIL, text, _RESTORE)
    return Finding(name, OK, f"{len(ends)} entries, sha256 {digest[:16]}...")


def check_registry(path: Path = REGISTRY, wanted: Sequence[str] = ()) -> list[Finding]:
    """Every tracker of trackers.ini, by what the toolkit demands; the `wanted` must be there."""
    parser = configparser.ConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=path.name)
    except UnicodeDecodeError as error:
        return [Finding("registry", FAIL, f"{path}: {error}", AS_UTF8)]
    except (configparser.Error, OSError) as error:
        return [Finding("registry", FAIL, f"{path}: {error}", f"git checkout {path.name}")]
    names = parser.sections()
    if not names:
        return [Finding("registry", FAIL, f"{path} names no tracker", f"git checkout {path.name}")]
    remedy = f"name one of {', '.join(names)}"
    absent = [
        Finding(f"[{name}]", FAIL, f"no section [{name}] in {path}", remedy)
        for name in wanted
        if name not in names
    ]
    return [_check_section(path, name, parser) for name in names] + absent


def _check_section(path: Path, name: str, parser: configparser.ConfigParser) -> Finding:
    settings = dict(parser.items(name, raw=True))
    what, faults = f"[{name}]", []
    if not re.fullmatch("[A-Za-z0-9-]+", name):
        faults.append("a name has letters, digits and `-` (a challenge takes no underscore)")
    if not re.fullmatch("[1-9][0-9]*", settings.get("timeout", "30")):
        faults.append(f"timeout = {settings['timeout']}: a whole number of seconds from 1")
    if settings.get("protocol") not in _PROTOCOLS:
        faults.append(f"protocol = {settings.get('protocol')}: traxpython is the one for masks")
    elif "folder" in settings["protocol"] and "timeout" in settings:
        faults.append("vot-toolkit 0.9.0 fails on a timeout of the folder protocol")
    if not settings.get("command"):
        faults.append("there is no command")
    faults += registry_values.faults_of(name, parser)
    if unknown := _unknown_keys(settings):
        faults.append(
            f"the toolkit does not start a tracker with {', '.join(unknown)}; "
            f"what is only to be noted is written {', '.join(f'meta_{key}' for key in unknown)}"
        )
    module = settings.get("command", "").replace(".", "/")
    folders = [path.parent / part for part in settings.get("paths", ".").split(os.pathsep)]
    found = any((folder / f"{module}.py").is_file() for folder in folders)
    if (
        settings.get("protocol", "").endswith("python")
        and re.fullmatch(r"[\w/]+", module)
        and not found
    ):
        faults.append(f"no module {settings['command']} in paths = {settings.get('paths')}")
    if faults:
        return Finding(what, FAIL, "; ".join(faults), f"mend it in {path}")
    return Finding(what, OK, f"{settings['command']} in {path}")


def _unknown_keys(settings: dict[str, str]) -> list[str]:
    """Keys that the toolkit refuses: the folder protocol passes over what it does not know."""
    protocol = settings.get("protocol", "")
    if "trax" not in protocol:
        return []
    known = _KEYS | _PYTHON_KEYS if protocol.endswith("python") else _KEYS
    return [key for key in settings if key not in known and not key.startswith(_KEY_PREFIXES)]


def check_runtime_folder() -> Finding:
    """Whether sockets and logs of the resident servers can be made where they belong."""
    remedy = "HQTRACK_RUNTIME_DIR=/some/short/folder of yours"
    try:
        folder = runtime_folder()
    except PlaceError as error:
        return Finding("resident server", FAIL, str(error), remedy)
    probe = folder / f"doctor-{os.getpid()}.sock"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
            trial.bind(str(probe))
    except (OSError, AttributeError) as error:
        text = f"no Unix socket in {folder} ({error}): every sequence loads the models anew"
        return Finding("resident server", NOTE, text, remedy)
    finally:
        probe.unlink(missing_ok=True)
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE:
        text = f"{free / 2**20:.0f} MiB free in {folder}"
        return Finding("resident server", NOTE, text, "free some space, or " + remedy)
    return Finding("resident server", OK, f"sockets and logs in {folder}")
