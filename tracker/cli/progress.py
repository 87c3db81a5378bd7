"""How far a run got: what `--resume` goes on from.

OUT/resume/ holds while a run is not finished:
    run.json          what was asked for, and how many frames are safe
    frames.jsonl      confidence and refinement of every object, a line per frame
    state-N.safetensors   what the tracker remembers after N frames, nothing before the first object

A resumed run writes the tables and the overlay again from these and the masks, and goes on exactly
where the state was saved: its results are those of a run that was never stopped.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.media.masks import read_labels
from tracker.media.results import mask_path
from tracker.stages import FrameResult

if TYPE_CHECKING:
    from tracker.pipeline import HQTracker

FOLDER = "resume"
SAVE_SECONDS = 60.0
"""Between states saved: what a crash costs at most."""


class ResumeError(ValueError):
    """There is nothing to go on from, or it belongs to something else."""


class Progress:
    """The record of one run in OUT/resume; `done` frames are safe."""

    def __init__(self, out: Path, asked: dict[str, Any]) -> None:
        self._out, self._folder, self._asked = out, out / FOLDER, asked
        self.done = 0
        self._saved = time.monotonic()

    def begin(self) -> None:
        """Start afresh."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        (self._folder / "frames.jsonl").touch()
        self._record(0)

    def resume(self, tracker: HQTracker) -> None:
        """Bring the tracker to where it was. Raises ResumeError, StateError."""
        path = self._folder / "run.json"
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ResumeError(
                f"nothing to resume in {self._out} ({error}); a run that is finished leaves nothing"
            ) from error
        for key, value in self._asked.items():
            if record["asked"].get(key) != value:
                raise ResumeError(
                    f"{self._out} was begun with another {key} ({record['asked'].get(key)}) "
                    f"than {value}; resume with the same, or start afresh with --overwrite"
                )
        self.done = record["done"]
        if (state := self._state(self.done)).is_file():
            tracker.load_state(state)
        self._cut_log()

    def results(self) -> list[FrameResult] | Any:
        """The answers to the frames that are safe, one after the other."""
        with (self._folder / "frames.jsonl").open() as lines:
            for number, line in enumerate(lines):
                refined, confidence = json.loads(line)
                yield FrameResult(
                    read_labels(mask_path(self._out, number)),
                    np.array(confidence, np.float32),
                    np.array(refined, bool),
                )

    def add(self, result: FrameResult, tracker: HQTracker, number: int) -> None:
        """Note the answer to a frame whose mask is written; now and then save the state."""
        line = json.dumps([result.refined.tolist(), result.confidence.tolist()])
        with (self._folder / "frames.jsonl").open("a") as log:
            log.write(line + "\n")
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save(tracker, number + 1)

    def save(self, tracker: HQTracker, done: int) -> None:
        """Make the first `done` frames safe."""
        if tracker.count:
            tracker.save_state(self._state(done))
        self._record(done)
        for old in self._folder.glob("state-*"):
            if old != self._state(done):
                old.unlink()
        self._saved = time.monotonic()

    def finish(self) -> None:
        """All is done: nothing is needed any more."""
        shutil.rmtree(self._folder)

    def _record(self, done: int) -> None:
        self.done = done
        part = self._folder / "run.json.part"
        part.write_text(json.dumps({"asked": self._asked, "done": done}))
        part.replace(self._folder / "run.json")

    def _cut_log(self) -> None:
        """Forget answers past the frames that are safe."""
        log, part = self._folder / "frames.jsonl", self._folder / "frames.part"
        with log.open() as lines, part.open("w") as kept:
            for _, line in zip(range(self.done), lines, strict=False):
                kept.write(line)
        part.replace(log)

    def _state(self, done: int) -> Path:
        return self._folder / f"state-{done}.safetensors"
