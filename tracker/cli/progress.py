"""How far a run got: what `--resume` goes on from.

OUT/resume/ holds while a run is not finished:
    run.json          what was asked for, and how many frames are safe
    frames.jsonl      confidence and refinement of every object, a line per frame
    state-N.safetensors   what the tracker remembers after N frames, nothing before the first object

A resumed run writes the tables and the overlay again from these and the masks, and goes on exactly
where the state was saved: its results are those of a run that was never stopped.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.media.masks import read_labels
from tracker.media.results import mask_path
from tracker.media.sources import Frame
from tracker.stages import FrameResult

if TYPE_CHECKING:
    from tracker.pipeline import HQTracker

FOLDER, RECORD, LOG = "resume", "run.json", "frames.jsonl"
RECORD_FILE = Path(FOLDER, RECORD)
OWN = (RECORD, LOG, "state-*", "*.part", ".tmp*")
"""Names in the folder; safetensors writes to `.tmp...` first."""

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
        self._clear()
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / LOG).touch()
        self._record(0)

    def resumable(self) -> int:
        """How many frames are safe. Raises ResumeError where no run, or another, was begun."""
        asked, done = self._read_record()
        for key, value in self._asked.items():
            if asked.get(key) != value:
                raise ResumeError(
                    f"{self._out} was begun with another {key} ({asked.get(key)}) "
                    f"than {value}; resume with the same, or start afresh with --overwrite"
                )
        return done

    def resume(self, tracker: HQTracker) -> None:
        """Bring the tracker to where it was. Raises ResumeError, StateError."""
        self.done = self.resumable()
        count = self._cut_log(self.done)
        if (state := self._state(self.done)).is_file():
            tracker.load_state(state)
        if tracker.count != count:
            raise self._damaged(f"there are {count} objects, but {tracker.count} in {state.name}")

    def results(self) -> Iterator[FrameResult]:
        """The answers to the frames that are safe, one after the other. Raises MaskError."""
        with (self._folder / LOG).open() as lines:
            for number, line in enumerate(lines):
                confidence, refined = _answer(line)
                yield FrameResult(read_labels(mask_path(self._out, number)), confidence, refined)

    def add(self, result: FrameResult, tracker: HQTracker, number: int) -> None:
        """Note the answer to a frame whose mask is written; now and then save the state."""
        line = json.dumps([result.refined.tolist(), result.confidence.tolist()])
        with (self._folder / LOG).open("a") as log:
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

    def check_length(self, name: str, count: int) -> None:
        """Raises ResumeError when the video `name` ends, after `count` frames, before the record.

        The record stays as it is.
        """
        if count < self.done:
            raise ResumeError(
                f"{name} ends after {count} frames, but {self.done} were done when the run in "
                f"{self._out} was stopped; resume with the whole video, or start afresh with "
                "--overwrite"
            )

    def finish(self) -> None:
        """All is done: nothing is needed any more."""
        self._clear()

    def _clear(self) -> None:
        for path in record_files(self._out):
            path.unlink()
        with contextlib.suppress(OSError):  # not there, or not ours alone
            self._folder.rmdir()

    def _record(self, done: int) -> None:
        self.done = done
        part = self._folder / "run.json.part"
        part.write_text(json.dumps({"asked": self._asked, "done": done}))
        part.replace(self._folder / RECORD)

    def _read_record(self) -> tuple[dict[str, Any], int]:
        """What was asked for, and how many frames are safe. Raises ResumeError."""
        path = self._folder / RECORD
        try:
            record = json.loads(path.read_bytes())
        except OSError as error:
            raise ResumeError(
                f"nothing to resume in {self._out} ({error}); a run that is finished leaves nothing"
            ) from error
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"{RECORD}: {error}") from error
        match record:
            case {"asked": dict(asked), "done": int(done)} if done >= 0:
                return asked, done
        raise self._damaged(f"{RECORD} does not tell what was asked for and done")

    def _cut_log(self, done: int) -> int:
        """Forget answers past the frames that are safe; how many objects the last of these has.

        Raises ResumeError for answers that are missing or cannot be read.
        """
        log, part, kept, count = self._folder / LOG, self._folder / "frames.part", 0, 0
        try:
            with log.open() as lines, part.open("w") as file:
                for line in itertools.islice(lines, done):
                    count = len(_answer(line)[0])
                    file.write(line.rstrip("\n") + "\n")
                    kept += 1
        except (FileNotFoundError, ValueError, TypeError, RecursionError) as error:
            raise self._damaged(f"{LOG}, after line {kept}: {error}") from error
        if kept < done:
            raise self._damaged(f"{LOG} has {kept} lines of {done}")
        part.replace(log)
        return count

    def _damaged(self, reason: str) -> ResumeError:
        return ResumeError(
            f"the record of the run in {self._folder} is damaged ({reason}); start afresh with "
            "--overwrite"
        )

    def _state(self, done: int) -> Path:
        return self._folder / f"state-{done}.safetensors"


def record_files(out: Path) -> list[Path]:
    """The files of a record in a folder of results; what else lies in its folder is not ours."""
    found = (path for name in OWN for path in (out / FOLDER).glob(name))
    return [path for path in found if not path.is_dir()]


def fitting(result: FrameResult, frame: Frame) -> FrameResult:
    """The answer to a frame that was safe. Raises ResumeError for one to something else."""
    labels = result.labels
    if labels.shape != frame.image.shape[:2] or labels.max(initial=0) > result.count:
        raise ResumeError(
            f"the mask of frame {frame.number} is {labels.shape} with values up to "
            f"{labels.max(initial=0)}; the frame is {frame.image.shape[:2]} with {result.count} "
            "objects; start afresh with --overwrite"
        )
    return result


def _answer(line: str) -> tuple[np.ndarray, np.ndarray]:
    """Confidence [N] float32 and refined [N] bool in a line. Raises ValueError and alike."""
    refined, confidence = json.loads(line)
    found = np.array(confidence, np.float32), np.array(refined, bool)
    if found[0].ndim != 1 or found[0].shape != found[1].shape or not np.isfinite(found[0]).all():
        raise ValueError("no list of confidences, or not as many refinements")
    return found
