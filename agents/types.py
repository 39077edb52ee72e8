"""Types of environments, spaces, observations and tensors."""

from __future__ import annotations

from collections.abc import Sequence
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
State: TypeAlias = dict[str, Any]
"""State in a checkpoint: dicts, lists and tuples of tensors, arrays, numbers, strings, booleans and None."""
Starts: TypeAlias = "Sequence[bool] | Array | None"
"""True for each environment whose episode starts; None for none."""
