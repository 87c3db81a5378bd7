"""Training of VMOS: data, augmentation, losses, rollout, trainer."""
