"""Optimiser, learning rate and the running average of the weights."""

from __future__ import annotations

import torch
from torch import nn

from tracker.training.recipe import OptimiserConfig


def build_optimiser(model: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """AdamW in four groups: encoder or not, decayed (matrices) or not (norms, biases).

    A group's "share" multiplies the learning rate.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            share = config.encoder_rate if name.startswith("encoder.") else 1.0
            decay = config.weight_decay if parameter.dim() > 1 else 0.0
            groups.setdefault((share, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": p, "share": s, "weight_decay": d} for (s, d), p in groups.items()],
        lr=config.rate,
    )


def learning_rate(step: int, config: OptimiserConfig) -> float:
    """Rate of step `step` (from 0): linear warm-up, then polynomial decay to `final`."""
    if step < config.warmup:
        return config.rate * (step + 1) / config.warmup
    left = 1 - (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.final + (config.rate - config.final) * max(0.0, left) ** config.power


class Average:
    """Exponential moving average of a model's weights, in float32."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._updates = 0
        self._values = {k: v.detach().clone().float() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the model's present weights; early on they count more."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        for name, value in model.state_dict().items():
            self._values[name].lerp_(value.detach().float(), 1 - decay)

    def state_dict(self) -> dict:
        """What `load_state_dict` takes up."""
        return {"updates": self._updates, "values": self._values}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a saved average of the same network."""
        self._updates = state["updates"]
        self._values = {k: state["values"][k].to(v.device) for k, v in self._values.items()}

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """The averaged state dict."""
        return self._values
