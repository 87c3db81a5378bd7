"""What was found in every frame as rows: CSV, JSON, and COCO masks in the JSON on request.

One row per frame and object, in view or not. Boxes are XYXY, inclusive pixels.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.labels import areas, boxes
from tracker.media.rle import encode_rle

if TYPE_CHECKING:
    from tracker.stages import FrameResult

COLUMNS = (
    *("frame", "time", "object", "present", "x0", "y0", "x1", "y1"),
    *("area", "confidence", "refined"),
)


@dataclass(frozen=True)
class ObjectRow:
    """One object in one frame; box (x0, y0, x1, y1) is None and area 0 where it is absent."""

    number: int
    box: tuple[int, int, int, int] | None
    area: int
    confidence: float
    refined: bool


def object_rows(result: FrameResult) -> list[ObjectRow]:
    """The rows of all objects of a frame, 1..N; confidence to four places."""
    found, present = boxes(result.labels, result.count)
    sizes = areas(result.labels, result.count)
    return [
        ObjectRow(
            number=index + 1,
            box=tuple(map(int, found[index])) if present[index] else None,
            area=int(sizes[index]),
            confidence=round(float(result.confidence[index]), 4),
            refined=bool(result.refined[index]),
        )
        for index in range(result.count)
    ]


class TableWriter(AbstractContextManager):
    """A CSV file with a line per frame and object; the box is empty where the object is absent."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(COLUMNS)

    def add(self, frame: int, time: Fraction, rows: Sequence[ObjectRow]) -> None:
        """Write the rows of a frame; time in seconds."""
        for row in rows:
            self._writer.writerow(
                (
                    *(frame, f"{float(time):.6f}", row.number, int(row.box is not None)),
                    *(row.box or ("", "", "", "")),
                    *(row.area, f"{row.confidence:.4f}", int(row.refined)),
                )
            )

    def __exit__(self, *_: object) -> None:
        self._file.close()


class JsonWriter(AbstractContextManager):
    """A JSON file `{..., "frames": [...]}`, a line per frame, written in constant memory.

    header: what stands before the frames. An object of a frame has number, box (null where it is
    absent), present, area, confidence, refined, and, with `masks`, `segmentation`: COCO's
    compressed run-length encoding.
    """

    def __init__(self, path: Path, header: dict[str, Any], masks: bool = False) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._masks = masks
        self._separator = "\n"
        start = "".join(
            f"{json.dumps(key)}: {json.dumps(value)},\n" for key, value in header.items()
        )
        self._file.write("{" + start + '"frames": [')

    def add(
        self, frame: int, time: Fraction, rows: Sequence[ObjectRow], labels: np.ndarray
    ) -> None:
        """Write a frame; labels [H, W], in which the objects have their numbers."""
        objects = [self._object(row, labels) for row in rows]
        record = {"frame": frame, "time": round(float(time), 6), "objects": objects}
        self._file.write(self._separator + json.dumps(record))
        self._separator = ",\n"

    def __exit__(self, *_: object) -> None:
        self._file.write("\n]}\n")
        self._file.close()

    def _object(self, row: ObjectRow, labels: np.ndarray) -> dict[str, Any]:
        record = {
            "object": row.number,
            "present": row.box is not None,
            "box": row.box,
            "area": row.area,
            "confidence": row.confidence,
            "refined": row.refined,
        }
        if self._masks:
            record["segmentation"] = encode_rle(labels == row.number)
        return record
