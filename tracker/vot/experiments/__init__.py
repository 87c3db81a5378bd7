"""Experiments of the toolkit that vot-toolkit 0.9.0 cannot run, repaired.

Stack files name them by class path (`type: tracker.vot.experiments.MultiStart`); the files in
`vot_workspace/stacks` do. Parameters, names of results and analyses are those of the toolkit's own
classes; the trajectories are, byte by byte, those of vot-toolkit 0.7.4. What was wrong:
docs/vot-toolkit.md. Only `vot` itself imports this package.
"""

from tracker.vot.experiments.multistart import MultiStart
from tracker.vot.experiments.redetection import Redetection
from tracker.vot.experiments.supervised import Supervised
from tracker.vot.experiments.unsupervised import Unsupervised

__all__ = ["MultiStart", "Redetection", "Supervised", "Unsupervised"]
