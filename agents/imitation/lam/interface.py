"""Facts about an environment that the agent ``lam`` needs: features, robot, control, images and estimated objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from gymnasium import spaces

from agents.data.cameras import Shape
from agents.data.spaces import has_channels_first, is_image, parts_of
from agents.estimation.scenes import PixelObservations
from agents.imitation.lam.entities import EntityReader, Schema
from agents.imitation.lam.objects import EstimatedObjects
from agents.types import Env, Space
from demos.collection.environment_versions import part_name
from lam_envs.observation.features import ROBOT_KEY, Layout
from lam_envs.observation.instructions import INSTRUCTION_KEY, STATE_KEY
from lam_envs.tasks import TASKS, make_task

CARTESIAN = ("ee", "ee_yaw")
"""Controls whose actions move the tool along x, y and z."""


@dataclass(frozen=True)
class Interface:
    """Facts about an environment that a model needs.

    Attributes:
        observation_space: Box of features, or a Dict of them, of the instruction and of images.
        action_space: Box.
        layout: Names of the features; with images, those of the robot, or those of the state if positions of objects
            are estimated.
        task: Name of the task.
        robot: Name of the robot.
        control: Name of the control.
        lacks_instruction: True if only an instruction specifies the goal, and the observations have none.
        images: Shape of the images of each camera; empty without images.
        estimated_objects: Objects whose positions are estimated from images; None if no positions are estimated.
    """

    observation_space: Space
    action_space: spaces.Box
    layout: Layout
    task: str
    robot: str
    control: str
    lacks_instruction: bool
    images: Mapping[str, Shape] = field(default_factory=dict)
    estimated_objects: EstimatedObjects | None = None

    @classmethod
    def of(cls, env: Env, *, find_objects: bool = False) -> Interface:
        """Return the interface of an environment.

        Args:
            env: Environment.
            find_objects: Estimate the positions of objects, if there are images.

        Raises:
            ValueError: It has no named features, its actions are not continuous, or a wrapper changes the features.
        """
        layout = getattr(env.unwrapped, "layout", None)
        parts = parts_of(env.observation_space)
        images: dict[str, Shape] = {}
        for name, part in parts.items():
            if is_image(part):
                height, width, channels = part.shape
                images[name] = (height, width, channels)
        features = parts.keys() - {INSTRUCTION_KEY, *images}
        has_features = len(features) == 1 and features <= ({ROBOT_KEY} if images else {"", STATE_KEY})
        if any(has_channels_first(shape) for shape in images.values()):
            has_features = False
        if not (has_features and isinstance(layout, Layout) and isinstance(env.action_space, spaces.Box)):
            raise ValueError(
                "agent lam needs named features and continuous actions; this environment has observation space "
                f"{env.observation_space} and action space {env.action_space}. Use one of lam_envs with obs='state', "
                "or with obs='pixels', without depth and with the channels of images last"
            )
        (name,) = features
        if parts[name].shape != (layout.size,):
            raise ValueError(
                f"the observations{'/' + name if name else ''} have the shape {parts[name].shape}; expected "
                f"({layout.size},): remove wrappers that change the features"
            )
        task, robot, control = (part_name(env, part) for part in ("task", "robot", "control"))
        lacks = INSTRUCTION_KEY not in parts and task in TASKS and bool(make_task(task).command_high)
        made = cls(env.observation_space, env.action_space, layout, task, robot, control, lacks, images)
        if not (images and find_objects):
            return made
        observed = PixelObservations.of(env)
        observed.env.close()
        return replace(made, layout=observed.state, estimated_objects=EstimatedObjects.of(observed, task))

    @property
    def unknown(self) -> tuple[str, ...]:
        """Features of the layout that are neither observed nor estimated."""
        return () if self.estimated_objects is None else self.estimated_objects.unknown(self.layout)

    def reader(self, schema: Schema) -> EntityReader:
        """Return the layer that reads the entities of the environment."""
        return EntityReader(self.layout, schema, self.unknown)

    @property
    def action_size(self) -> int:
        """Numbers in an action."""
        return int(np.prod(self.action_space.shape))

    @property
    def features_key(self) -> str:
        """Name of the features in an observation that is a dict."""
        return ROBOT_KEY if self.images else STATE_KEY

    @property
    def is_cartesian(self) -> bool:
        """True if actions move the tool along x, y and z."""
        return self.control in CARTESIAN
