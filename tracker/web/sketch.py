"""The marks over a frame as SVG, in pixels of the frame: the boxes, points and outlines."""

from __future__ import annotations

from tracker.media.masks import palette
from tracker.prompts import BoxPrompt, Point, PointPrompt, PolygonPrompt, Prompt
from tracker.web.editor import Editor


def colour(number: int) -> str:
    """The colour of an object, as in the overlay: #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*palette()[(number - 1) % 255 + 1])


def sketch(editor: Editor) -> str:
    """SVG elements for the marks of the shown frame and the one being made."""
    clip = editor.project.clip
    unit = max(clip.width, clip.height) / 640
    parts = [
        _prompt(mark.prompt, colour(number), unit, str(number))
        for number, mark in editor.project.marks_at(editor.frame).items()
        if mark.prompt is not None
    ]
    own = "#ffffff" if editor.number is None else colour(editor.number)
    if editor.drag is not None:
        parts.append(_box(*editor.drag, own, unit))
    if editor.outline:
        parts.append(_line(editor.outline, own, unit))
        parts += [_dot(place, own, unit) for place in editor.outline]
    return "".join(parts)


def _prompt(prompt: Prompt, own: str, unit: float, name: str) -> str:
    if isinstance(prompt, BoxPrompt):
        corner = prompt.x + prompt.width, prompt.y + prompt.height
        place = prompt.x, prompt.y
        return _box(place, corner, own, unit) + _name(place, own, unit, name)
    if isinstance(prompt, PolygonPrompt):
        closed = [*prompt.vertices, prompt.vertices[0]]
        return _line(closed, own, unit) + _name(prompt.vertices[0], own, unit, name)
    x, y = prompt.points[0]
    return _points(prompt, own, unit) + _name((x + 8 * unit, y - 8 * unit), own, unit, name)


def _points(prompt: PointPrompt, own: str, unit: float) -> str:
    on = "".join(_dot(place, own, unit) for place in prompt.points)
    return on + "".join(_cross(place, unit) for place in prompt.background)


def _box(a: Point, b: Point, own: str, unit: float) -> str:
    x, y = min(a[0], b[0]), min(a[1], b[1])
    shape = f'x="{x:g}" y="{y:g}" width="{abs(a[0] - b[0]):g}" height="{abs(a[1] - b[1]):g}"'
    return (
        f'<rect {shape} fill="none" stroke="#ffffff" stroke-width="{3.5 * unit:g}"/>'
        f'<rect {shape} fill="none" stroke="{own}" stroke-width="{1.8 * unit:g}"/>'
    )


def _line(places: list[Point], own: str, unit: float) -> str:
    points = " ".join(f"{x:g},{y:g}" for x, y in places)
    return (
        f'<polyline points="{points}" fill="none" stroke="#ffffff" stroke-width="{3.5 * unit:g}"/>'
        f'<polyline points="{points}" fill="none" stroke="{own}" stroke-width="{1.8 * unit:g}"/>'
    )


def _dot(place: Point, own: str, unit: float) -> str:
    x, y = place
    return (
        f'<circle cx="{x:g}" cy="{y:g}" r="{5 * unit:g}" fill="{own}" stroke="#ffffff" '
        f'stroke-width="{1.8 * unit:g}"/>'
    )


def _cross(place: Point, unit: float) -> str:
    (x, y), r = place, 5 * unit
    d = f"M{x - r:g},{y - r:g} L{x + r:g},{y + r:g} M{x - r:g},{y + r:g} L{x + r:g},{y - r:g}"
    return (
        f'<path d="{d}" stroke="#ffffff" stroke-width="{4 * unit:g}"/>'
        f'<path d="{d}" stroke="#d00000" stroke-width="{2 * unit:g}"/>'
    )


def _name(place: Point, own: str, unit: float, name: str) -> str:
    x, y = place
    side = 14 * unit
    top = max(y - side, 0)
    return (
        f'<rect x="{x:g}" y="{top:g}" width="{side:g}" height="{side:g}" fill="{own}"/>'
        f'<text x="{x + side / 2:g}" y="{top + 0.78 * side:g}" font-size="{11 * unit:g}" '
        f'text-anchor="middle" font-family="sans-serif" fill="#ffffff">{name}</text>'
    )
