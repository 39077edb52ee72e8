"""Replay in fine-tuning: examples of what the model knows, so that it does not lose it. Imports without PyTorch."""

from __future__ import annotations

REPLAY_SHARE = 0.9
"""Share of the examples that come from datasets that the model has learned from, by default. With a half, a model
that learned PickPlace, where the object is held at the goal, often failed to release it in Stack."""
