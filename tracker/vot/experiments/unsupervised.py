"""Unsupervised: the tracker is started once and left alone."""

from __future__ import annotations

from vot.dataset import Sequence
from vot.experiment.multirun import UnsupervisedExperiment

from tracker.vot.experiments.realtime import Clocked
from tracker.vot.experiments.redetection import Redetection


class Unsupervised(Clocked, UnsupervisedExperiment):
    """The toolkit's experiment, which runs as it is, with `realtime` and transformers that do."""

    def transform(self, sequences: Sequence | list[Sequence]) -> list[Sequence]:
        """What is made of the sequences; the toolkit gives transformers no place for files."""
        for transformer in self.transformers:
            if isinstance(transformer, Redetection) and self.storage is not None:
                transformer.use_cache(self.storage.substorage("cache").substorage("transformer"))
        return super().transform(sequences)
