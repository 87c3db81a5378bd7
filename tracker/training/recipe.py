"""A recipe: everything that decides a training run, read from one TOML file."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker.config import ConfigError, TrackerConfig, preset
from tracker.training.clips import ClipConfig
from tracker.training.losses import HARD_SHARE

RECIPES = Path(__file__).parent / "recipes"
ENCODER_STARTS = ("imagenet", "none", "given")
TYPES = {"int": int, "float": int | float, "str": str, "Mapping[str, Any]": dict}
PRECISIONS = ("auto", "bfloat16", "float32")


@dataclass(frozen=True)
class StartConfig:
    """Where the weights come from.

    `encoder`: "imagenet" (the rest is drawn at random), "none" (all is drawn at random), or
    "given": all weights come from a checkpoint, which must be named when training starts.
    `checkpoint`: a file with all weights, instead of `encoder`.
    `frozen_stages`: the stem and this many stages of the encoder stay as they are.
    """

    encoder: str = "imagenet"
    checkpoint: str | None = None
    frozen_stages: int = 0

    def __post_init__(self) -> None:
        _one_of("encoder", self.encoder, ENCODER_STARTS)


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW. The rate rises for `warmup` steps, then falls as (1 - progress) ** power to `final`.

    `encoder_rate` is the encoder's share of the rate; `clip_norm` bounds the gradient's norm.
    `batch` counts clips of a step, of all processes together. `precision` is that of the matrix
    products and convolutions: "bfloat16", "float32", or "auto": bfloat16 where the hardware has
    units for it. Weights and losses are float32 always.
    """

    steps: int = 100_000
    batch: int = 16
    rate: float = 4e-4
    final: float = 2e-5
    power: float = 0.9
    warmup: int = 5_000
    weight_decay: float = 0.03
    encoder_rate: float = 0.1
    clip_norm: float = 5.0
    ema: float = 0.9999
    precision: str = "auto"

    def __post_init__(self) -> None:
        _one_of("precision", self.precision, PRECISIONS)
        if self.steps < 1 or self.batch < 1:
            raise ConfigError(f"steps {self.steps} and batch {self.batch} must be 1 or more")


@dataclass(frozen=True)
class RolloutConfig:
    """From the share `own_from` of the run on, own predictions enter memory, ever more often.

    `own_at_most` is the share of clips in the end; `lags` are the short-term distances drawn from.
    Objects get the first identities in order with probability `in_order`, else random ones.
    Of the pixels the hardest count: their share falls from 1 to `hard_share` until `hard_until` of
    the run.
    A step learns from `learned` frames one after another, anywhere in the clip; those before them
    are only tracked, so that it starts from what the model makes of a longer way. None: from all.
    `matching` weighs a loss of the long-term attention by itself (`losses.matching_loss`).
    """

    own_from: float = 0.3
    own_at_most: float = 0.8
    lags: tuple[int, ...] = (1, 2)
    in_order: float = 0.0
    hard_until: float = 0.5
    hard_share: float = HARD_SHARE
    learned: int | None = None
    matching: float = 0.0

    def __post_init__(self) -> None:
        if self.learned is not None and self.learned < 1:
            raise ConfigError(f"learned is {self.learned}; it must be 1 or more")
        if not 0 < self.hard_share <= 1:
            raise ConfigError(f"hard_share is {self.hard_share}; it must be above 0 and at most 1")
        if self.matching < 0:
            raise ConfigError(f"matching is {self.matching}; it must be 0 or more")


@dataclass(frozen=True)
class Recipe:
    """One training run: of the network of `preset`, with some `settings` of it replaced."""

    name: str
    preset: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    start: StartConfig = field(default_factory=StartConfig)
    clips: ClipConfig = field(default_factory=ClipConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)

    def __post_init__(self) -> None:
        if self.rollout.matching and not self.config.vmos.readout:
            raise ConfigError(
                f"matching is {self.rollout.matching}, and the network of {self.preset} brings no "
                "identities to be compared: set it to 0, or vmos__readout to true"
            )

    @property
    def config(self) -> TrackerConfig:
        """The settings of the tracker that is trained; ConfigError for unknown ones."""
        return preset(self.preset, **self.settings)


def load_recipe(name: str) -> Recipe:
    """The recipe `name` that ships with the project, or that of a TOML file's path.

    Raises ConfigError for an unknown recipe, section or key, and for a value of another type.
    """
    shipped = {path.stem: path for path in sorted(RECIPES.glob("*.toml"))}
    file = shipped.get(name, Path(name))
    if not file.is_file():
        raise ConfigError(f"no recipe {name!r}; the recipes are {', '.join(shipped)}, or a file")
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is no TOML file: {error}") from error
    sections = {
        "start": StartConfig,
        "clips": ClipConfig,
        "optimiser": OptimiserConfig,
        "rollout": RolloutConfig,
    }
    built = {key: _build(sections[key], values.pop(key, {}), key, file) for key in sections}
    if "preset" not in values:
        raise ConfigError(f'{file}: no preset; write for instance preset = "hqtrack-lite"')
    return _build(Recipe, {"name": file.stem, **values, **built}, "recipe", file)


def _build(kind: type, values: dict[str, Any], section: str, file: Path) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: {section} is {values!r}; write a section [{section}]")
    known = {f.name: f.type for f in dataclasses.fields(kind)}
    unknown = sorted(values.keys() - known.keys())
    if unknown:
        raise ConfigError(
            f"{file}: unknown key {unknown[0]!r} in {section}; keys are {', '.join(sorted(known))}"
        )
    for key, value in values.items():
        if not isinstance(value, TYPES.get(known[key], object)) or isinstance(value, bool):
            raise ConfigError(f"{file}: {key} of {section} is {value!r}, no {known[key]}")
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{key} is {value!r}; it may be {', '.join(allowed)}")
