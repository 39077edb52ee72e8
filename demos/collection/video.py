"""Videos: MP4 files of recorded or live episodes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import imageio.v2 as imageio
import minari
import numpy as np
import numpy.typing as npt
from imageio_ffmpeg import count_frames_and_secs
from rich.progress import track

from demos.collection.recording import Policy, replay_steps, rollout
from demos.datasets.environment import make_env
from demos.datasets.episode import STATE, Episode
from demos.datasets.metadata import changes_of, plan_of, rate_of
from demos.datasets.reading import episodes_of
from demos.runtime.types import Array, Env, Keywords
from lam_envs.env import ManipulationEnv
from lam_envs.registration import is_lam_env

DEFAULT_FPS = 20
"""Frames per second of environments that do not specify them."""
Frame = npt.NDArray[np.uint8]


def write_video(frames: Iterable[Frame], path: str | Path, fps: float) -> Path:
    """Write an MP4 file atomically.

    Args:
        frames: Images, uint8, shape (height, width, 3), with even height and width.
        path: File name that ends in ``.mp4``.
        fps: Frames per second.

    Raises:
        ValueError: The path has another suffix.
        OSError: Not every frame was written.
    """
    target = Path(path)
    if target.suffix != ".mp4":
        raise ValueError(f"invalid video file {target}; expected a name that ends in .mp4")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.writing.mp4")
    try:
        writer: Any = imageio.get_writer(temporary, fps=fps, codec="libx264", quality=7, macro_block_size=2)
        written = 0
        with writer:
            for frame in frames:
                writer.append_data(frame)
                written += 1
        # The encoder does not report a full disk.
        complete = count_frames_and_secs(str(temporary))[0] if temporary.stat().st_size else 0
        if complete != written:
            raise OSError(f"only {complete} of {written} frames of {target} were written: is the disk full?")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def policy_frames(env: Env, policy: Policy, seeds: Iterable[int]) -> Iterator[Frame]:
    """Yield the frames of episodes of a policy.

    Args:
        env: Environment made with ``render_mode="rgb_array"``.
        policy: Policy, which acts deterministically.
        seeds: Seed of each episode.
    """
    for seed in seeds:
        for _ in rollout(env, policy, seed):
            yield _frame(env)


def render(
    dataset: minari.MinariDataset,
    path: str | Path,
    *,
    episodes: int = 3,
    size: int = 480,
    camera: str = "overview",
    progress: bool = False,
) -> Path:
    """Write a video of the first episodes of a dataset, at its rate.

    Sets the recorded states, so that the video shows what was recorded, even if preprocessing has changed the
    actions. Only episodes without states are re-executed.

    Args:
        dataset: Minari dataset of a registered environment.
        path: MP4 file to write.
        episodes: Number of episodes.
        size: Width and height in pixels, even; environments outside of lam_envs use their own.
        camera: Name of a camera; environments outside of lam_envs use their own.
        progress: Show a progress bar.

    Returns:
        The path.

    Raises:
        ValueError: The size is not even and positive, there are no episodes, the path is no MP4 file, the dataset has
            no registered environment, or its episodes hold no states and their actions no longer give them.
    """
    if size < 2 or size % 2:
        raise ValueError(f"size is {size}; expected a positive even number of pixels")
    if episodes < 1:
        raise ValueError(f"episodes is {episodes}; expected at least 1")
    ours = is_lam_env(plan_of(dataset)["env_id"])
    # Image observations are not needed and slow.
    render_kwargs: Keywords = {"render_width": size, "render_height": size, "camera": camera, "obs": "state"}
    env = make_env(dataset, render_mode="rgb_array", **(render_kwargs if ours else {}))
    indices = dataset.episode_indices[:episodes]

    def frames() -> Iterator[Frame]:
        recorded = episodes_of(dataset, indices)
        for episode in track(recorded, "rendering", total=len(indices), disable=not progress):
            yield from _recorded_frames(env, dataset, episode)

    try:
        return write_video(frames(), path, fps=rate_of(dataset) or env.metadata.get("render_fps", DEFAULT_FPS))
    finally:
        env.close()


def state_frames(env: Env, states: Iterable[Array]) -> Iterator[Frame]:
    """Yield the image that :meth:`render` draws of each state.

    Args:
        env: Environment of lam_envs, made with ``render_mode="rgb_array"``.
        states: Arrays of its ``physical_state``.
    """
    inner = cast(ManipulationEnv, env.unwrapped)
    for state in states:
        inner.set_state(state)
        yield _frame(inner)


def _recorded_frames(env: Env, dataset: minari.MinariDataset, episode: Episode) -> Iterator[Frame]:
    if STATE in episode.infos and isinstance(env.unwrapped, ManipulationEnv):
        yield from state_frames(env, episode.infos[STATE])
        return
    changed = changes_of(dataset)
    if changed or episode.seed is None:
        reason = f"were changed by {', '.join(changed)}" if changed else "have no seed"
        raise ValueError(
            f"the episodes of {dataset.id} hold no states and {reason}; expected states or unchanged actions"
        )
    for _ in replay_steps(env, episode.executed_actions, episode.seed, episode.options):
        yield _frame(env)


def _frame(env: Env) -> Frame:
    return np.asarray(env.render(), dtype=np.uint8)
