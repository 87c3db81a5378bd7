"""Measuring: J&F on videos with masks, speed and memory."""
