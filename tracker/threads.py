"""How the threads of one computation wait for each other."""

from __future__ import annotations

from collections.abc import MutableMapping

SPINS = "30000"
"""About a millisecond awake: longer than the gaps within a frame, shorter than a turn that the
system gives to another process."""


def wait_briefly(environment: MutableMapping[str, str]) -> None:
    """Let threads go to sleep soon where they wait; the environment's own wish comes first.

    GNU OpenMP, which PyTorch computes with on Linux, else lets them spin for some ten milliseconds:
    where another process is at work too, a thread spins on one core while the one it waits for
    queues for the other. Read when PyTorch is loaded, so call it before that.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
