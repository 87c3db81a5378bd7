"""What trackers.ini starts for the toolkit's folder protocol (`protocol = folderpython`).

    python -m tracker.folder [--preset NAME] [...]        (the options of `python -m tracker serve`)

Runs the sequence that lies in the current folder, in the same resident server as
`tracker.attach`. For points, which TraX does not carry.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tracker import attach


def main(argv: list[str] | None = None) -> int:
    """Run one sequence; returns the exit status."""
    return attach.main(argv, folder=str(Path.cwd()))


if __name__ == "__main__":
    sys.exit(main())
