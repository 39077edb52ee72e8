"""Spaces as strings: short for messages, whole for saved agents."""

from __future__ import annotations

from agents.types import Space


def brief(space: str) -> str:
    """Return the text of a space, shortened to its kind, shape and type."""
    return space if len(space) < 60 else f"{space.partition('(')[0]}(..., {space[space.rfind('(') :]}"


def spaces_of(observation_space: Space, action_space: Space) -> dict[str, str]:
    """Return spaces as strings, to compare those of a saved agent with an environment's."""
    return {"observation_space": str(observation_space), "action_space": str(action_space)}
