"""Multi-start: one run from every anchor of a sequence, forward or backward, to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vot.dataset import Sequence
from vot.dataset.proxy import FrameMapSequence
from vot.experiment.multistart import MultiStartExperiment, find_anchors
from vot.region import Special
from vot.tracker import ObjectQuery, RunResult, Tracker, Trajectory

from tracker.vot.experiments.realtime import Clocked
from tracker.vot.experiments.starting import properties_at_start, region_at_start


class MultiStart(Clocked, MultiStartExperiment):
    """The toolkit's experiment with an `execute` that runs."""

    def execute(
        self,
        tracker: Tracker,
        sequence: Sequence,
        force: bool = False,
        callback: Callable[[float], None] | None = None,
    ) -> None:
        """Run the tracker from every anchor and store a trajectory for each.

        Raises RuntimeError when the sequence has no anchors, ValueError for one in a frame without
        a region.
        """
        results = self.results(tracker, sequence)
        parts = list(self._parts(sequence))
        if not parts:
            raise RuntimeError(
                f"{sequence.name} has no anchors: a multi-start experiment needs a file "
                f"{self.anchor}.value with 1 (forward) or -1 (backward) at some frames"
            )
        with self._get_runtime(tracker, sequence) as runtime:
            for number, (anchor, part) in enumerate(parts, start=1):
                name = f"{sequence.name}_{anchor:08d}"
                if force or not Trajectory.exists(results, name):
                    query = ObjectQuery(region_at_start(sequence, anchor), {}, 0)
                    _trajectory(runtime.run(part, [query])).write(results, name)
                if callback:
                    callback(number / len(parts))

    def _parts(self, sequence: Sequence) -> Iterator[tuple[int, Sequence]]:
        """(anchor, the frames from it on, in the order they are run)."""
        forward, backward = find_anchors(sequence, self.anchor)
        for anchor in forward:
            yield anchor, FrameMapSequence(sequence, list(range(anchor, len(sequence))))
        for anchor in backward:
            yield anchor, FrameMapSequence(sequence, list(range(anchor, -1, -1)))


def _trajectory(result: RunResult) -> Trajectory:
    """The trajectory of the only object of a run that started it in the first frame."""
    states = result.objects[0]
    trajectory = Trajectory(len(states))
    said = properties_at_start(states[0], result.times[0])
    trajectory.set(0, Special(Trajectory.INITIALIZATION), said)
    for frame in range(1, len(states)):
        state = states[frame]
        said = {**state.properties, "time": result.times[frame]}
        trajectory.set(frame, state.region, said)
    return trajectory
