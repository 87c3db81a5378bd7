"""The identity of a server, and the socket, lock and log that follow from it.

Two clients share a server exactly when they ask for the same tracker: same code and factory, same
weight files, same preset, settings and devices, same Python. Anything else is another server.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from tracker.checkout import ROOT, WEIGHTS, in_project
from tracker.resident.options import ServeOptions

# sun_path holds 104 bytes on macOS, 108 on Linux, the closing zero included.
_LONGEST_SOCKET_PATH = 103
_NO_WEIGHTS = (".part", ".md")


class PlaceError(OSError):
    """There is no folder in which a private Unix socket can lie."""


@dataclass(frozen=True)
class Place:
    """Where one server is found. The log is per preset, so that its path stays the same."""

    folder: Path
    identity: str
    preset: str

    @property
    def socket(self) -> Path:
        """The Unix socket the server listens on."""
        return self.folder / f"{self.identity}.sock"

    @property
    def lock(self) -> Path:
        """Held for a moment while a server is looked for and started, or takes its socket away."""
        return lock_path(self.folder)

    @property
    def log(self) -> Path:
        """The log of every server of this preset."""
        return log_path(self.folder, self.preset)


def place_of(options: ServeOptions) -> Place:
    """Where the server for these options is found. Raises PlaceError: see `runtime_folder`."""
    place = Place(runtime_folder(), identity(options), options.preset)
    if len(os.fsencode(place.socket)) > _LONGEST_SOCKET_PATH:
        raise PlaceError(
            f"{place.socket} is too long for a socket; set HQTRACK_RUNTIME_DIR to a shorter folder"
        )
    return place


def lock_path(folder: Path) -> Path:
    """The lock of a runtime folder."""
    return folder / "servers.lock"


def log_path(folder: Path, preset: str) -> Path:
    """The log of servers of this preset in a runtime folder."""
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in preset)
    return folder / f"{safe}.log"


def runtime_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The private folder (mode 0700) for sockets, locks and logs, made when it is missing.

    HQTRACK_RUNTIME_DIR (a relative path begins at the project: clients start anywhere), or hqtrack
    in XDG_RUNTIME_DIR (a relative one is ignored, as the XDG specification says), or hqtrack-UID in
    the folder for temporary files. Raises PlaceError when it cannot be made or belongs to somebody
    else.
    """
    user = os.getuid() if hasattr(os, "getuid") else "user"
    if chosen := environment.get("HQTRACK_RUNTIME_DIR"):
        folder = in_project(chosen)
    elif (system := Path(environment.get("XDG_RUNTIME_DIR", ""))).is_absolute():
        folder = system / "hqtrack"
    else:
        folder = Path(tempfile.gettempdir()) / f"hqtrack-{user}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise PlaceError(f"cannot make {folder}: {error}; set HQTRACK_RUNTIME_DIR") from error
    if not stat.S_ISDIR(status.st_mode) or (user != "user" and status.st_uid != user):
        raise PlaceError(f"{folder} is not a folder of yours; set HQTRACK_RUNTIME_DIR to one")
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
        folder.chmod(0o700)
    return folder


def identity(options: ServeOptions) -> str:
    """16 hex digits that differ when the tracker would: code, weight files, settings, device."""
    parts = [
        sys.prefix,
        sys.version,
        str(ROOT),
        code_digest(ROOT / "tracker"),
        options.preset,
        options.settings,
        options.factory,
        factory_digest(options.factory),
        options.device,
        os.environ.get("CUDA_VISIBLE_DEVICES"),
        # A folder without the bundled weights is filled up from the project's.
        [weight_files(folder) for folder in (options.weights, WEIGHTS) if folder],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def code_digest(package: Path) -> str:
    """sha256 over the names and contents of all Python files of a package."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def factory_digest(factory: str | None) -> str | None:
    """sha256 of the file of the module in MODULE:FUNCTION, which is looked for without importing.

    None when there is no such file: loading says why.
    """
    if factory is None:
        return None
    spec, folders = None, [str(ROOT), *sys.path]
    for name in factory.partition(":")[0].split("."):
        spec = PathFinder.find_spec(name, folders)
        folders = [] if spec is None else [*(spec.submodule_search_locations or ())]
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()


def weight_files(weights: Path) -> list[tuple[str, int, int]]:
    """(name, bytes, time of change in ns) of every weight file; empty when there is none."""
    paths = [weights] if weights.is_file() else sorted(weights.glob("*"))
    kept = [p for p in paths if p.is_file() and p.suffix not in _NO_WEIGHTS and p.name[0] != "."]
    return [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in kept]
