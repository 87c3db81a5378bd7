"""Supervised: a tracker that has lost the object is started again some frames later."""

from __future__ import annotations

from collections.abc import Callable

from vot.dataset import Sequence
from vot.experiment.multirun import SupervisedExperiment
from vot.region import Special, calculate_overlap
from vot.tracker import ObjectStatus, OnlineTrackerRuntime, Tracker, Trajectory

from tracker.vot.experiments.realtime import Clocked
from tracker.vot.experiments.starting import properties_at_start, region_at_start


class Supervised(Clocked, SupervisedExperiment):
    """The toolkit's experiment with an `execute` that runs."""

    def execute(
        self,
        tracker: Tracker,
        sequence: Sequence,
        force: bool = False,
        callback: Callable[[float], None] | None = None,
    ) -> None:
        """Run all repetitions; fewer when the first three are equal and `early_stop` is set.

        Raises ValueError for several objects, for one without a region in the first frame, and for
        a tracker that does not answer frame by frame.
        """
        if len(sequence.objects()) != 1:
            raise ValueError(f"{sequence.name}: a supervised experiment takes one object")
        results = self.results(tracker, sequence)
        with self._get_runtime(tracker, sequence) as runtime:
            if not isinstance(runtime, OnlineTrackerRuntime):
                raise ValueError("a supervised experiment needs answers frame by frame")
            for number in range(1, self.repetitions + 1):
                name = f"{sequence.name}_{number:03d}"
                if Trajectory.exists(results, name) and not force:
                    continue
                if self._can_stop(tracker, sequence):
                    return
                self._run(runtime, sequence).write(results, name)
                if callback:
                    callback(number / self.repetitions)

    def _run(self, runtime: OnlineTrackerRuntime, sequence: Sequence) -> Trajectory:
        trajectory = Trajectory(len(sequence))
        frame = 0
        while frame < len(sequence):
            start = ObjectStatus(region_at_start(sequence, frame), {})
            [state], seconds = runtime.initialize(sequence.frame(frame), [start])
            said = properties_at_start(state, seconds)
            trajectory.set(frame, Special(Trajectory.INITIALIZATION), said)
            failure = self._follow(runtime, sequence, trajectory, frame + 1)
            frame = len(sequence) if failure is None else self._restart(sequence, failure)
        return trajectory

    def _follow(
        self, runtime: OnlineTrackerRuntime, sequence: Sequence, trajectory: Trajectory, first: int
    ) -> int | None:
        """Track from frame `first` to the end or to a failure; returns the frame of the failure."""
        for frame in range(first, len(sequence)):
            [state], seconds = runtime.update(sequence.frame(frame), [])
            said = {**state.properties, "time": seconds}
            overlap = calculate_overlap(state.region, sequence.groundtruth(frame), sequence.size)
            if overlap <= self.failure_overlap:
                trajectory.set(frame, Special(Trajectory.FAILURE), said)
                return frame
            trajectory.set(frame, state.region, said)
        return None

    def _restart(self, sequence: Sequence, failure: int) -> int:
        """The frame in which the tracker is started again: one that is not to be skipped, with a
        region to start from."""
        frame = failure + self.skip_initialize
        while frame < len(sequence) and not self._may_start(sequence, frame):
            frame += 1
        return frame

    def _may_start(self, sequence: Sequence, frame: int) -> bool:
        skipped = set(sequence.tags(frame)) & set(self.skip_tags)
        return not skipped and not isinstance(sequence.groundtruth(frame), Special)
