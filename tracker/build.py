"""The parts of a tracker from a preset: settings, weights that are there, device."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.checkout import WEIGHTS_VARIABLE, chosen_weights
from tracker.config import ConfigError, TrackerConfig, preset
from tracker.stages import Refiner, Session

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What `HQTracker` is made of: see there."""

    new_session: Callable[[], Session]
    refiner: Refiner | None
    config: TrackerConfig
    weights_note: str


def build_parts(
    name: str,
    weights: str | Path | None,
    device: str | torch.device | None,
    overrides: Mapping[str, Any],
) -> Parts:
    """The parts of preset `name`; arguments and errors as in `HQTracker.from_preset`."""
    from tracker.out_of_memory import with_remedy

    config = preset(name, **overrides)
    folder = weights_folder(weights)
    place = usable_device(device)
    config, vmos_note = _with_available_weights(config, folder, overrides)
    required = "refiner__model" in overrides
    refiner, refiner_note = with_remedy(
        "the refiner", lambda: _refiner(config, folder, place, required)
    )
    new_session = with_remedy("the segmenter", lambda: _session_maker(config, folder, place))
    return Parts(new_session, refiner, config, f"{vmos_note}; {refiner_note}")


def weights_folder(folder: str | Path | None = None) -> Path:
    """The folder of weights: as given, else `tracker.checkout.chosen_weights`.

    Raises CheckpointError when it does not exist.
    """
    from tracker.checkpoints import CheckpointError

    chosen = Path(folder) if folder else chosen_weights()
    if not chosen.is_dir():
        raise CheckpointError(
            f"no weights folder {chosen}; name one (weights=..., or ${WEIGHTS_VARIABLE}), "
            "`make weights` fills it"
        )
    return chosen


def usable_device(device: str | torch.device | None) -> torch.device:
    """The device as named; None is CUDA where there is one, else the CPU.

    Raises ConfigError when there is no such device here, or it keeps no values ("meta").
    """
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ConfigError(
            f"device {str(device)!r} cannot be used here ({str(error).splitlines()[0]}); "
            "device='cpu' always can"
        ) from error
    return chosen


def _with_available_weights(
    config: TrackerConfig, folder: Path, overrides: Mapping[str, Any]
) -> tuple[TrackerConfig, str]:
    """The settings that the weights in the folder allow, and a note on which weights they are."""
    from tracker.vmos.loading import OFFICIAL_VMOS

    if config.name != "hqtrack":
        return config, f"{config.name} bundled"
    if (folder / OFFICIAL_VMOS).is_file():
        return config, f"hqtrack official ({OFFICIAL_VMOS})"
    light = preset("hqtrack-lite", **overrides)
    note = "hqtrack-lite bundled (official hqtrack weights not found)"
    logger.warning("%s is not in %s: running %s", OFFICIAL_VMOS, folder, note)
    return dataclasses.replace(light, refiner=config.refiner), note


def _refiner(
    config: TrackerConfig, folder: Path, device: torch.device, required: bool
) -> tuple[Refiner | None, str]:
    model = config.refiner.model
    if model is None:
        return None, "no refiner"
    from tracker.refiner import build_refiner, checkpoint_path

    path = checkpoint_path(model, folder)
    if not path.is_file() and not required:
        logger.warning("%s is not in %s: running without a refiner", path.name, folder)
        return None, f"no refiner ({path.name} not found)"
    from tracker.out_of_memory import RefinerWithinMemory

    refiner = RefinerWithinMemory(build_refiner(model, folder, device))
    return refiner, f"refiner {path.name}"


def _session_maker(
    config: TrackerConfig, folder: Path, device: torch.device
) -> Callable[[], Session]:
    from tracker.out_of_memory import SessionWithinMemory
    from tracker.vmos.graphs import GraphedVmos
    from tracker.vmos.loading import load_vmos
    from tracker.vmos.model import VmosModel
    from tracker.vmos.precision import hold_products_in_bfloat16, uses_bfloat16
    from tracker.vmos.session import VmosSession

    graphed = config.compute.cuda_graphs and device.type == "cuda"
    model = load_vmos(config, folder, GraphedVmos if graphed else VmosModel).to(device).eval()
    if uses_bfloat16(config.compute.precision, device):
        hold_products_in_bfloat16(model)
    return lambda: SessionWithinMemory(VmosSession(model, config, device))
