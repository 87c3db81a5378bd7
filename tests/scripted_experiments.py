"""Experiments of the toolkit with a tracker that is a script: no process, no clock.

    python tests/scripted_experiments.py FOLDER      (with vot-toolkit 0.7.4: a recording)

The same code runs with 0.7.4's own experiment classes, which made `tests/vot_0.7.4.json`, and with
the repaired ones of this project on 0.9.0. The tracker answers the region it was started with,
moved by one pixel for every reply; its seconds are a fixed list.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from vot.dataset.common import read_sequence
from vot.region import Rectangle
from vot.region.shapes import Mask
from vot.tracker import ObjectStatus
from vot.workspace.storage import LocalStorage

try:
    from vot.tracker import OnlineTrackerRuntime as Runtime
except ImportError:
    from vot.tracker import TrackerRuntime as Runtime

LENGTH, WIDTH, HEIGHT = 24, 96, 64
# seconds of the replies after a start, over and over; a frame lasts 0.1 s
SECONDS = (0.3, 0.05, 0.12, 0.11, 0.25, 0.05, 0.4, 0.1, 0.09, 0.75)
REALTIME = {"realtime": {"grace": 3}}
CASES = {
    "multistart": ("mask", {}),
    "multistart-realtime": ("mask", REALTIME),
    "multistart-box-realtime": ("box", REALTIME),
    "supervised": ("box", {"repetitions": 15, "skip_initialize": 5}),
    "supervised-realtime": ("box", {"repetitions": 1, "skip_initialize": 5, **REALTIME}),
    "unsupervised-realtime": ("mask", {"multiobject": True, **REALTIME}),
    "unsupervised-realtime-two": ("two", {"multiobject": True, **REALTIME}),
}


def write_sequence(folder: Path, kind: str) -> None:
    """A sequence of `kind` mask, box or two (masks); the frames are black."""
    (folder / "color").mkdir(parents=True)
    metadata = {
        "channels.color": "color/%08d.jpg", "fps": 10, "format": "default", "name": folder.name,
        "length": LENGTH, "width": WIDTH, "height": HEIGHT, "channel.default": "color",
    }  # fmt: skip
    (folder / "sequence").write_text("".join(f"{k}={v}\n" for k, v in metadata.items()))
    for frame in range(LENGTH):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "color" / f"{frame + 1:08d}.jpg")
    boxes = [f"{5 + 3 * frame},{10 + frame},12,9" for frame in range(LENGTH)]
    masks = [f"m{5 + 3 * f},{10 + f},12,9,3,5,4,50,7,39" for f in range(LENGTH)]
    other = [f"m{80 - 3 * f},{50 - f},6,8,0,48" for f in range(LENGTH)]
    files = {"box": {"": boxes}, "mask": {"": masks}, "two": {"_1": masks, "_2": other}}
    for suffix, lines in files[kind].items():
        (folder / f"groundtruth{suffix}.txt").write_text("\n".join(lines) + "\n")
    anchors = {0: 1, 8: 1, 15: -1, LENGTH - 1: -1}
    values = "\n".join(str(anchors.get(frame, 0)) for frame in range(LENGTH))
    (folder / "anchor.value").write_text(values + "\n")


class ScriptedRuntime(Runtime):
    multiobject = True

    def stop(self) -> None:
        pass

    def restart(self) -> None:
        pass

    def initialize(self, frame, new=None, properties=None):
        objects = new if isinstance(new, list) else [new]
        self.regions = [getattr(item, "region", item) for item in objects]
        self.replies = -1
        return self._answer()

    def update(self, frame, new=None, properties=None):
        assert not new
        return self._answer()

    def _answer(self):
        self.replies += 1
        status = [ObjectStatus(_moved(region, self.replies), {}) for region in self.regions]
        return status, SECONDS[self.replies % len(SECONDS)]


def _moved(region, by: int):
    if isinstance(region, Rectangle):
        return Rectangle(region.x + by, region.y, region.width, region.height)
    x, y = region.offset
    return Mask(np.array(region.mask), (x + by, y))


class ScriptedTracker:
    identifier = reference = label = "Scripted"
    storage = None

    def runtime(self, log: bool = False) -> ScriptedRuntime:
        return ScriptedRuntime(self)


def run(classes: dict[str, type], folder: Path) -> dict[str, dict[str, str]]:
    """Case -> name of a result file -> SHA-256 of its content; times as they are written."""
    found = {}
    for case, (kind, settings) in CASES.items():
        place = folder / case
        write_sequence(place / "sequences" / "walk", kind)
        experiment = classes[case.split("-")[0]](
            _identifier="experiment", _storage=LocalStorage(str(place)), **settings
        )
        [sequence] = experiment.transform([read_sequence(str(place / "sequences" / "walk"))])
        experiment.execute(ScriptedTracker(), sequence)
        files = sorted((place / "results").rglob("*.bin"))
        found[case] = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return found


def main() -> None:
    from vot.experiment.multirun import SupervisedExperiment, UnsupervisedExperiment
    from vot.experiment.multistart import MultiStartExperiment

    classes = {
        "multistart": MultiStartExperiment,
        "supervised": SupervisedExperiment,
        "unsupervised": UnsupervisedExperiment,
    }
    print(json.dumps(run(classes, Path(sys.argv[1])), indent=1))


if __name__ == "__main__":
    main()
