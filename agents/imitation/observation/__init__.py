"""Imitation from observations alone: demonstrations whose actions are unknown."""
