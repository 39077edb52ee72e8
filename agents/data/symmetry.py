"""Demonstrations seen in a mirror, and turned about the vertical: more of them, where the task looks alike.

A push to the left teaches a push to the right. What is seen in the mirror is as if it had happened across the plane
y = 0, in which the arm stands; what is turned is as if it had happened in another direction, which holds only where
nothing depends on where the fingers stand, as in reaching and pushing with closed fingers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

VECTORS = ("position", "relative", "velocity", "lag")
"""Last parts of the names of features that are vectors, of x, y and z."""
AXIAL = ("angular_velocity",)
"""Those of vectors along an axis of rotation, which a mirror turns round."""
ROTATIONS = ("rotation",)
"""Those of the first two columns of a rotation."""
FINGERS = ("touch",)
"""Those of one number a finger: the mirror changes one finger for the other."""
ACTIONS = 4
"""Numbers of an action of control ``ee``: displacements along x, y and z, and the gripper."""


@dataclass(frozen=True)
class Symmetry:
    """Mirrors and turns transitions at random.

    Attributes:
        mirror: Whether half of them are mirrored.
        rotate: Whether each is turned by an angle of its own.
        x: Numbers of an observation that are the x of a vector; its y follows.
        flipped: Sign of each number in the mirror.
        order: Place of each number in the mirror.
        low: Least of the action's numbers.
        high: Most.
    """

    mirror: bool
    rotate: bool
    x: torch.Tensor
    flipped: torch.Tensor
    order: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    def __call__(
        self, observations: torch.Tensor, actions: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns other transitions that might as well have been demonstrated.

        Args:
            observations: Shape (N, numbers).
            actions: Shape (N, 4).
            rng: Draws which are mirrored, and by how much each is turned.
        """
        observations, actions = observations.clone(), actions.clone()
        if self.mirror:
            chosen = torch.from_numpy(rng.random(len(actions)) < 0.5)
            observations[chosen] = observations[chosen][:, self.order] * self.flipped
            actions[chosen, 1] *= -1.0
        if self.rotate:
            angles = torch.from_numpy(rng.uniform(-math.pi, math.pi, len(actions)).astype(np.float32))
            _rotate(observations, self.x, angles)
            _rotate(actions, torch.tensor([0]), angles)
            actions = torch.minimum(torch.maximum(actions, self.low), self.high)
        return observations, actions


def _rotate(rows: torch.Tensor, x: torch.Tensor, angles: torch.Tensor) -> None:
    """Turns vectors in place."""
    cosine, sine = angles.cos()[:, None], angles.sin()[:, None]
    along, across = rows[:, x], rows[:, x + 1]
    rows[:, x] = cosine * along - sine * across
    rows[:, x + 1] = sine * along + cosine * across


def symmetry_of(env: gym.Env[Any, Any], *, mirror: bool, rotate: bool) -> Symmetry | None:
    """Returns how demonstrations of an environment are mirrored and turned; None if they are not.

    Args:
        env: Of ours, with ``obs="state"`` and ``control="ee"``.
        mirror: Whether the task is the same in the mirror.
        rotate: Whether it is the same from all sides.

    Raises:
        ValueError: Of this environment's numbers nobody knows how they change; names them.
    """
    if not (mirror or rotate):
        return None
    layout: Any = getattr(env.unwrapped, "layout", None)
    space, actions = env.observation_space, env.action_space
    if layout is None or not isinstance(space, spaces.Box) or not isinstance(actions, spaces.Box):
        raise ValueError(
            'only environments of lam_envs with obs="state" and control="ee" are mirrored and turned: '
            "set mirror=false and rotate=false"
        )
    x: list[int] = []
    flipped, order = np.ones(space.shape, dtype=np.float32), np.arange(space.shape[0])
    unknown, middles = [], set()
    for name, part in layout.items():
        start, numbers, kind = part.slice.start, part.slice.stop - part.slice.start, name.rpartition("/")[2]
        if kind in VECTORS and numbers == 3:
            x.append(start)
            flipped[start + 1] = -1.0
            middles |= {part.center[:2]} if kind == "position" else set()
        elif kind in AXIAL and numbers == 3:
            x.append(start)
            flipped[[start, start + 2]] = -1.0
        elif kind in ROTATIONS and numbers == 6:
            # M R M, where M mirrors: of the first column the y changes its sign, of the second the x and the z.
            x += [start, start + 3]
            flipped[[start + 1, start + 3, start + 5]] = -1.0
        elif kind in FINGERS and numbers == 2 and not rotate:
            order[[start, start + 1]] = [start + 1, start]
        elif numbers != 1 or name.startswith(("tool/", "joint/")) or kind in FINGERS:
            unknown.append(name)
    if unknown or actions.shape != (ACTIONS,) or len(middles) > 1 or any(middle[1] != 0.0 for middle in middles):
        raise ValueError(
            f"it is not known how {', '.join(unknown) or 'the actions'} of {env.spec.id if env.spec else env} "
            f"would {'rotate' if rotate else 'look in a mirror'}: set mirror=false and rotate=false"
        )
    return Symmetry(
        mirror,
        rotate,
        torch.tensor(x),
        torch.from_numpy(flipped),
        torch.from_numpy(order),
        torch.from_numpy(actions.low),
        torch.from_numpy(actions.high),
    )
