"""HQTrack for VOT: joint multi-object video segmentation with mask refinement.

The public names load on first use, so that `import tracker` (and the attach command) stays light.
"""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "BoxPrompt": "tracker.prompts",
    "FrameResult": "tracker.stages",
    "HQTracker": "tracker.pipeline",
    "ConfigError": "tracker.config",
    "preset": "tracker.config",
    "CheckpointError": "tracker.checkpoints",
    "FrameError": "tracker.frames",
    "MaskError": "tracker.labels",
    "PointPrompt": "tracker.prompts",
    "PolygonPrompt": "tracker.prompts",
    "PromptError": "tracker.prompts",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tracker' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
