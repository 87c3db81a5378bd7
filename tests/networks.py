"""Small networks with repeatable random weights, for tests of what is built on them."""

from __future__ import annotations

from functools import cache

import torch

from tracker.config import FrameConfig, MemoryConfig, ScaleConfig, TrackerConfig, VmosConfig
from tracker.vmos.model import VmosModel

SMALL = TrackerConfig(
    name="small",
    vmos=VmosConfig(
        encoder="efficientnet-lite0",
        scales=(ScaleConfig(16, 32, 2), ScaleConfig(8, 16, 1), ScaleConfig(4, 8, 0)),
        decoder_channels=16,
        readout=True,
        detail_window=5,
        detail_channels=4,
    ),
    frame=FrameConfig(min_short_edge=None),
    memory=MemoryConfig(capacity=3, interval=2, short_term_lag=2),
)
"""Two layers at 1/16, one at 1/8: every path of the big network, in milliseconds."""


@cache
def small_model() -> VmosModel:
    """SMALL's network; its random weights give labels that change from frame to frame."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = VmosModel(SMALL.vmos)
        model.decoder.logits.weight.data.mul_(8)
        weight = model.decoder.logits.weight.data
        model.decoder.logits.weight.data = weight - weight.mean(dim=1, keepdim=True)
        model.decoder.logits.bias.data.zero_()
        model.readout.weight.data.fill_(0.05)
    return model.requires_grad_(False).eval()
