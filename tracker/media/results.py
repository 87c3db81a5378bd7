"""The folder of results of a video: masks, tables and the overlay, written frame by frame.

masks/00000000.png   indexed PNG, 0 background, object n has value n
objects.csv          a line per frame and object: box, area, confidence
objects.json         the same, a line per frame
overlay.mp4          the video with its objects tinted
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from tracker.media.masks import draw, write_labels
from tracker.media.sources import Frame, Frames
from tracker.media.tables import JsonWriter, TableWriter, object_rows
from tracker.media.video import VideoWriter
from tracker.stages import FrameResult

MASKS, TABLE, RECORDS, OVERLAY = "masks", "objects.csv", "objects.json", "overlay.mp4"


def mask_path(out: Path, number: int) -> Path:
    """Where the mask of a frame lies."""
    return out / MASKS / f"{number:08d}.png"


def written_masks(out: Path) -> list[Path]:
    """The masks in a folder of results in the order of the frames; other pictures are not ours."""
    return sorted((out / MASKS).glob("[0-9]" * 8 + ".png"))


def written_files(out: Path) -> list[Path]:
    """The files in a folder that have the names of results."""
    others = (out / name for name in (OVERLAY, TABLE, RECORDS))
    return written_masks(out) + [path for path in others if path.is_file()]


class ResultsWriter(AbstractContextManager):
    """Writes all results but the masks of frames that are there already.

    overlay: whether to write the overlay; rle: whether objects.json has COCO's masks.
    Closing leaves whole files, whatever was written. Raises OSError.
    """

    def __init__(self, out: Path, name: str, frames: Frames, overlay: bool, rle: bool) -> None:
        self._out = out
        header = {"video": name, "fps": float(frames.fps)}
        with ExitStack() as stack:
            self._table = stack.enter_context(TableWriter(out / TABLE))
            self._records = stack.enter_context(JsonWriter(out / RECORDS, header, rle))
            self._overlay = None
            if overlay:
                writer = VideoWriter(out / OVERLAY, frames.fps, frames.time_base)
                self._overlay = stack.enter_context(writer)
            self._files = stack.pop_all()

    def add(self, frame: Frame, result: FrameResult, masks: bool = True) -> None:
        """Write a frame; `masks` False: its mask is there already."""
        if masks:
            write_labels(mask_path(self._out, frame.number), result.labels)
        rows = object_rows(result)
        self._table.add(frame.number, frame.time, rows)
        self._records.add(frame.number, frame.time, rows, result.labels)
        if self._overlay is not None:
            self._overlay.add(draw(frame.image, result.labels), frame.time)

    def __exit__(self, *error: object) -> None:
        self._files.__exit__(*error)
