"""Task frame: a rotation about the vertical after which one feature of an observation points along x.

A task that does not depend on the direction in the plane of the table, such as pushing, looks the same in each
direction then, and has to be learned only once (Kaba et al. 2023, Equivariance with Learned Canonicalization
Functions; here the direction is given instead of learned).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from gymnasium import spaces
from torch import nn

from agents.data.features import AXES, FeatureIndices, NamedFeatures
from agents.data.symmetry import VECTORS, layout_symmetry
from agents.types import Tensors

MIN_LENGTH = 1e-4
"""Shorter vectors, in the units of observations, have no direction: the frame is that of the robot's base then."""


@dataclass(frozen=True)
class TaskFrameSettings:
    """Numbers of an observation that a task frame uses.

    Attributes:
        part: Part of the observation with the features; ``""`` if the observation is one array.
        direction: Index of the x component of the vector that points along x afterwards.
        vectors: Name of the feature of each vector, by the index of its x component; the y component follows it.
        size: Numbers of the part.
    """

    part: str
    direction: int
    vectors: Mapping[int, str]
    size: int


def task_frame_settings(feature: str, features: NamedFeatures) -> TaskFrameSettings:
    """Return the numbers of an observation that a task frame uses.

    Args:
        feature: Vector that points along x in the frame, such as ``goal/relative``.
        features: Features of the environment, which has control ``ee``.

    Raises:
        ValueError: There is no such vector, or some features cannot be rotated; lists them.
    """
    layout, actions = features.layout, features.action_space
    if len(features.sizes) != 1 or features.has_others or not isinstance(actions, spaces.Box):
        raise ValueError(
            f"task_frame is {feature!r}, and {features.env_name} has observations without named features, or with "
            "other parts, or has no continuous actions: set task_frame=null"
        )
    vectors = [
        name
        for name, part in layout.items()
        if name.rpartition("/")[2] in VECTORS and part.slice.stop - part.slice.start == len(AXES)
    ]
    if feature not in vectors:
        raise ValueError(f"task_frame is {feature!r}; expected one of {', '.join(vectors)}")
    symmetry = layout_symmetry(
        layout, actions, features.env_name, mirror=False, rotate=True, remedy="Set task_frame=null"
    )
    owners = [name for name, part in layout.items() for _ in range(part.slice.start, part.slice.stop)]
    part = next(iter(features.sizes))
    rotated = {x: owners[x] for x in symmetry.x.tolist()}
    return TaskFrameSettings(part, layout[feature].slice.start, rotated, layout.size)


class TaskFrame(nn.Module):
    """Layer without weights that rotates observations and actions to a task frame and back.

    A heading is a unit vector (x, y) along the x axis of the frame.

    Args:
        settings: Numbers of an observation that the frame uses.
    """

    def __init__(self, settings: TaskFrameSettings) -> None:
        super().__init__()
        self.settings = settings
        x = torch.tensor(list(settings.vectors))
        other, sign = torch.arange(settings.size), torch.zeros(settings.size)
        other[x], other[x + 1], sign[x], sign[x + 1] = x + 1, x, 1.0, -1.0
        # A number on which the rotation depends: y of a vector for its x, and the other way around.
        self.register_buffer("other", other, persistent=False)
        self.register_buffer("sign", sign, persistent=False)

    def check_masked(self, masked: FeatureIndices) -> None:
        """Check that masks do not hide one of x and y of a vector: after a rotation, the other one would reveal it.

        Args:
            masked: Indices of the numbers that are not used.

        Raises:
            ValueError: They hide only one of x and y of a vector.
        """
        hidden = set(masked.get(self.settings.part, ()))
        for x, name in self.settings.vectors.items():
            if (x in hidden) != (x + 1 in hidden):
                alone, other = ("x", "y") if x in hidden else ("y", "x")
                raise ValueError(
                    f"masked_features has {name}/{alone} without {name}/{other}, and task_frame rotates them into "
                    "each other: mask both or neither, or set task_frame=null"
                )

    def heading(self, observations: Tensors) -> torch.Tensor:
        """Return the heading at each observation, shape (..., 2), for observations of shape (..., numbers)."""
        values = self._features(observations).float()
        start = self.settings.direction
        vector = values[..., start : start + 2]
        is_short = vector.square().sum(dim=-1, keepdim=True) < MIN_LENGTH**2
        vector = torch.where(is_short, vector.new_tensor([1.0, 0.0]), vector)
        return vector / vector.square().sum(dim=-1, keepdim=True).sqrt()

    def rotated(self, observations: Tensors, heading: torch.Tensor) -> Tensors:
        """Return observations in the frames of their headings, with the same shapes."""
        values = self._features(observations).float()
        sign = self.get_buffer("sign")
        cosine, sine = heading[..., :1], heading[..., 1:]
        rotated = cosine * values + sine * sign * values[..., self.get_buffer("other")]
        seen = torch.where(sign == 0.0, values, rotated)
        return {**observations, self.settings.part: seen} if isinstance(observations, dict) else seen

    @staticmethod
    def to_frame(actions: torch.Tensor, heading: torch.Tensor) -> torch.Tensor:
        """Return actions in a frame, shape (..., numbers); their first two numbers are a motion along x and y.

        Args:
            actions: Actions, shape (..., numbers).
            heading: Heading of each, shape (..., 2).
        """
        return _rotated(actions, heading, -1.0)

    @staticmethod
    def from_frame(actions: torch.Tensor, heading: torch.Tensor) -> torch.Tensor:
        """Invert :meth:`to_frame`."""
        return _rotated(actions, heading, 1.0)

    def _features(self, observations: Tensors) -> torch.Tensor:
        return observations[self.settings.part] if isinstance(observations, dict) else observations


def _rotated(actions: torch.Tensor, heading: torch.Tensor, sign: float) -> torch.Tensor:
    """Return actions that are rotated by the angle of a heading, or by its opposite for the sign -1."""
    x, y = actions[..., 0], actions[..., 1]
    cosine, sine = heading[..., 0], sign * heading[..., 1]
    return torch.cat(
        [(cosine * x - sine * y)[..., None], (sine * x + cosine * y)[..., None], actions[..., 2:]], dim=-1
    )
