"""Exit statuses of the commands that are more than 0 (good), 1 (failed) and 2 (used wrongly)."""

INTERRUPTED = 130
"""After Ctrl-C, as shells count it."""
