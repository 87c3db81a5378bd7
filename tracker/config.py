"""Settings of the tracker as frozen records, and the presets built from them.

Nothing here touches the disk or imports torch. An unknown preset or an unknown key is an error
that names it and lists what exists.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class ConfigError(ValueError):
    """A preset, key or value that does not exist or makes no sense."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_whole(section: str, record: Any) -> None:
    """Raise ConfigError unless the `int` settings are whole numbers from 1, or None if allowed."""
    for setting in dataclasses.fields(record):
        if not str(setting.type).startswith("int"):
            continue
        value = getattr(record, setting.name)
        if value is None and "None" in str(setting.type):
            continue
        _check_count(f"{section}__{setting.name}", value, least=1)


def _check_count(key: str, value: Any, least: int) -> None:
    if type(value) is not int or value < least:
        raise ConfigError(f"{key} is {value!r}; it must be a whole number from {least}")


def _check_share(key: str, value: Any) -> None:
    """Raise ConfigError unless the setting is a number from 0 to 1."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise ConfigError(f"{key} is {value!r}, it goes from 0 to 1")


def _check_choice(key: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{key} is {value!r}; it is one of {', '.join(map(str, choices))}")


@dataclass(frozen=True)
class FrameConfig:
    """How a frame is brought to the size of the model; None switches a limit off.

    `min_pixels` and `max_pixels` limit the area, so that a frame of any shape costs the same; not
    in the paper. `min_short_edge` and `max_long_edge`, in pixels, come after them (paper, section 2
    of the public code). Where limits contradict, the later one holds.
    """

    min_pixels: int | None = None
    max_pixels: int | None = None
    min_short_edge: int | None = 480
    max_long_edge: int | None = 1040
    stride: int = 16

    def __post_init__(self) -> None:
        _check_whole("frame", self)
        least, most = self.min_pixels, self.max_pixels
        if least is not None and most is not None and least > most:
            raise ConfigError(f"frame__min_pixels is {least}, above frame__max_pixels {most}")


@dataclass(frozen=True)
class ScaleConfig:
    """One scale of the propagation: channels, and how many gated propagation layers it has.

    A scale without layers only fuses the coarser scale with the encoder's features.
    """

    stride: int
    channels: int
    layers: int


ENCODERS = ("internimage-t", "efficientnet-lite0")


@dataclass(frozen=True)
class VmosConfig:
    """The network: encoder, scales from coarse to fine, size of an identity group.

    With `readout`, the last propagation layer also carries the remembered identity shares
    themselves to the decoder: which object a place belongs to need not be learned per identity.
    `detail_window`: side of the window in which the frame before is matched again at the second
    scale, 0: it is not. `detail_channels`: width of the network that corrects every object's
    logits, 0: there is none. Both need `readout`; see `tracker.vmos.detail`.
    """

    encoder: str = "internimage-t"
    scales: tuple[ScaleConfig, ...] = (
        ScaleConfig(16, 256, 3),
        ScaleConfig(8, 128, 1),
        ScaleConfig(4, 64, 0),
    )
    decoder_channels: int = 128
    objects_per_group: int = 10
    window: int = 15
    readout: bool = False
    detail_window: int = 0
    detail_channels: int = 0

    def __post_init__(self) -> None:
        _check_choice("vmos__encoder", self.encoder, ENCODERS)
        _check_choice("vmos__readout", self.readout, (False, True))
        scales = self.scales if isinstance(self.scales, tuple) else ()
        if not scales or not all(isinstance(scale, ScaleConfig) for scale in scales):
            raise ConfigError(f"vmos__scales is {self.scales!r}; it is a tuple of ScaleConfig")
        for key in ("decoder_channels", "objects_per_group", "window"):
            _check_count(f"vmos__{key}", getattr(self, key), least=1)
        for key in ("detail_window", "detail_channels"):
            _check_count(f"vmos__{key}", getattr(self, key), least=0)
        if (self.detail_window or self.detail_channels) and not self.readout:
            raise ConfigError("vmos__detail_window and vmos__detail_channels need vmos__readout")


@dataclass(frozen=True)
class MemoryConfig:
    """What is remembered. `interval` and `short_term_lag` are in frames, `capacity` counts frames.

    Long-term: the reference frame for ever, plus the newest `capacity - 1` of the frames added
    every `interval`. Short-term: the frame `short_term_lag` back.

    `eviction` makes room by "age" (the oldest goes) or by "similarity" (of the two neighbours that
    are most alike the older goes). `incomplete`, a frame in which an object is absent, is to "take"
    like any other, or to "skip" in favour of the next complete one, for up to another interval.
    `objects_together`: how many objects share a memory and are propagated jointly, 1: every object
    is for itself, None: as many as the network tells apart. Each memory costs a propagation.
    """

    capacity: int = 6
    interval: int = 50
    short_term_lag: int = 4
    eviction: str = "age"
    incomplete: str = "take"
    objects_together: int | None = None

    def __post_init__(self) -> None:
        _check_whole("memory", self)
        _check_choice("memory__eviction", self.eviction, ("age", "similarity"))
        _check_choice("memory__incomplete", self.incomplete, ("take", "skip"))


@dataclass(frozen=True)
class RefinerConfig:
    """The mask refiner. `model` names the HQ-SAM size: vit_h, vit_l, vit_b, vit_tiny, or None: off.

    A refined mask replaces the segmenter's when their IoU is at least `gate_iou` (0 to 1).
    """

    model: str | None = None
    gate_iou: float = 0.1

    def __post_init__(self) -> None:
        _check_share("refiner__gate_iou", self.gate_iou)


@dataclass(frozen=True)
class PresenceConfig:
    """When an object counts as absent although some pixels went to it.

    An object is compared with itself: its confidence and its length, as shares of what is usual for
    it, are multiplied. Below `threshold` (0: every object that has a pixel is there, to 1) it is
    answered as absent; see `tracker.presence`. What is remembered stays as it is: a doubtful object
    may recover.
    """

    threshold: float = 0.0

    def __post_init__(self) -> None:
        _check_share("presence__threshold", self.threshold)


@dataclass(frozen=True)
class ComputeConfig:
    """How the segmenter computes. `precision`: float32, bfloat16, or auto (bfloat16 where fast).

    `cuda_graphs`: on a GPU, its kernels are recorded and replayed (see `tracker.vmos.graphs`); it
    changes nothing elsewhere.
    """

    precision: str = "float32"
    cuda_graphs: bool = False

    def __post_init__(self) -> None:
        _check_choice("compute__cuda_graphs", self.cuda_graphs, (False, True))


@dataclass(frozen=True)
class RealtimeConfig:
    """When the refiner may be left out (see `tracker.realtime`).

    deadline_ms: milliseconds a frame may take, None: no deadline. With one, the refiner runs in
    frames where it is expected to end in time. refine_every: it runs in every n-th frame at most.
    refine_at_least: it runs in every n-th frame at least, late or not; None: never when late.
    """

    deadline_ms: float | None = None
    refine_every: int = 1
    refine_at_least: int | None = None

    def __post_init__(self) -> None:
        deadline = self.deadline_ms
        if deadline is not None and not (_is_number(deadline) and 0 < deadline < math.inf):
            raise ConfigError(
                f"realtime__deadline_ms is {deadline!r}; it must be a number above 0, or None"
            )
        _check_whole("realtime", self)
        if self.refine_at_least is not None and self.refine_at_least < self.refine_every:
            raise ConfigError(
                f"realtime__refine_at_least is {self.refine_at_least}, less than "
                f"realtime__refine_every ({self.refine_every}): every n-th frame at least, and "
                "every m-th at most, needs n >= m"
            )


@dataclass(frozen=True)
class TrackerConfig:
    """Everything that decides what the tracker answers."""

    name: str
    vmos: VmosConfig = field(default_factory=VmosConfig)
    frame: FrameConfig = field(default_factory=FrameConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    presence: PresenceConfig = field(default_factory=PresenceConfig)
    refiner: RefinerConfig = field(default_factory=RefinerConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    realtime: RealtimeConfig = field(default_factory=RealtimeConfig)

    def __post_init__(self) -> None:
        if self.objects_together > self.vmos.objects_per_group:
            raise ConfigError(
                f"memory__objects_together is {self.objects_together}; the network tells "
                f"{self.vmos.objects_per_group} objects apart"
            )

    @property
    def objects_together(self) -> int:
        """How many objects are propagated jointly at most."""
        return self.memory.objects_together or self.vmos.objects_per_group


LITE_VMOS = VmosConfig(
    encoder="efficientnet-lite0",
    scales=(ScaleConfig(16, 128, 1), ScaleConfig(8, 64, 0), ScaleConfig(4, 32, 0)),
    decoder_channels=64,
    readout=True,
    detail_window=9,
    detail_channels=8,
)

PRESETS: Mapping[str, TrackerConfig] = {
    "hqtrack": TrackerConfig(name="hqtrack", refiner=RefinerConfig(model="vit_h")),
    "hqtrack-lite": TrackerConfig(
        name="hqtrack-lite",
        vmos=LITE_VMOS,
        frame=FrameConfig(270_000, 270_000, min_short_edge=None, max_long_edge=None),
        memory=MemoryConfig(capacity=3, interval=20, short_term_lag=1),
        presence=PresenceConfig(threshold=0.45),
        compute=ComputeConfig(precision="auto"),
    ),
}


def preset(name: str, /, **overrides: Any) -> TrackerConfig:
    """The preset `name`, with single settings replaced.

    A key is `section__setting`, for instance `memory__interval=25` or `refiner__gate_iou=0.6`.
    Raises ConfigError for an unknown preset or key, and for a value that makes no sense.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}; the presets are {', '.join(PRESETS)}")
    config = PRESETS[name]
    changes: dict[str, dict[str, Any]] = {}
    for key, value in overrides.items():
        section, _, setting = key.partition("__")
        if key not in (known := _settings(config)):
            raise ConfigError(f"unknown setting {key!r}; the settings are {', '.join(known)}")
        changes.setdefault(section, {})[setting] = _plain(value)
    sections = {
        section: dataclasses.replace(getattr(config, section), **values)
        for section, values in changes.items()
    }
    return dataclasses.replace(config, **sections)


def _plain(value: Any) -> Any:
    """A number of NumPy or PyTorch as one of Python."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _settings(config: TrackerConfig) -> list[str]:
    """All settings as `section__setting`."""
    return [
        f"{section.name}__{setting.name}"
        for section in dataclasses.fields(config)
        if _is_section(getattr(config, section.name))
        for setting in dataclasses.fields(getattr(config, section.name))
    ]


def _is_section(value: object) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)
