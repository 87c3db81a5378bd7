"""HQ-SAM as a mask refiner: one image encoding, all boxes in one decoder call."""
