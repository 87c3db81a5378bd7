"""HQ-SAM as a mask refiner: one image encoding, all boxes in one decoder call."""

from tracker.refiner.build import CHECKPOINTS, build_refiner, checkpoint_path
from tracker.refiner.refine import MaskRefiner, Refinement

__all__ = ["CHECKPOINTS", "MaskRefiner", "Refinement", "build_refiner", "checkpoint_path"]
