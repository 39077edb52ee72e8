"""Gymnasium's base class and autoreset modes of vector environments, for every supported version of Gymnasium."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import gymnasium as gym

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv
    from gymnasium.vector.vector_env import AutoresetMode
else:
    if gym.__version__.startswith("0."):
        # The class that Gymnasium 1.0 made the only one.
        from gymnasium.experimental.vector import VectorEnv
    else:
        from gymnasium.vector import VectorEnv
    try:
        from gymnasium.vector.vector_env import AutoresetMode
    except ImportError:  # before Gymnasium 1.1

        class AutoresetMode(enum.Enum):
            """Time at which an environment whose episode has ended is reset."""

            NEXT_STEP = "NextStep"
            SAME_STEP = "SameStep"
            DISABLED = "Disabled"


__all__ = ["AutoresetMode", "VectorEnv"]
