"""Types of environments, spaces and observations; spaces as strings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import gymnasium as gym
import numpy.typing as npt

if TYPE_CHECKING:
    import torch  # not every command needs it

Env: TypeAlias = gym.Env[Any, Any]
"""Environment of any observations and actions."""
Space: TypeAlias = gym.Space[Any]
"""Space of any observations or actions."""
Array: TypeAlias = npt.NDArray[Any]
"""Array of any type of numbers."""
Observation: TypeAlias = Array | dict[str, Array]
"""Observation of an environment, or a batch of them."""
Tensors: TypeAlias = "torch.Tensor | dict[str, torch.Tensor]"
"""Observations of shape (N, ...) on a device, or a dict of such."""


def brief(space: str) -> str:
    """Return the text of a space, shortened to its kind, shape and type."""
    return space if len(space) < 60 else f"{space.partition('(')[0]}(..., {space[space.rfind('(') :]}"


def spaces_of(observation_space: Space, action_space: Space) -> dict[str, str]:
    """Return spaces as strings, to compare those of a saved agent with an environment's."""
    return {"observation_space": str(observation_space), "action_space": str(action_space)}
