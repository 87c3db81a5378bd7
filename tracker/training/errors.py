"""What is raised for data that cannot be used."""

from __future__ import annotations


class DataError(ValueError):
    """A folder or file of training data that cannot be used; the message names it."""


class EmptySceneError(DataError):
    """A draw that shows no object; another draw may."""
