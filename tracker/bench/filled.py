"""A folder of weights for the benchmark: the files there are, and made-up ones for the missing.

A network with made-up weights takes the same time and memory as a trained one; what it answers is
worthless, and so is the shape of its masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from tracker.checkpoints import read_bundled, save_bundled
from tracker.config import TrackerConfig
from tracker.refiner import checkpoint_path
from tracker.refiner.build import empty_network
from tracker.vmos.deterministic import deterministic_array
from tracker.vmos.loading import OFFICIAL_VMOS, bundled_file
from tracker.vmos.model import VmosModel
from tracker.vmos.official import official_shapes


def complete(
    target: Path, source: Path, presets: Sequence[TrackerConfig], refiners: Sequence[str]
) -> tuple[str, ...]:
    """Link every file of `source` in the empty folder `target` and make those that are missing.

    presets, refiners: what shall run from `target`. A bundled file of another network than its
    preset asks for counts as missing. Returns the names of the files made up.
    """
    for path in source.iterdir():
        if path.is_file():
            (target / path.name).symlink_to(path.resolve())
    made = []
    for config in presets:
        file = vmos_file(config.name, target)
        if not _fits(config, file):
            (target / file.name).unlink(missing_ok=True)
            _make_vmos(config, target / file.name)
            made.append(file.name)
    for model in refiners:
        file = checkpoint_path(model, target)
        if not file.is_file():
            _make_refiner(model, file)
            made.append(file.name)
    return tuple(made)


def missing(folder: Path, preset: str, refiner: str | None) -> tuple[str, ...]:
    """Names of the files that a preset with this refiner needs and `folder` does not hold."""
    files = [vmos_file(preset, folder)]
    if refiner is not None:
        files.append(checkpoint_path(refiner, folder))
    return tuple(file.name for file in files if not file.is_file())


def vmos_file(preset: str, folder: Path) -> Path:
    """The file of a preset's segmenter: in `folder`, or in the checkout for a bundled one."""
    return folder / OFFICIAL_VMOS if preset == "hqtrack" else bundled_file(preset, folder)


def _fits(config: TrackerConfig, file: Path) -> bool:
    if not file.is_file():
        return False
    return config.name == "hqtrack" or read_bundled(file)[1] == config.vmos


def _make_vmos(config: TrackerConfig, file: Path) -> None:
    model = VmosModel(config.vmos)
    if config.name == "hqtrack":
        torch.save(_values(official_shapes(model)), file)
        return
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    save_bundled(_values(shapes), config.vmos, file, {"origin": "made up for the benchmark"})


def _make_refiner(model: str, file: Path) -> None:
    state = empty_network(model).state_dict()
    values = _values({name: tuple(value.shape) for name, value in state.items()})
    torch.save({name: value.to(state[name].dtype) for name, value in values.items()}, file)


def _values(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(deterministic_array(name, shape)) for name, shape in shapes.items()
    }
