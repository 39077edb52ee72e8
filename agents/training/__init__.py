"""Training: runs, checkpoints, the training loop, settings, provenance and tuning."""
