"""Observations of an episode in each observation mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from lam_envs.bullet.cameras import CAMERAS
from lam_envs.bullet.simulation import Renderer
from lam_envs.observation import (
    DEPTH_SUFFIX,
    ROBOT_KEY,
    Array,
    Features,
    Layout,
    Observation,
    goal_space,
    pixels_space,
)
from lam_envs.observation.instructions import INSTRUCTION_KEY, STATE_KEY, encode_instruction, with_instruction
from lam_envs.randomization import sample_noise
from lam_envs.scene.viewer import Viewer
from lam_envs.scene.world import World
from lam_envs.tasks.task import Flags

OBSERVATIONS = ("state", "goal", "pixels")

to_info_flag: Callable[[Flags], object] = bool if gym.__version__.startswith("0.") else np.asarray
"""Convert a success condition to its type in ``info``: a bool array of shape (), or a bool before Gymnasium 1.0.

TorchRL's info reader needs a ``dtype``, which Python's bool lacks. Gymnasium's vector environments store ``np.bool_``
values in an object array, and before 1.0 bool arrays too. The sum of such an array is True instead of a count.
"""


class ImageSettings(NamedTuple):
    """Settings of observed images."""

    cameras: Sequence[str]
    """Names of ``lam_envs.bullet.cameras.CAMERAS``."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    depth: bool
    """True to observe depth, too."""
    renderer: Renderer


class Observer:
    """Observations of a world.

    Args:
        world: World to observe.
        mode: A name of :data:`OBSERVATIONS`.
        images: Settings of images.
        instruct: True to observe the instruction, too.

    Attributes:
        layout: Features of the observed vector.
        space: Observation space.
    """

    def __init__(self, world: World, mode: str, images: ImageSettings, *, instruct: bool) -> None:
        self._world = world
        self._mode = mode
        self._images = images
        self._instruct = instruct
        self._viewer = Viewer(world, "fast", images.renderer)
        full, task = world.layout, world.task
        self.layout = {"state": full, "goal": full.without_goal(), "pixels": Layout(world.control.features)}[mode]
        self._select = list if self.layout is full else itemgetter(*full.feature_indices(self.layout))
        self.space: gym.Space[Any]
        if mode == "goal":
            self.space = goal_space(self.layout, task.goal_low, task.goal_high)
        elif mode == "pixels":
            far = max(CAMERAS[name].far for name in images.cameras) if images.depth else None
            self.space = pixels_space(self.layout, images.cameras, images.width, images.height, far)
        else:
            self.space = self.layout.space
        if instruct:
            self.space = with_instruction(self.space)

    def observe(self) -> Observation:
        """Return the observation of the current scene, an element of :attr:`space`."""
        world = self._world
        vector = self.layout.encode(self._select(world.values), self._noise())
        parts: dict[str, Array]
        if self._mode == "pixels":
            parts = {**self.camera_images(), ROBOT_KEY: vector}
        elif self._mode == "goal":
            goals = {"achieved_goal": world.achieved_goal.copy(), "desired_goal": world.desired_goal.copy()}
            parts = {"observation": vector, **goals}
        elif self._instruct:
            parts = {STATE_KEY: vector}
        else:
            return vector
        if self._instruct:
            parts[INSTRUCTION_KEY] = encode_instruction(world.request.instruction)
        return parts

    def features(self, observation: Observation | None) -> Features:
        """See ``ManipulationEnv.features``."""
        if observation is None or self._mode == "pixels":
            self._world.active_scene()
            return self._world.layout.split(np.array(self._world.exact_values))
        if not isinstance(observation, dict):
            return self.layout.decode(observation)
        for key in (expected := ("observation", "desired_goal") if self._mode == "goal" else (STATE_KEY,)):
            if key not in observation:
                raise ValueError(
                    f"the observation is a dict with the keys {list(observation)}; expected {' and '.join(expected)}"
                )
        if self._mode != "goal":
            return self.layout.decode(observation[STATE_KEY])
        desired, size = np.asarray(observation["desired_goal"]), self._world.desired_goal.size
        if desired.shape != (size,):
            raise ValueError(f"the desired goal of the observation has shape {desired.shape}; expected ({size},)")
        features = self.layout.decode(observation["observation"])
        return {**features, **self._world.task.goal_features(features, observation["desired_goal"])}

    def camera_images(
        self, cameras: Sequence[str] | None = None, width: int | None = None, height: int | None = None
    ) -> dict[str, Array]:
        """See ``ManipulationEnv.camera_images``."""
        self._viewer.update()
        settings = self._images
        size = width or settings.width, height or settings.height
        images = {name: self._viewer.render_camera(name, *size) for name in cameras or settings.cameras}
        parts: dict[str, Array] = {name: image.rgb for name, image in images.items()}
        if settings.depth:
            parts.update({name + DEPTH_SUFFIX: image.depth[..., None] for name, image in images.items()})
        return parts

    def close(self) -> None:
        """Free the client of the images."""
        self._viewer.close()

    def _noise(self) -> npt.NDArray[np.float64] | None:
        """Return the sensor noise of the current step, shape (layout.size,); None without noise."""
        sample = self._world.randomization_sample
        if sample.sensor_noise == 0.0:
            return None
        return sample.sensor_noise * sample_noise(sample, self._world.step_count, self.layout.size)
