"""Short videos and thumbnails of recorded episodes, as ``data:`` URLs."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
from demos.runtime.types import Env, Space

SIZE = 240
"""Width and height of a rendered frame, pixels."""
MIN_HEIGHT, MAX_HEIGHT = 160, 480
"""Range of the height of recorded images in a video, pixels; others are scaled by an integer factor."""
MAX_FRAMES = 64
"""Largest number of frames; videos of longer episodes skip steps."""
THUMBNAILS = 6
DEFAULT_FPS = 20
"""Frames per second of episodes whose rate is unknown."""


@dataclass(frozen=True)
class Thumbnail:
    """Image of one step.

    Attributes:
        step: Number of the step.
        image: JPEG as a ``data:`` URL.
    """

    step: int
    image: str


@dataclass(frozen=True)
class Clip:
    """Video of an episode.

    Attributes:
        video: MP4 as a ``data:`` URL.
        thumbnails: Images from the first to the last step.
        width: Width in pixels.
        height: Height in pixels.
    """

    video: str
    thumbnails: tuple[Thumbnail, ...]
    width: int
    height: int


def clips(dataset: minari.MinariDataset, numbers: list[int], *, progress: bool = False) -> list[Clip]:
    """Return videos of episodes, from recorded images or else from recorded states.

    Args:
        dataset: Minari dataset.
        numbers: Indices of the episodes in the dataset, from 0.
        progress: Show a progress bar.

    Raises:
        ValueError: There are neither images nor states of an environment of lam_envs.
        RuntimeError: The renderer of the dataset is not available.
    """
    indices = [int(dataset.episode_indices[number]) for number in numbers]
    episodes = track(episodes_of(dataset, indices), "rendering", len(indices), disable=not progress, transient=True)
    rate = rate_of(dataset) or DEFAULT_FPS
    if _image_keys(dataset):
        return [_clip(_recorded_frames(dataset, episode), _step_indices(episode), rate) for episode in episodes]
    with _rendering_env(dataset) as env:
        return [_clip(list(_state_frames(env, episode)), _step_indices(episode), rate) for episode in episodes]


def _image_keys(dataset: minari.MinariDataset) -> list[str]:
    """Return the paths of the observations that are color or gray images."""
    return [name for name, space in _space_leaves(dataset.observation_space) if _is_image(space)]


def _space_leaves(space: Space, name: str = "") -> Iterator[tuple[str, Space]]:
    if isinstance(space, gym.spaces.Dict):
        for key, inner in space.items():
            yield from _space_leaves(inner, f"{name}/{key}" if name else key)
    else:
        yield name, space


def _is_image(space: Space) -> bool:
    shape = space.shape or ()
    return space.dtype == np.uint8 and len(shape) == 3 and shape[2] in (1, 3) and min(shape[:2]) >= 16


def _step_indices(episode: Episode) -> list[int]:
    """Return the steps to show: at a fixed interval, and the last one."""
    interval = -(-(len(episode) + 1) // MAX_FRAMES)
    return sorted({*range(0, len(episode) + 1, interval), len(episode)})


def _recorded_frames(dataset: minari.MinariDataset, episode: Episode) -> list[Frame]:
    parts = dict(tree_leaves(episode.observations))
    images = [np.asarray(parts[name])[_step_indices(episode)] for name in _image_keys(dataset)]
    height = images[0].shape[1]
    aligned = [np.broadcast_to(part, (*part.shape[:3], 3)) for part in images if part.shape[1] == height]
    frames = np.concatenate(aligned, axis=2)
    enlarge, shrink = max(1, -(-MIN_HEIGHT // height)), max(1, -(-height // MAX_HEIGHT))
    frames = frames.repeat(enlarge, axis=1).repeat(enlarge, axis=2)[:, ::shrink, ::shrink]
    # Encoders need even sizes.
    return list(frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2])


@contextmanager
def _rendering_env(dataset: minari.MinariDataset) -> Iterator[Env]:
    env = own_env(dataset, obs="state", render_mode="rgb_array", render_width=SIZE, render_height=SIZE)
    try:
        yield env
    finally:
        env.close()


def _state_frames(env: Env, episode: Episode) -> Iterator[Frame]:
    """Yield the frames of the recorded states, which do not depend on versions or changed actions."""
    if STATE not in episode.infos:
        raise ValueError("the episodes hold no states of the simulator")
    yield from state_frames(env, episode.infos[STATE][_step_indices(episode)])


def _clip(frames: list[Frame], steps: list[int], rate: float) -> Clip:
    height, width, _ = frames[0].shape
    # Keep the duration although steps are skipped.
    fps = rate * len(frames) / (steps[-1] + 1)
    with tempfile.TemporaryDirectory() as folder:
        content = write_video(frames, Path(folder) / "clip.mp4", fps).read_bytes()
    indices = sorted(set(np.linspace(0, len(frames) - 1, THUMBNAILS).round().astype(int).tolist()))
    thumbnails = tuple(Thumbnail(steps[index], _jpeg(frames[index])) for index in indices)
    return Clip(_data("video/mp4", content), thumbnails, width, height)


def _jpeg(frame: Frame) -> str:
    content = io.BytesIO()
    imageio.imwrite(content, frame, format="jpeg", quality=80)
    return _data("image/jpeg", content.getvalue())


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
