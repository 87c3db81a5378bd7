"""What a run tells: a progress bar or log lines with the time left, log.jsonl, TensorBoard."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

log = logging.getLogger(__name__)

LOG = "log.jsonl"


@dataclass(frozen=True)
class Stretch:
    """Means over the steps since the last report; `step` is the number of steps done.

    seconds: per step; wait: share of the time spent waiting for data; rate: the learning rate.
    """

    step: int
    loss: float
    rate: float
    seconds: float
    wait: float


class Report:
    """Says nothing: for processes that do not lead, and for tests."""

    def advance(self) -> None:
        """One more step is done."""

    def stretch(self, stretch: Stretch) -> None:
        """Some steps are done."""

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """Validation, shares from 0 to 1."""

    def picture(self, step: int, image: np.ndarray) -> None:
        """A picture [H, W, 3] uint8 RGB."""

    def close(self) -> None:
        """The last word."""


class FolderReport(Report):
    """Tells on stderr, in `log.jsonl` of the run's folder, and to TensorBoard if it is there.

    Lines of `log.jsonl` about steps after `step`, which are going to be done again, are removed.
    """

    def __init__(self, folder: Path, step: int, steps: int) -> None:
        self._file, self._steps = folder / LOG, steps
        _forget_after(self._file, step)
        self._board = _tensorboard(folder, step)
        hidden = not sys.stderr.isatty()
        self._bar: tqdm = tqdm(
            total=steps, initial=step, unit="step", disable=hidden, file=sys.stderr
        )

    def advance(self) -> None:
        self._bar.update()

    def stretch(self, stretch: Stretch) -> None:
        self._write(
            step=stretch.step,
            loss=round(stretch.loss, 4),
            seconds=round(stretch.seconds, 3),
            rate=float(f"{stretch.rate:.4g}"),
            wait=round(stretch.wait, 3),
        )
        if self._bar.disable:
            left = timedelta(seconds=round((self._steps - stretch.step) * stretch.seconds))
            log.info(
                "step %d/%d loss %.4f, %.2f s/step, %.0f%% waiting for data, %s left",
                *(stretch.step, self._steps, stretch.loss, stretch.seconds),
                *(100 * stretch.wait, left),
            )
        else:
            self._bar.set_postfix(loss=f"{stretch.loss:.4f}", wait=f"{stretch.wait:.0%}")
        if self._board is not None:
            for name in ("loss", "rate", "seconds", "wait"):
                self._board.add_scalar(f"train/{name}", getattr(stretch, name), stretch.step)

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        self._write(step=step, **{name: round(value, 4) for name, value in scores.items()})
        text = ", ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())
        log.info("step %d validation: %s", step, text)
        if self._board is not None:
            for name, value in scores.items():
                self._board.add_scalar(f"validation/{name}", value, step)

    def picture(self, step: int, image: np.ndarray) -> None:
        if self._board is not None:
            self._board.add_image("frames, truth, prediction", image, step, dataformats="HWC")

    def close(self) -> None:
        self._bar.close()
        if self._board is not None:
            self._board.close()

    def _write(self, **values: float) -> None:
        with self._file.open("a") as file:
            file.write(json.dumps(values) + "\n")


def _forget_after(file: Path, step: int) -> None:
    if file.is_file():
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(line for line in lines if json.loads(line)["step"] <= step))


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.warning("TensorBoard is not installed: no curves and pictures, only %s", LOG)
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
