"""Labels for estimators: positions of objects in space and in images, from the recorded states of the simulator."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import cast

import gymnasium as gym
import minari
import numpy as np
from rich.progress import track

from agents.data.demonstrations import DemonstrationData
from agents.data.spaces import is_image, parts_of
from agents.types import Array, Env
from demos.datasets.environment import make_env
from demos.datasets.episode import STATE, Episode
from lam_envs.bullet.cameras import CameraMatrices
from lam_envs.env import ManipulationEnv
from lam_envs.observation.features import DEPTH_SUFFIX, Layout

POSITION = "/position"
"""End of the names of features that are positions."""
PRESENT = "/present"
"""Suffix of the names of flags that specify whether an object is present."""
TOOL = "tool/position"
ABSENT = 0.5
"""Largest value of the flag of an absent object."""
OFFSET = "tool_length_offset"
"""Keyword of an environment whose tool is longer than the robot knows."""
RENDER_INTERVAL = 2
"""Default number of steps from one rendered step to the next."""
OCCLUSION_QUANTILE, OCCLUSION_MARGIN = 0.02, 0.03
"""An object is occluded where something is in front of its center by more than its own surface is (this quantile of
the distances), plus this distance, meters."""


@dataclass(frozen=True)
class PixelObservations:
    """Features and images that an environment observes, and the features that it would observe with ``obs="state"``.

    Attributes:
        cameras: Height and width of the images of each camera, pixels.
        robot: Layout of the features of the robot.
        state: Layout of the features of the state: those of the robot and of the objects.
        objects: Positions to estimate from images: names of features of the state, such as ``object/position``.
        env: The environment with ``obs="state"``.
    """

    cameras: Mapping[str, tuple[int, int]]
    robot: Layout
    state: Layout
    objects: tuple[str, ...]
    env: Env

    @classmethod
    def of(cls, env: Env) -> PixelObservations:
        """Return the observations of an environment.

        Raises:
            ValueError: It is not an environment of lam_envs with ``obs="pixels"``, or it does not observe the
                position of its tool.
        """
        spec, own = env.spec, env.unwrapped
        parts = parts_of(env.observation_space)
        cameras = {name: (part.shape[0], part.shape[1]) for name, part in parts.items() if is_image(part)}
        if spec is None or not isinstance(own, ManipulationEnv) or not cameras:
            raise ValueError(
                f"positions are estimated from images of lam_envs, and {spec.id if spec else env} has none: use an "
                'environment such as LamPushPixels-v0, or obs="pixels"'
            )
        state_env = gym.make(spec.id, **{**spec.kwargs, "obs": "state"})
        state = cast(ManipulationEnv, state_env.unwrapped).layout
        if TOOL not in own.layout:
            raise ValueError(
                f"{spec.id} does not observe {TOOL!r}, which the estimation of positions needs; it observes "
                f"{', '.join(own.layout)}: use an environment that observes it"
            )
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
        states: Observations with ``obs="state"``, without noise, shape (N, features).
        positions: Positions of the objects, meters, shape (N, objects, 3); NaN for an absent object.
        tool: Position of the tool, meters, shape (N, 3).
        pixels: Column and row of each object's position in the image of each camera, shape (N, cameras, objects, 2);
            NaN where it is absent, occluded or outside the image, and in the steps that are not rendered.
        rendered: Numbers of the steps that were rendered to find occlusions.
        poses: Poses of the cameras in the world, shape (N, cameras, 4, 4); see ``env.unwrapped.camera_matrices``.
        intrinsics: Intrinsics of the cameras, pixels, shape (cameras, 3, 3): their means.
        lengths: Number of steps of each episode.
    """

    states: Array
    positions: Array
    tool: Array
    pixels: Array
    poses: Array
    intrinsics: Array
    rendered: Array
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class _Step:
    """Scene of one step. Pixels have a third number: the distance by which something is in front of the object."""

    states: Array
    positions: Array
    tool: Array
    pixels: Array
    poses: Array
    intrinsics: Array


