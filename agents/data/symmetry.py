"""Data augmentation by symmetry: mirrored demonstrations, and demonstrations rotated about the vertical.

A push to the left teaches a push to the right. The mirror is the plane y = 0, which contains the base of the arm.
Rotation is valid only in tasks that do not depend on the orientation of the fingers, such as reaching, and pushing
with closed fingers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from agents.types import Env
from lam_envs.observation.features import Layout

VECTORS = ("position", "relative", "velocity", "lag")
"""Suffixes of names of features that are vectors of x, y and z."""
AXIAL = ("angular_velocity",)
"""Suffixes of pseudovectors, whose components in the mirror plane change sign."""
ROTATIONS = ("rotation",)
"""Suffixes of rotations, given by the first two columns of their matrix."""
ANGLES = ("yaw",)
"""Suffixes of angles about the vertical, which change sign in the mirror. A rotation would add to them."""
FINGERS = ("touch",)
"""Suffixes of features with one number per finger: the mirror swaps the fingers."""
BOUNDS = {"low": "high", "high": "low"}
"""Suffixes of the lowest and highest x, y and z of a surface; the mirror swaps those of y and changes their signs."""
SIZES = ("size",)
"""Suffixes of edges in the frame of an object, which neither the mirror nor a rotation changes."""
SCALARS = ("depth", "distance", "height", "length", "opening", "present", "speed", "target", "velocity", "width")
"""Suffixes of single numbers that neither the mirror nor a rotation changes."""
ACTIONS = 4
"""Size of an action of control ``ee``: displacements along x, y and z, and the gripper."""


@dataclass(frozen=True)
class Symmetry:
    """Random mirroring and rotation of transitions or windows.

    Attributes:
        mirror: Mirror half of them.
        rotate: Rotate each by a random angle.
        x: Indices of the x components of V vectors in an observation, shape (V,); the y component follows each.
        mirror_signs: Sign of each dimension after mirroring, shape (numbers,).
        mirror_indices: Index of the dimension that each one takes its value from after mirroring, shape (numbers,).
        low: Lower bounds of actions, shape (4,).
        high: Upper bounds of actions, shape (4,).
    """

    mirror: bool
    rotate: bool
    x: torch.Tensor
    mirror_signs: torch.Tensor
    mirror_indices: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    def __call__(
        self, observations: torch.Tensor, actions: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return augmented transitions or windows: observations and actions of the given shapes.

        Args:
            observations: Observations, shape (N, numbers), or (N, H, numbers) in windows.
            actions: Actions, shape (N, 4), or (N, A, 4) in windows.
            rng: Draws which transitions or windows are mirrored, and the angles.
        """
        observations, actions = observations.clone(), actions.clone()
        if self.mirror:
            chosen = torch.from_numpy(rng.random(len(actions)) < 0.5)
            observations[chosen], actions[chosen] = self.mirrored(observations[chosen], actions[chosen])
        if self.rotate:
            angles = torch.from_numpy(rng.uniform(-math.pi, math.pi, len(actions)).astype(np.float32))
            _rotate(observations, self.x, angles)
            _rotate(actions, torch.tensor([0]), angles)
            actions = torch.minimum(torch.maximum(actions, self.low), self.high)
        return observations, actions

    def mirrored(self, observations: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mirror images of all transitions or windows, in the given shapes."""
        return self.mirrored_observations(observations), self.mirrored_actions(actions)

    def mirrored_observations(self, observations: torch.Tensor) -> torch.Tensor:
        """Return the mirror images of observations, in the given shape."""
        return observations[..., self.mirror_indices] * self.mirror_signs

    @staticmethod
    def mirrored_actions(actions: torch.Tensor) -> torch.Tensor:
        """Return the mirror images of actions, in the given shape."""
        return actions * torch.tensor([1.0, -1.0, 1.0, 1.0])


def _rotate(rows: torch.Tensor, x: torch.Tensor, angles: torch.Tensor) -> None:
    """Rotate the V vectors of each row in place: rows (N, ..., numbers), x (V,), angles (N,) in radians."""
    angles = angles.reshape(-1, *[1] * (rows.ndim - 1))
    cosine, sine = angles.cos(), angles.sin()
    along, across = rows[..., x], rows[..., x + 1]
    rows[..., x] = cosine * along - sine * across
    rows[..., x + 1] = sine * along + cosine * across


def symmetry_of(env: Env, *, mirror: bool, rotate: bool) -> Symmetry | None:
    """Return the augmentation for an environment; None without mirroring and rotation.

    Args:
        env: Environment of lam_envs with ``obs="state"`` and ``control="ee"``.
        mirror: Mirror demonstrations.
        rotate: Rotate demonstrations.

    Raises:
        ValueError: Some features have no known mirror image or rotation; lists them.
    """
    if not (mirror or rotate):
        return None
    layout: Any = getattr(env.unwrapped, "layout", None)
    space, actions = env.observation_space, env.action_space
    if layout is None or not isinstance(space, spaces.Box) or not isinstance(actions, spaces.Box):
        raise ValueError(
            'only environments of lam_envs with obs="state" and control="ee" can be mirrored and rotated: '
            "set mirror=false and rotate=false"
        )
    name = env.spec.id if env.spec else str(env)
    return layout_symmetry(layout, actions, name, mirror=mirror, rotate=rotate)


def layout_symmetry(
    layout: Layout,
    actions: spaces.Box,
    env_name: str,
    *,
    mirror: bool,
    rotate: bool,
    remedy: str = "Set mirror=false and rotate=false",
) -> Symmetry:
    """Return the augmentation for observations with named features.

    Args:
        layout: Layout of the observations.
        actions: Space of the actions.
        env_name: Name of the environment in errors.
        mirror: Mirror demonstrations.
        rotate: Rotate demonstrations.
        remedy: Advice at the end of the error.

    Raises:
        ValueError: Some features have no known mirror image or rotation; lists them.
    """
    x: list[int] = []
    mirror_signs, mirror_indices = np.ones(layout.size, dtype=np.float32), np.arange(layout.size)
    unknown, middles, has_unknown_scalar = [], set[tuple[float, ...]](), False
    for name, part in layout.items():
        start, numbers, kind = part.slice.start, part.slice.stop - part.slice.start, name.rpartition("/")[2]
        if kind in VECTORS and numbers == 3:
            x.append(start)
            mirror_signs[start + 1] = -1.0
            middles |= {part.center[:2]} if kind == "position" else set()
        elif kind in AXIAL and numbers == 3:
            x.append(start)
            mirror_signs[[start, start + 2]] = -1.0
        elif kind in ROTATIONS and numbers == 6:
            # M R M with the mirror M: y changes sign in the first column, x and z in the second.
            x += [start, start + 3]
            mirror_signs[[start + 1, start + 3, start + 5]] = -1.0
        elif kind in FINGERS and numbers == 2 and not rotate:
            mirror_indices[[start, start + 1]] = [start + 1, start]
        elif kind in ANGLES and numbers == 1 and not rotate and not name.startswith(("tool/", "joint/")):
            mirror_signs[start] = -1.0
        elif kind in BOUNDS and not rotate and (other := f"{name.rpartition('/')[0]}/{BOUNDS[kind]}") in layout:
            mirror_signs[start + 1], mirror_indices[start + 1] = -1.0, layout[other].slice.start + 1
        elif kind in SCALARS and numbers == 1 and not name.startswith(("tool/", "joint/")):
            continue
        elif kind not in SIZES:
            unknown.append(name)
            has_unknown_scalar |= numbers == 1 and kind not in (*ANGLES, *SCALARS) and not name.startswith("tool/")
    reasons = [f"no known transformation of {', '.join(unknown)}"] if unknown else []
    if has_unknown_scalar:
        reasons.append(
            f"a single number that mirroring does not change needs a name that ends in {', '.join(SCALARS)}"
        )
    if actions.shape != (ACTIONS,):
        reasons.append(f"actions of shape {actions.shape}")
    if len(middles) > 1 or any(middle[1] != 0.0 for middle in middles):
        found = ", ".join(map(str, sorted(middles)))
        reasons.append(f"positions with centers (x, y) {found}; expected one, with y = 0")
    if reasons:
        raise ValueError(
            f"{env_name} cannot be {'rotated' if rotate else 'mirrored'}: {'; '.join(reasons)}. {remedy}"
        )
    return Symmetry(
        mirror,
        rotate,
        torch.tensor(x),
        torch.from_numpy(mirror_signs),
        torch.from_numpy(mirror_indices),
        torch.from_numpy(actions.low),
        torch.from_numpy(actions.high),
    )
