"""Live images of a scene, and its state, for the page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import cast

import gymnasium as gym
import numpy as np
from PIL import Image

from demos.datasets.episode import NOTES, STATE, Episode
from demos.runtime.types import Array, Env, Info, JsonObject
from demos.teleop.motion import horizontal_axes
from lam_envs.env import ManipulationEnv

JPEG_QUALITY = 80
THUMBNAIL_SIZE = 120
"""Width and height of a thumbnail, pixels."""
THUMBNAIL_CAMERA = "front"
DECIMALS = 4
"""Decimals of features on the page."""


class View:
    """Images and state of an environment.

    Args:
        env: Environment of lam_envs.
        cameras: Names of the cameras; directions refer to the first.
        size: Width and height of an image, pixels.
    """

    def __init__(self, env: Env, cameras: Sequence[str], size: int) -> None:
        self._env = cast(ManipulationEnv, env.unwrapped)
        self.cameras = tuple(cameras)
        self._size = size

    def images(self) -> list[bytes]:
        """Return a JPEG of each camera."""
        images = self._env.camera_images(self.cameras, self._size, self._size)
        return [jpeg(images[name]) for name in self.cameras]

    def thumbnail(self, episode: Episode) -> bytes:
        """Return a JPEG of the last scene of an episode; the environment then shows that scene."""
        self._env.set_state(episode.infos[STATE][-1])
        return jpeg(self._env.camera_images((THUMBNAIL_CAMERA,), THUMBNAIL_SIZE, THUMBNAIL_SIZE)[THUMBNAIL_CAMERA])

    def restore(self, episode: Episode) -> Info:
        """Show the last scene of an episode; return its info."""
        return self._env.set_state(episode.infos[STATE][-1])[1]

    def scene(self, info: Info) -> JsonObject:
        """Return the state of the scene as JSON, with the directions of the first camera in the world.

        Args:
            info: Last info of the environment.
        """
        features = self._env.features()
        right, away = horizontal_axes(self._env.camera_matrices(1, 1)[self.cameras[0]].pose)
        return {
            "axes": {"right": np.round(right, DECIMALS).tolist(), "away": np.round(away, DECIMALS).tolist()},
            "instruction": self._env.instruction,
            "flags": {name: bool(value) for name, value in info.items() if _is_flag(name, value)},
            "counts": {name: int(value) for name, value in info.items() if _is_count(name, value)},
            "features": {name: np.round(values, DECIMALS).tolist() for name, values in features.items()},
        }


def _is_flag(name: str, value: object) -> bool:
    return name.startswith("is_") and isinstance(value, (bool, np.bool_, np.ndarray)) and np.size(value) == 1


def _is_count(name: str, value: object) -> bool:
    return name not in NOTES and isinstance(value, np.integer)


def jpeg(image: Array) -> bytes:
    """Return an image as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def time_limit(env: Env) -> int:
    """Return the largest number of steps of an episode.

    Raises:
        ValueError: The environment has no time limit.
    """
    limits: list[int] = []
    inner: Env = env
    while isinstance(inner, gym.Wrapper):
        if isinstance(inner, gym.wrappers.TimeLimit):
            limits.append(int(inner._max_episode_steps))
        inner = inner.env
    if not limits:
        raise ValueError(f"{env} has no time limit; register it with max_episode_steps")
    return min(limits)
