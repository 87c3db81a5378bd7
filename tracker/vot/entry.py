"""`vot pack` so that the manifest names the challenge's own stack.

Some stacks run from a repaired copy that lies in the workspace (`vots2025/realtime.yaml`). Packing
needs no repair, and the manifest gives the stack as config.yaml does: so it is run in a workspace
of the moment that names the toolkit's stack and has the same results.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import yaml

from tracker.vot import toolkit
from tracker.vot.registry import registry_files
from tracker.vot.text import write_text
from tracker.vot.workspace import Workspace


def pack(workspace: Workspace, tracker: str) -> toolkit.ToolkitRun:
    """Run `vot pack`; its zip, if it makes one, lies in the workspace's folder."""
    if not workspace.is_repaired:
        return toolkit.run_toolkit(workspace, "pack", tracker)
    with tempfile.TemporaryDirectory(prefix="hqtrack-pack-") as folder:
        twin = _twin(workspace, Path(folder))
        run = toolkit.run_toolkit(twin, "pack", tracker)
        log = workspace.folder / "logs" / run.log.name
        shutil.copyfile(run.log, log)
        for archive in twin.folder.glob("*.zip"):
            shutil.copy2(archive, workspace.folder / archive.name)
    return toolkit.ToolkitRun(run.status, log)


def _twin(workspace: Workspace, folder: Path) -> Workspace:
    config = workspace.config() | {
        "registry": [str(path) for path in registry_files(workspace)],
        "sequences": str(workspace.sequences.resolve()),
        "stack": workspace.stack_name,
    }
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    (folder / "results").symlink_to(workspace.folder / "results", target_is_directory=True)
    return Workspace(folder)
