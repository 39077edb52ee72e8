"""Short films and thumbnails of recorded episodes, as data that a page holds itself."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio.v2 as imageio
import minari
import numpy as np
from rich.progress import track

from demos.collection.video import Frame, state_frames, write_video
from demos.datasets.episode import STATE, Episode
from demos.datasets.metadata import rate_of
from demos.datasets.reading import episodes_of
from demos.datasets.tree import tree_leaves
from demos.report.positions import own_env

SIZE = 240
"""Width and height of a filmed picture."""
LEAST_HEIGHT, MOST_HEIGHT = 160, 480
"""Recorded pictures are shown at this height; smaller ones are enlarged by a whole number."""
MOST_FRAMES = 64
"""Of longer episodes not every moment is shown."""
THUMBNAILS = 6
DEFAULT_FPS = 20
"""Frames per second of episodes whose rate is unknown."""


@dataclass(frozen=True)
class Thumbnail:
    """One moment.

    Attributes:
        step: Which.
        picture: JPEG as a ``data:`` address.
    """

    step: int
    picture: str


@dataclass(frozen=True)
class Clip:
    """A film of an episode.

    Attributes:
        video: MP4 as a ``data:`` address.
        thumbnails: From the beginning to the end.
        width: Pixels.
        height: Pixels.
    """

    video: str
    thumbnails: tuple[Thumbnail, ...]
    width: int
    height: int


def clips(dataset: minari.MinariDataset, numbers: list[int], *, progress: bool = False) -> list[Clip]:
    """Films episodes: shows the pictures that were recorded, or else sets one recorded state after the other.

    Args:
        dataset: Any dataset of Minari.
        numbers: Places of the episodes in the dataset, from 0.
        progress: Show a bar.

    Raises:
        ValueError: There are neither pictures nor states of an environment of lam_envs.
        RuntimeError: The renderer that the dataset names is not there.
    """
    indices = [int(dataset.episode_indices[number]) for number in numbers]
    episodes = track(episodes_of(dataset, indices), "filming", len(indices), disable=not progress, transient=True)
    rate = rate_of(dataset) or DEFAULT_FPS
    if _pictures(dataset):
        return [_clip(_recorded_frames(dataset, episode), _moments(episode), rate) for episode in episodes]
    with _filming(dataset) as env:
        return [_clip(list(_state_frames(env, episode)), _moments(episode), rate) for episode in episodes]


def _pictures(dataset: minari.MinariDataset) -> list[str]:
    """Names of the parts of observations that are pictures with colors or grey."""
    return [name for name, space in _space_leaves(dataset.observation_space) if _is_picture(space)]


def _space_leaves(space: gym.Space[Any], name: str = "") -> Iterator[tuple[str, gym.Space[Any]]]:
    if isinstance(space, gym.spaces.Dict):
        for key, inner in space.items():
            yield from _space_leaves(inner, f"{name}/{key}" if name else key)
    else:
        yield name, space


def _is_picture(space: gym.Space[Any]) -> bool:
    shape = space.shape or ()
    return space.dtype == np.uint8 and len(shape) == 3 and shape[2] in (1, 3) and min(shape[:2]) >= 16


def _moments(episode: Episode) -> list[int]:
    """Which moments are shown: every so many-th, and the last one."""
    every = -(-(len(episode) + 1) // MOST_FRAMES)
    return sorted({*range(0, len(episode) + 1, every), len(episode)})


def _recorded_frames(dataset: minari.MinariDataset, episode: Episode) -> list[Frame]:
    parts = dict(tree_leaves(episode.observations))
    contents = [np.asarray(parts[name])[_moments(episode)] for name in _pictures(dataset)]
    height = contents[0].shape[1]
    beside = [np.broadcast_to(part, (*part.shape[:3], 3)) for part in contents if part.shape[1] == height]
    frames = np.concatenate(beside, axis=2)
    larger, smaller = max(1, -(-LEAST_HEIGHT // height)), max(1, -(-height // MOST_HEIGHT))
    frames = frames.repeat(larger, axis=1).repeat(larger, axis=2)[:, ::smaller, ::smaller]
    # Encoders want even sizes.
    return list(frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2])


@contextmanager
def _filming(dataset: minari.MinariDataset) -> Iterator[gym.Env[Any, Any]]:
    env = own_env(dataset, obs="state", render_mode="rgb_array", render_width=SIZE, render_height=SIZE)
    try:
        yield env
    finally:
        env.close()


def _state_frames(env: gym.Env[Any, Any], episode: Episode) -> Iterator[Frame]:
    """Show what was recorded, also where other versions or changed actions would give another episode."""
    if STATE not in episode.infos:
        raise ValueError("the episodes hold no states of the simulator")
    yield from state_frames(env, episode.infos[STATE][_moments(episode)])


def _clip(frames: list[Frame], moments: list[int], rate: float) -> Clip:
    height, width, _ = frames[0].shape
    # As fast as it was, whatever is left out.
    shown_fps = rate * len(frames) / (moments[-1] + 1)
    with tempfile.TemporaryDirectory() as folder:
        content = write_video(frames, Path(folder) / "clip.mp4", shown_fps).read_bytes()
    places = sorted(set(np.linspace(0, len(frames) - 1, THUMBNAILS).round().astype(int).tolist()))
    thumbnails = tuple(Thumbnail(moments[place], _jpeg(frames[place])) for place in places)
    return Clip(_data("video/mp4", content), thumbnails, width, height)


def _jpeg(frame: Frame) -> str:
    content = io.BytesIO()
    imageio.imwrite(content, frame, format="jpeg", demonstrator=80)
    return _data("image/jpeg", content.getvalue())


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
