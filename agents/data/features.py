"""Named features: their indices in an observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from agents.data.spaces import parts_of
from agents.types import Env, Space
from lam_envs.observation.instructions import INSTRUCTION_KEY

AXES = ("x", "y", "z")
FeatureIndices: TypeAlias = Mapping[str, Sequence[int]]
"""Indices of numbers, by the name of their part of the observation; ``""`` if the observation is one array."""


def feature_indices(names: Sequence[str], env: Env) -> FeatureIndices:
    """Return the indices of features in an observation.

    Args:
        names: Names of features, such as ``object/rotation``, or of one number of a vector, such as
            ``tool/position/x``.
        env: Environment of lam_envs.

    Returns:
        The indices, by the part of the observation that has the features; empty without names.

    Raises:
        ValueError: There is no such feature, or observations have no named features; lists the features.
    """
    if not names:
        return {}
    parts = list(feature_sizes(env))
    if len(parts) != 1:
        raise ValueError(
            f"features {', '.join(names)} have no index in this observation: only environments of lam_envs name "
            "their features"
        )
    layout: Any = getattr(env.unwrapped, "layout", None)
    indices: list[int] = []
    for name in names:
        vector, _, axis = name.rpartition("/")
        if name in layout:
            indices += range(layout[name].slice.start, layout[name].slice.stop)
        elif (
            axis in AXES and vector in layout and layout[vector].slice.stop - layout[vector].slice.start == len(AXES)
        ):
            indices.append(layout[vector].slice.start + AXES.index(axis))
        else:
            raise ValueError(f"there is no feature {name!r}; expected one of {', '.join(layout)}, or NAME/x, /y, /z")
    return {parts[0]: indices}


@dataclass(frozen=True)
class NamedFeatures:
    """Named features of an environment's observations.

    Attributes:
        env_name: Name of the environment in errors.
        action_space: Space of its actions.
        layout: Layout of the features; None if they have no names.
        sizes: Numbers in each named feature, by the part that has them (:func:`feature_sizes`).
        has_others: True if observations have parts other than these features and the instruction.
    """

    env_name: str
    action_space: Space
    layout: Any
    sizes: Mapping[str, Sequence[int]]
    has_others: bool

    @classmethod
    def of(cls, env: Env) -> NamedFeatures:
        """Return the named features of an environment."""
        layout = getattr(env.unwrapped, "layout", None)
        sizes = feature_sizes(env)
        has_others = not parts_of(env.observation_space).keys() <= {*sizes, INSTRUCTION_KEY}
        return cls(env.spec.id if env.spec else str(env), env.action_space, layout, sizes, has_others)


def feature_sizes(env: Env) -> dict[str, list[int]]:
    """Return the numbers in each named feature of an observation, by the part that has them.

    Args:
        env: Environment. One that is not of lam_envs has no named features.
    """
    layout: Any = getattr(env.unwrapped, "layout", None)
    if layout is None:
        return {}
    sizes = [part.slice.stop - part.slice.start for part in layout.values()]
    return {name: sizes for name, part in parts_of(env.observation_space).items() if part.shape == (sum(sizes),)}
