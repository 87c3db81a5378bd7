"""Several processes that train one model together, each on its share of every batch (torchrun).

The model is called by its verbs, not by `forward`, so gradients are averaged after the backward
pass by one all-reduce. Losses are means over samples and shares are equal: the result is that of
one process with the whole batch.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tracker.build import usable_device
from tracker.config import ConfigError

PATIENCE = timedelta(hours=2)
"""How long processes wait for each other: the leader validates while the others wait."""


@dataclass(frozen=True)
class Team:
    """This process, number `rank` of `size`. Number 0 leads: it alone writes files."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def rows(self, batch: int) -> range:
        """This process's samples of a joint batch. ConfigError unless the shares are equal."""
        if batch % self.size:
            raise ConfigError(
                f"a batch of {batch} does not divide among {self.size} processes; "
                "change the recipe's batch or the number of processes"
            )
        share = batch // self.size
        return range(self.rank * share, (self.rank + 1) * share)

    def copy_from_leader(self, model: nn.Module) -> None:
        """Give every process the leader's weights."""
        if self.size > 1:
            for value in model.state_dict().values():
                dist.broadcast(value, 0)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes; a missing one counts as 0."""
        if self.size == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients: list[Tensor] = [p.grad for p in trained if p.grad is not None]
        joint = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(joint)
        joint /= self.size
        means = joint.split([g.numel() for g in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))

    def agree(self, wish: bool, device: torch.device) -> bool:
        """Whether any process wishes it, so that all stop at the same step."""
        if self.size == 1:
            return wish
        votes = torch.tensor(float(wish), device=device)
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return bool(votes)


def local_device(name: str | None) -> torch.device:
    """As `usable_device`; of several processes on a machine, each gets its own "cuda"."""
    rank = os.environ.get("LOCAL_RANK")
    shared = name == "cuda" or (name is None and torch.cuda.is_available())
    return usable_device(name if rank is None or not shared else f"cuda:{rank}")


@contextlib.contextmanager
def join_team(device: torch.device) -> Iterator[Team]:
    """The team that torchrun started, for as long as the context lasts; else a team of one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Team(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
