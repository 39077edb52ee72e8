"""Saved agents, ours and those of Stable-Baselines3."""
