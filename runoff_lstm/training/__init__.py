"""From windows and a model to trained weights: recipe, losses, loop, checkpoints, device."""
