"""A tracker against the clock: frames that come while it computes are never sent to it.

A frame comes every `interval` seconds. A reply that takes longer uses up one of the `grace`
credits, or else is repeated for the frames that have gone by.
"""

from __future__ import annotations

from vot.dataset import Frame, Sequence
from vot.experiment import RealtimeConfig
from vot.tracker import FrameObjects, OnlineTrackerRuntime, Tracker, TrackerRuntime


class RealtimeRuntime(OnlineTrackerRuntime):
    """Wraps an online runtime; has `run` from its base class, which the toolkit's own lacks."""

    def __init__(self, runtime: OnlineTrackerRuntime, grace: int, interval: float) -> None:
        super().__init__(runtime.tracker)
        self._runtime = runtime
        self._grace = grace
        self._interval = interval
        self._forget()

    @property
    def multiobject(self) -> bool:
        """Whether the tracker takes several objects."""
        return self._runtime.multiobject

    def stop(self) -> None:
        """Stop the tracker."""
        self._runtime.stop()
        self._forget()

    def restart(self) -> None:
        """Start the tracker anew."""
        self._runtime.restart()
        self._forget()

    def initialize(self, frame: Frame, new: FrameObjects = None) -> tuple[FrameObjects, float]:
        """The first frame: all credits are there again. Returns the reply and its seconds."""
        self._forget()
        return self._keep(*self._runtime.initialize(frame, new))

    def update(self, frame: Frame, new: FrameObjects = None) -> tuple[FrameObjects, float]:
        """The next frame: the tracker's reply, or the last one again, at 0 seconds, while it is
        late. A frame with new objects always reaches the tracker (the toolkit's class refuses it).
        """
        if self._late > self._interval and not new:
            self._late -= self._interval
            return self._status, 0
        self._late = 0.0
        return self._keep(*self._runtime.update(frame, new or []))

    def _keep(self, status: FrameObjects, seconds: float) -> tuple[FrameObjects, float]:
        self._status = status
        if seconds > self._interval:
            if self._credits > 0:
                self._credits -= 1
            else:
                self._late = seconds - self._interval
        return status, seconds

    def _forget(self) -> None:
        self._credits = self._grace
        self._late = 0.0
        self._status: FrameObjects = None


class Clocked:
    """An experiment of the toolkit that runs its trackers against the clock where it is told to.

    Comes before the toolkit's class among the bases.
    """

    realtime: RealtimeConfig | None

    def _get_runtime(
        self, tracker: Tracker, sequence: Sequence, multiobject: bool = False
    ) -> TrackerRuntime:
        """The tracker's runtime, wrapped when the experiment has `realtime` settings.

        Raises ValueError for a batch runtime (protocol `folder`): it cannot be held to a clock.
        """
        runtime = tracker.runtime()
        if self.realtime is None:
            return runtime
        if not isinstance(runtime, OnlineTrackerRuntime):
            raise ValueError("a real-time experiment needs a tracker that answers frame by frame")
        fps = sequence.metadata("fps", self.realtime.fps) or self.realtime.fps
        return RealtimeRuntime(runtime, int(self.realtime.grace), 1 / float(fps))
