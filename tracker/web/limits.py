"""What the page takes: sizes of files and videos, how many at once, and how long they are kept."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 1_000_000


class LimitError(ValueError):
    """Something larger than the page takes; the text is for the person in front of it."""


@dataclass(frozen=True)
class Limits:
    """megabytes: of a file. frames, long_side (pixels): of a video. objects: in a video.

    videos: open at once. idle_minutes: a video nobody looks at is deleted after them.
    """

    megabytes: int = 500
    frames: int = 3000
    long_side: int = 1920
    objects: int = 20
    videos: int = 8
    idle_minutes: float = 60.0

    def check_bytes(self, size: int) -> None:
        """Raise LimitError for a file of more bytes than are taken."""
        if size > self.megabytes * MEGABYTE:
            raise LimitError(
                f"The file is larger than {self.megabytes} MB. Cut it, or compress it more."
            )

    def check_frames(self, count: int) -> None:
        """Raise LimitError for a video of more frames than are taken."""
        if count > self.frames:
            raise LimitError(
                f"The video has more than {self.frames} frames. Cut it into shorter pieces."
            )

    def check_size(self, height: int, width: int) -> None:
        """Raise LimitError for frames with a longer side than is taken."""
        if max(height, width) > self.long_side:
            raise LimitError(
                f"The frames are {width} x {height} pixels, the longer side may have "
                f"{self.long_side}. Make the video smaller, for instance with "
                f"ffmpeg -i INPUT -vf scale='min(1280,iw)':-2 OUTPUT.mp4"
            )
