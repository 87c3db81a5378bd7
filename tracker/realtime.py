"""Which frames are refined when time is short.

The rule, with the settings of `tracker.config.RealtimeConfig`: a frame is refined unless the last
refined one is less than `refine_every` frames back, or the refiner would end after the deadline.
With `refine_at_least`, a frame that many after the last refined one is refined even if late.
How long segmenter and refiner take is estimated from the frames before.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from tracker.config import RealtimeConfig

NEWEST_SHARE = 0.25
"""Weight of the newest time in the running estimates (ours); a slower refiner counts at once."""

FADING = 0.99
"""The refiner's estimate shrinks by this factor with every frame it is too slow for (ours).

So a refiner that was slow once is tried again: after 69 frames when it took twice the time left.
One that always takes a third more than there is makes one frame in 30 late.
"""


class RefineSchedule:
    """Decides frame by frame whether the refiner runs.

    Per frame: `begin`, then the segmenter, then `allows`, and `with refining()` around the refiner.
    `restart` begins a video; what is known of the times stays. clock counts seconds.
    """

    def __init__(
        self, config: RealtimeConfig, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._config = config
        self._clock = clock
        self._began = 0.0
        self._segmenting: float | None = None
        self._refining: float | None = None
        self.restart()

    def restart(self) -> None:
        """The next frame is one that may be refined."""
        self._since = self._config.refine_every - 1

    def begin(self) -> bool:
        """A frame begins. Whether it is expected to be refined: then its encoding may begin too.

        The first refinement is never too late: nothing is known of its time yet.
        """
        self._began = self._clock()
        self._since += 1
        return self._due(self._segmenting or 0.0)

    def allows(self) -> bool:
        """The segmenter is done and has found objects. Whether the refiner runs now."""
        spent = self._clock() - self._began
        self._segmenting = _mixed(self._segmenting, spent)
        allowed = self._due(spent)
        if not allowed and self._since >= self._config.refine_every and self._refining is not None:
            self._refining *= FADING
        return allowed

    @contextlib.contextmanager
    def refining(self) -> Iterator[None]:
        """The refiner runs, and has given its masks when the block ends."""
        begin = self._clock()
        yield
        spent = self._clock() - begin
        self._refining = max(spent, _mixed(self._refining, spent))
        self._since = 0

    def _due(self, segmenting: float) -> bool:
        if self._since < self._config.refine_every:
            return False
        deadline, most = self._config.deadline_ms, self._config.refine_at_least
        if deadline is None or self._refining is None:
            return True
        if most is not None and self._since >= most:
            return True
        return 1000 * (segmenting + self._refining) <= deadline


def _mixed(estimate: float | None, newest: float) -> float:
    if estimate is None:
        return newest
    return (1 - NEWEST_SHARE) * estimate + NEWEST_SHARE * newest
