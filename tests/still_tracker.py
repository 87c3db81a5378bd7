"""A TraX tracker for tests: every object stays where it was first seen.

FAULT (environment): "raise" fails at the third frame, "silent" prints nothing and never connects.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import trax


def main() -> None:
    fault = os.environ.get("FAULT", "")
    if fault == "silent":
        sys.exit(3)
    masks: list[np.ndarray] = []
    frame = 0
    with trax.Server(
        ["mask"], ["path"], ["color"], tracker_name="still", multiobject=True
    ) as server:
        while True:
            request = server.wait()
            if request.type in ("quit", "error"):
                break
            frame = 0 if request.type == "initialize" else frame + 1
            if request.type == "initialize":
                masks = []
            if fault == "raise" and frame == 2:
                raise RuntimeError("the tracker broke on purpose")
            masks += [region.array(True) for region, _ in request.objects or []]
            said = {"weights": "none, the object stays"}
            server.status([(trax.Mask.create(mask), said) for mask in masks])


if __name__ == "__main__":
    main()