def read_scenes(
    data: DemonstrationData,
    observed: PixelObservations,
    idle_steps: int | None = None,
    *,
    render_interval: int = RENDER_INTERVAL,
    progress: bool = False,
) -> Scenes:
    """Compute the scenes of demonstrations from the states of the simulator that are recorded with them.

    Args:
        data: Demonstrations with images.
        observed: Observations of their environment.
        idle_steps: Leave out steps that are more than this many after success; None for all steps.
        render_interval: Number of steps from one rendered step to the next; rendered steps show occlusions.
        progress: Show a progress bar.

    Raises:
        ValueError: A dataset holds no states, or names no environment of lam_envs with the same features.
    """
    lengths = tuple(each.length if idle_steps is None else each.useful_length(idle_steps) for each in data.episodes)
    steps: list[_Step] = []
    with ExitStack() as stack:
        environments = [_state_env(dataset, observed, stack) for dataset in data.datasets]
        episodes = zip(data.episodes, lengths, data.iterate_episodes(), strict=True)
        for facts, length, episode in track(episodes, "reading scenes", total=len(lengths), disable=not progress):
            if STATE not in episode.infos:
                raise ValueError(
                    f"episode {facts.index} of dataset {data.datasets[facts.dataset].id} has no states of the "
                    f"simulator (info {STATE!r}), which the estimation of positions learns from: collect it with "
                    "demos collect"
                )
            steps += _scenes(environments[facts.dataset], episode, length, observed, render_interval)
    stacked = {field.name: np.stack([getattr(step, field.name) for step in steps]) for field in fields(_Step)}
    starts = np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)
    rendered = np.flatnonzero((np.arange(len(steps)) - starts) % render_interval == 0)
    return Scenes(
        **{**stacked, "pixels": _visible(stacked["pixels"]), "intrinsics": stacked["intrinsics"].mean(axis=0)},
        rendered=rendered,
        lengths=lengths,
    )


def _visible(pixels: Array) -> Array:
    """Return columns and rows, shape (N, cameras, objects, 2); NaN where something is in front of an object.

    Its own surface is in front of its center, too: at the smallest distances that occur.

    Args:
        pixels: Column, row, and the distance by which something is in front, shape (N, cameras, objects, 3).
    """
    in_front = pixels[..., 2]
    if np.isnan(in_front).all():
        return pixels[..., :2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an object that no image of a camera contains
        own = np.nanquantile(in_front, OCCLUSION_QUANTILE, axis=0)
    return np.where((in_front < own + OCCLUSION_MARGIN)[..., None], pixels[..., :2], np.nan)


def _state_env(dataset: minari.MinariDataset, observed: PixelObservations, stack: ExitStack) -> ManipulationEnv:
    """Make the environment of a dataset with ``obs="state"``, which the stack closes."""
    env = make_env(dataset, obs="state", depth=True)
    stack.callback(env.close)
    own = env.unwrapped
    if not isinstance(own, ManipulationEnv) or dict(own.layout) != dict(observed.state):
        raise ValueError(
            f"dataset {dataset.id} has other objects than the environment; expected one with the features "
            f"{', '.join(observed.state)}"
        )
    if env.spec is not None and env.spec.kwargs.get(OFFSET):
        raise ValueError(
            f"dataset {dataset.id} has {OFFSET}={env.spec.kwargs[OFFSET]}: the robot does not observe where its tool "
            "is. Collect demonstrations without it"
        )
    return own


def _scenes(
    env: ManipulationEnv, episode: Episode, length: int, observed: PixelObservations, render_interval: int
) -> Iterator[_Step]:
    """Yield the scenes of the first steps of an episode."""
    flags = {name: name.removesuffix(POSITION) + PRESENT for name in observed.objects}
    for number, recorded in enumerate(episode.infos[STATE][:length]):
        env.set_state(recorded)
        features = env.features()
        points = np.stack(
            [
                features[name] if float(np.max(features.get(flags[name], 1.0))) > ABSENT else np.full(3, np.nan)
                for name in observed.objects
            ]
        )
        matrices, pixels = [], []
        for camera, (height, width) in observed.cameras.items():
            matrices.append(env.camera_matrices(width, height)[camera])
            if number % render_interval == 0:
                depth = env.camera_images([camera], width, height)[camera + DEPTH_SUFFIX][..., 0]
                pixels.append(_projected(matrices[-1], depth, points))
            else:
                pixels.append(np.full((len(points), 3), np.nan))
        values = np.concatenate([features[name] for name in observed.state])
        yield _Step(
            observed.state.encode(values.tolist()),
            points.astype(np.float32),
            features[TOOL].astype(np.float32),
            np.stack(pixels).astype(np.float32),
            np.stack([each.pose for each in matrices]).astype(np.float32),
            np.stack([each.intrinsics for each in matrices]).astype(np.float32),
        )


def _projected(matrices: CameraMatrices, depth: Array, points: Array) -> Array:
    """Return column and row of points in an image, and how much nearer to the camera is what it shows there.

    Args:
        matrices: Matrices of the camera.
        depth: Depth image, meters, shape (height, width).
        points: Shape (points, 3).

    Returns:
        Shape (points, 3), pixels and meters; NaN outside the image.
    """
    height, width = depth.shape
    to_camera = np.linalg.inv(matrices.pose)
    seen = (points @ to_camera[:3, :3].T + to_camera[:3, 3]) @ matrices.intrinsics.T
    distance = seen[:, 2]
    pixels = seen[:, :2] / np.where(distance > 0.0, distance, np.nan)[:, None]
    is_inside = np.all((pixels >= 0.0) & (pixels <= (width - 1, height - 1)), axis=1)
    column, row = np.where(is_inside[:, None], pixels, 0.0).round().astype(int).T
    found = np.column_stack([pixels, distance - depth[row, column]])
    return np.where(is_inside[:, None], found, np.nan)
