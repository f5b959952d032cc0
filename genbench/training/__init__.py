"""The one training loop, its EMA, its checkpoints and its history."""
