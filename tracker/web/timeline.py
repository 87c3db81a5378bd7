"""The line under the slider: which frames are tracked, outdated, and marked. SVG."""

from __future__ import annotations

from tracker.web.project import Project
from tracker.web.sketch import colour

UNTRACKED, TRACKED, OUTDATED, HERE = "#d5dce3", "#4c9f70", "#e0a100", "#16324f"


def timeline(project: Project, frame: int) -> str:
    """An SVG element; frame f lies around x = f, as on a slider from the first to the last."""
    last = max(project.clip.count - 1, 1)
    first, valid_to, computed = project.first, project.valid_to, project.computed
    parts = [_span(0, last, UNTRACKED)]
    if computed is not None and first is not None and not project.busy:
        parts.append(_span(first, computed, OUTDATED))
    if valid_to is not None and first is not None:
        parts.append(_span(first, valid_to, TRACKED))
    width = max(last / 200, 0.1)
    for at in project.marked_frames():
        for row, number in enumerate(project.marks_at(at)):
            parts.append(_bar(at, 1 + row % 3 * 4, width, 4, colour(number)))
    parts.append(_bar(frame, 0, width / 3, 14, HERE))
    words = "tracked frames are green, outdated ones amber, marks in the colours of the objects"
    return (
        f'<svg class="hq-line" viewBox="0 0 {last} 14" preserveAspectRatio="none" role="img" '
        f'aria-label="Line of frames: {words}">{"".join(parts)}</svg>'
    )


def _span(start: int, end: int, fill: str) -> str:
    left, width = start - 0.5, end - start + 1
    return f'<rect x="{left}" y="3" width="{width}" height="8" fill="{fill}"/>'


def _bar(middle: float, top: int, width: float, height: int, fill: str) -> str:
    left = middle - width / 2
    return f'<rect x="{left:g}" y="{top}" width="{width:g}" height="{height}" fill="{fill}"/>'
