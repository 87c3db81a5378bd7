"""What can be downloaded of a project: the overlay video, the masks, the table."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from pathlib import Path

from PIL import Image

from tracker.media.masks import draw, palette
from tracker.media.tables import JsonWriter, object_rows
from tracker.media.video import VideoWriter
from tracker.web.project import Project

ZIP_DATE = (1980, 1, 1, 0, 0, 0)
"""Of the files in the zip, so that equal masks give an equal file."""


def write_overlay(project: Project, path: Path) -> None:
    """The video with the objects drawn in, H.264 in mp4."""
    clip = project.clip
    with VideoWriter(path, clip.fps, clip.time_base) as video:
        for frame, time in enumerate(clip.times):
            video.add(draw(clip.image(frame), project.result(frame).labels), time)


def write_masks(project: Project, path: Path) -> None:
    """A zip of indexed PNGs, one per frame: the value of a pixel is the object's number."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for frame in range(project.clip.count):
            picture = Image.fromarray(project.result(frame).labels)
            picture.putpalette(palette().tobytes())
            data = BytesIO()
            picture.save(data, "PNG")
            archive.writestr(zipfile.ZipInfo(f"masks/{frame:08d}.png", ZIP_DATE), data.getvalue())


def write_json(project: Project, path: Path) -> None:
    """Box, area, confidence and COCO mask of every object in every frame."""
    clip = project.clip
    header = {
        "width": clip.width,
        "height": clip.height,
        "fps": round(float(clip.fps), 6),
        "objects": list(project.objects),
        "marked_frames": list(project.marked_frames()),
    }
    with JsonWriter(path, header, masks=True) as table:
        for frame, time in enumerate(clip.times):
            result = project.result(frame)
            rows = [row for row in object_rows(result) if row.number in project.objects]
            table.add(frame, Fraction(time), rows, result.labels)


EXPORTS: dict[str, tuple[str, Callable[[Project, Path], None]]] = {
    "overlay.mp4": ("video/mp4", write_overlay),
    "masks.zip": ("application/zip", write_masks),
    "results.json": ("application/json", write_json),
}
"""Name of the download: its media type, and what writes it."""
