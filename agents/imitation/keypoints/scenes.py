"""Scenes of demonstrations: what the recorded states of the simulator tell about objects, to learn to see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from rich.progress import track

from agents.data.demonstrations import DemonstrationData
from agents.data.spaces import is_image, parts_of
from agents.types import Env
from demos.datasets.environment import make_env
from demos.datasets.episode import STATE, Episode
from lam_envs.env import ManipulationEnv
from lam_envs.observation.features import Layout
from lam_envs.observation.instructions import INSTRUCTION_KEY

POSITION, RELATIVE = "/position", "/relative"
"""Ends of the names of features that are positions, and differences between positions."""
TOOL = "tool/position"


@dataclass(frozen=True)
class Senses:
    """What an environment with images shows, and what the same environment would show with ``obs="state"``.

    Attributes:
        cameras: Height and width of the images of each camera, pixels.
        robot: Layout of the features of the robot.
        state: Layout of the features of the state: those of the robot and of the objects.
        objects: Positions that images must tell: names of features of the state, such as ``object/position``.
        env: The environment with ``obs="state"``.
    """

    cameras: Mapping[str, tuple[int, int]]
    robot: Layout
    state: Layout
    objects: tuple[str, ...]
    env: Env

    @classmethod
    def of(cls, env: Env) -> Senses:
        """Return the senses of an environment.

        Raises:
            ValueError: It is not an environment of lam_envs with ``obs="pixels"``, or it gives instructions.
        """
        spec, own = env.spec, env.unwrapped
        parts = parts_of(env.observation_space)
        cameras = {name: (part.shape[0], part.shape[1]) for name, part in parts.items() if is_image(part)}
        if spec is None or not isinstance(own, ManipulationEnv) or not cameras:
            raise ValueError(
                f"agent keypoints learns from images of lam_envs, and {spec.id if spec else env} has none: use an "
                'environment such as LamPushPixels-v0, or obs="pixels"'
            )
        if INSTRUCTION_KEY in parts:
            raise ValueError("agent keypoints reads no instruction: set instruct=false, or use lam or act")
        state_env = gym.make(spec.id, **{**spec.kwargs, "obs": "state"})
        state = cast(ManipulationEnv, state_env.unwrapped).layout
        if TOOL not in own.layout:
            raise ValueError(f"agent keypoints needs the feature {TOOL!r}; {spec.id} has {', '.join(own.layout)}")
        objects = tuple(name for name in state if name.endswith(POSITION) and name not in own.layout)
        return cls(cameras, own.layout, state, objects, state_env)

    @property
    def robot_indices(self) -> list[int]:
        """Indices of the robot's features in a state, in their order in an observation."""
        return self.state.feature_indices(self.robot)

    def indices(self, names: Sequence[str]) -> list[int]:
        """Return the indices of features in a state."""
        return [index for name in names for index in range(self.state.size)[self.state[name].slice]]


@dataclass(frozen=True)
class Scenes:
    """Scenes of N steps of demonstrations.

    Attributes:
        states: What ``obs="state"`` would have shown, without noise, shape (N, features).
        pixels: Column and row of each object's position in the image of each camera, shape (N, cameras, objects, 2);
            NaN outside the image.
        lengths: Number of steps of each episode.
    """

    states: npt.NDArray[np.float32]
    pixels: npt.NDArray[np.float32]
    lengths: tuple[int, ...]


def read_scenes(
    data: DemonstrationData, senses: Senses, idle_steps: int | None = None, *, progress: bool = False
) -> Scenes:
    """Compute the scenes of demonstrations from the states of the simulator that are recorded with them.

    Args:
        data: Demonstrations with images.
        senses: Senses of their environment.
        idle_steps: Leave out steps that are more than this many after success; None for all steps.
        progress: Show a progress bar.

    Raises:
        ValueError: A dataset holds no states, or names no environment of lam_envs with the same features.
    """
    lengths = tuple(each.length if idle_steps is None else each.useful_length(idle_steps) for each in data.episodes)
    states, pixels = [], []
    environments = [_state_env(dataset, senses) for dataset in data.datasets]
    try:
        episodes = zip(data.episodes, lengths, data.iterate_episodes(), strict=True)
        for facts, length, episode in track(episodes, "reading scenes", total=len(lengths), disable=not progress):
            if STATE not in episode.infos:
                raise ValueError(
                    f"episode {facts.index} of dataset {data.datasets[facts.dataset].id} has no states of the "
                    f"simulator (info {STATE!r}), which keypoints learns to see from: collect it with demos collect"
                )
            for state, seen in _scenes(environments[facts.dataset], episode, length, senses):
                states.append(state)
                pixels.append(seen)
    finally:
        for env in environments:
            env.close()
    return Scenes(np.stack(states), np.stack(pixels), lengths)


def _state_env(dataset: Any, senses: Senses) -> ManipulationEnv:
    """Make the environment of a dataset with ``obs="state"``."""
    env = make_env(dataset, obs="state").unwrapped
    if not isinstance(env, ManipulationEnv) or list(env.layout) != list(senses.state):
        raise ValueError(
            f"dataset {dataset.id} has other objects than the environment; expected one with the features "
            f"{', '.join(senses.state)}"
        )
    return env


def _scenes(
    env: ManipulationEnv, episode: Episode, length: int, senses: Senses
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Yield the state and the pixels of the first steps of an episode."""
    for recorded in episode.infos[STATE][:length]:
        env.set_state(recorded)
        features = env.features()
        points = np.stack([features[name] for name in senses.objects])
        pixels = [_projected(env, camera, size, points) for camera, size in senses.cameras.items()]
        values = np.concatenate([features[name] for name in senses.state])
        yield senses.state.encode(values.tolist()), np.stack(pixels)


def _projected(
    env: ManipulationEnv, camera: str, size: tuple[int, int], points: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Return column and row of points in an image, shape (points, 2); NaN outside the image."""
    height, width = size
    matrices = env.camera_matrices(width, height)[camera]
    to_camera = np.linalg.inv(matrices.pose)
    seen = (points @ to_camera[:3, :3].T + to_camera[:3, 3]) @ matrices.intrinsics.T
    depth = seen[:, 2:]
    pixels = seen[:, :2] / np.where(depth > 0.0, depth, np.nan)
    is_inside = np.all((pixels >= 0.0) & (pixels <= (width - 1, height - 1)), axis=1, keepdims=True)
    result: npt.NDArray[np.float32] = np.where(is_inside, pixels, np.nan).astype(np.float32)
    return result
