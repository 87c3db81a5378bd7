"""The one exception of this package."""

from __future__ import annotations


class VotError(RuntimeError):
    """Data, results or a run of the toolkit are not as they must be; the text says what to do."""
