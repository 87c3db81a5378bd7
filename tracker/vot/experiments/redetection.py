"""Re-detection: the object stays for some frames, then is seen at another place, enlarged canvas.

The toolkit's transformer repeats the first picture only, never shows the second, and has no folder
for the two pictures when it comes out of a stack file.
"""

from __future__ import annotations

from vot.dataset import Sequence
from vot.dataset.common import read_sequence
from vot.dataset.proxy import FrameMapSequence, ProxySequence
from vot.experiment.transformer import Redetection as ToolkitRedetection
from vot.utilities import arg_hash


class Redetection(ToolkitRedetection):
    """`length` frames: `initialization` times the first picture, then the second.

    The result has the name of the sequence it was made of.
    """

    def use_cache(self, cache: object) -> None:
        """Where the two pictures are kept, unless a place is known: a storage of the toolkit."""
        if self._cache is None:
            self._cache = cache

    def __call__(self, sequence: Sequence) -> list[Sequence]:
        """The sequence made of the first frame of `sequence`."""
        super().__call__(sequence)
        folder = self._cache.directory(self, arg_hash(sequence.name, **self.dump()))
        shown = [0] * self.initialization + [1] * (self.length - self.initialization)
        made = FrameMapSequence(read_sequence(folder), shown)
        return [ProxySequence(made, sequence.name)]
