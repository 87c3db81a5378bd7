"""What a run was asked for: `--resume` goes on with the same only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracker.media.sources import is_camera, list_frames

_BEGINNING = 1 << 20


def contents(source: str, prompts: Sequence[Path]) -> dict[str, Any]:
    """Digests of the files of masks and prompts, and of how the source begins.

    Of a folder its first picture counts, of a video file its first MiB: another video under the
    same name is noticed, one that has grown is gone on with.
    """
    digest = hashlib.sha256()
    for file in prompts:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return {
        "content of masks and prompts": digest.hexdigest()[:16],
        "beginning of the video": _of_source(source),
    }


def _of_source(source: str) -> str:
    if is_camera(source):
        return "camera"
    path = Path(source)
    if path.is_dir():
        path = list_frames(path)[0]
    if not path.is_file():
        return "no file"
    with path.open("rb") as file:
        return hashlib.sha256(file.read(_BEGINNING)).hexdigest()[:16]
