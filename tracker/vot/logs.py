"""The logs that tell why an evaluation failed: what was added to them since it began."""

from __future__ import annotations

import os
from pathlib import Path

from tracker.resident.options import ServeOptions
from tracker.resident.places import PlaceError, log_path, runtime_folder
from tracker.vot.registry import own_section, variables_of
from tracker.vot.toolkit import tail
from tracker.vot.workspace import Workspace


class Logs:
    """The toolkit's logs of tracker errors and those of the resident servers, as they are now."""

    def __init__(self, workspace: Workspace, tracker: str) -> None:
        chosen = {**os.environ, **variables_of(own_section(workspace, tracker))}
        self._toolkit = workspace.folder / "logs"
        self._preset = chosen.get("HQTRACK_PRESET") or ServeOptions.preset
        try:
            self._servers: Path | None = runtime_folder(chosen)
        except PlaceError:
            self._servers = None
        self._sizes = {path: path.stat().st_size for path in self._paths()}

    def added(self) -> list[tuple[Path, str]]:
        """The newest log of the toolkit that was added to since, and the one of the tracker's
        server (of another preset if that one was not); each with the end of what was added.
        """
        grown = {
            path: start
            for path in self._paths()
            if path.stat().st_size != (start := self._sizes.get(path, 0))
        }
        ours = [path for path in grown if path.parent == self._toolkit]
        servers = [path for path in grown if path.parent == self._servers]
        if self._servers and (own := log_path(self._servers, self._preset)) in servers:
            servers = [own]
        return [(path, tail(path, start=grown[path])) for path in (*ours[-1:], *servers[-1:])]

    def _paths(self) -> list[Path]:
        """Oldest first."""
        paths = [p for p in self._toolkit.glob("*.log") if not p.name.startswith("vot_")]
        paths += self._servers.glob("*.log") if self._servers else []
        return sorted(paths, key=lambda path: path.stat().st_mtime)
