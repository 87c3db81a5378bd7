"""The videos of a folder that was named at the start: the only paths the page opens."""

from __future__ import annotations

import os
from pathlib import Path

from tracker.media.sources import is_picture

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ogv", ".ts", ".gif"}
)
MOST_LISTED = 500


class PlaceError(ValueError):
    """A name that is no video of the folder; the text is for the user."""


class VideoFolder:
    """A folder with its videos and its folders of pictures; nothing outside it is reached."""

    def __init__(self, folder: Path) -> None:
        """Raises PlaceError when there is no such folder."""
        if not folder.is_dir():
            raise PlaceError(f"no folder {folder}; name one with --folder")
        self._folder = folder.resolve()

    def names(self) -> list[str]:
        """Videos and folders of pictures in it and in its folders, relative, sorted.

        What cannot be read is left out, and what has a name that is not UTF-8.
        """
        walk = os.walk(self._folder)  # passes over folders that cannot be read
        found: list[str] = []
        for path in sorted(Path(at, name) for at, inner, files in walk for name in inner + files):
            if len(found) == MOST_LISTED:
                break
            if self._is_video(path):
                found.append(path.relative_to(self._folder).as_posix())
        return found

    def resolve(self, name: str) -> Path:
        """The path of a name from `names`. Raises PlaceError for everything else."""
        try:
            path = (self._folder / name).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise PlaceError("There is no such video in the folder.") from error
        if not path.is_relative_to(self._folder) or not self._is_video(path):
            raise PlaceError("There is no such video in the folder.")
        return path

    def _is_video(self, path: Path) -> bool:
        try:
            path.relative_to(self._folder).as_posix().encode()
            if not path.resolve().is_relative_to(self._folder):
                return False
            if path.is_dir():
                return any(map(is_picture, path.iterdir()))
            return path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES
        except (OSError, RuntimeError, UnicodeEncodeError):  # RuntimeError: links in a circle
            return False
