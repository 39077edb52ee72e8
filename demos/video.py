"""Films: MP4 files of recorded or live episodes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio.v2 as imageio
import minari
import numpy as np
import numpy.typing as npt
from imageio_ffmpeg import count_frames_and_secs
from rich.progress import track

from demos.dataset import episode_seeds, make_env
from demos.episode import episodes_of
from demos.recording import Acting, replayed, rollout

Frame = npt.NDArray[np.uint8]


def write_video(frames: Iterable[Frame], path: str | Path, fps: int) -> Path:
    """Writes an MP4; an interrupted one leaves no file behind under that name.

    Args:
        frames: uint8, shape (height, width, 3), with even height and width.
        path: Ends in ``.mp4``.
        fps: Frames a second.

    Raises:
        ValueError: The path has another ending.
        OSError: Not every frame was written.
    """
    target = Path(path)
    if target.suffix != ".mp4":
        raise ValueError(f"the video is to be {target}; expected a name that ends in .mp4")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.writing.mp4")
    try:
        writer: Any = imageio.get_writer(temporary, fps=fps, codec="libx264", quality=7, macro_block_size=2)
        written = 0
        with writer:
            for frame in frames:
                writer.append_data(frame)
                written += 1
        # The encoder says nothing of a full disk.
        readable = count_frames_and_secs(str(temporary))[0] if temporary.stat().st_size else 0
        if readable != written:
            raise OSError(f"only {readable} of {written} frames of {target} were written: is the disk full?")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def policy_frames(env: gym.Env[Any, Any], policy: Acting, seeds: Iterable[int]) -> Iterator[Frame]:
    """Yields the frames of a policy's episodes.

    Args:
        env: Made with ``render_mode="rgb_array"``.
        policy: Acts deterministically.
        seeds: One an episode.
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
    """Films the first episodes of a dataset by re-executing them.

    Args:
        dataset: A dataset of :func:`demos.collect`.
        path: The MP4 to write.
        episodes: How many.
        size: Width and height in pixels, even.
        camera: A named camera.
        progress: Show a bar.

    Returns:
        The path.

    Raises:
        ValueError: A size that is not even and positive, no episodes, or a path that is no MP4.
    """
    if size < 2 or size % 2:
        raise ValueError(f"size is {size}; expected an even number of pixels")
    if episodes < 1:
        raise ValueError(f"episodes is {episodes}; expected at least 1")
    env = make_env(dataset, render_mode="rgb_array", render_width=size, render_height=size, camera=camera)
    recorded = list(zip(episode_seeds(dataset), episodes_of(dataset), strict=True))[:episodes]

    def frames() -> Iterator[Frame]:
        for seed, episode in track(recorded, "filming", disable=not progress):
            for _ in replayed(env, episode.executed_actions, seed):
                yield _frame(env)

    try:
        return write_video(frames(), path, fps=env.metadata["render_fps"])
    finally:
        env.close()


def _frame(env: gym.Env[Any, Any]) -> Frame:
    frame: Any = env.render()
    return np.asarray(frame, dtype=np.uint8)
