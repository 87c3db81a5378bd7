"""A sample video for someone who has none: a scene of the demo data."""

from __future__ import annotations

from pathlib import Path

from tracker.media.video import VideoWriter
from tracker.vot.demo import FPS, render_frame
from tracker.vot.demo_art import sprite
from tracker.vot.demo_scenes import scenes

SAMPLE_TITLE = "Sample: crossing"


def write_sample(path: Path, frames: int | None = None) -> Path:
    """Draw the scene as mp4, all of it or its first frames; returns the path."""
    scene = next(scene for scene in scenes() if scene.name == "crossing")
    sprites = [sprite(actor.look) for actor in scene.actors]
    with VideoWriter(path, FPS) as video:
        for t in range(min(frames or scene.length, scene.length)):
            image, _, _ = render_frame(scene, sprites, t)
            video.add(image)
    return path
