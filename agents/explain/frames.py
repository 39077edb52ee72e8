"""Images of an episode and of steps of demonstrations, as ``data:`` URLs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence

import gymnasium as gym
import numpy as np
from PIL import Image

from agents.data.spaces import has_channels_first, is_image, parts_of
from agents.explain.references import References
from agents.explain.trace import Trace
from agents.types import Array, Env, Keywords, Observation
from demos.collection.video import state_frames
from demos.datasets.episode import STATE
from demos.report.positions import own_env

SIZE = 320
"""Width and height of the images of the episode, pixels."""
SMALL = 160
"""Largest width and height of the images of demonstrations and of cameras, pixels."""
QUALITY = 80
"""Quality of JPEG images."""


def episode_images(env: Env, trace: Trace, steps: Sequence[int]) -> list[str]:
    """Return an image of each step, drawn from the states of the simulator or by the environment itself.

    Args:
        env: Environment of the episode.
        trace: The episode.
        steps: Numbers of the steps.

    Returns:
        ``data:`` URLs; empty if the environment renders no images.
    """
    if trace.states is not None and env.spec is not None:
        drawing: Keywords = {
            "obs": "state", "render_mode": "rgb_array", "render_width": SIZE, "render_height": SIZE,
        }  # fmt: skip
        drawn = gym.make(env.spec.id, **{**env.spec.kwargs, **drawing})
        try:
            return [jpeg(frame, SIZE) for frame in state_frames(drawn, [trace.states[step] for step in steps])]
        finally:
            drawn.close()
    return [jpeg(trace.frames[step], SIZE) for step in steps] if trace.frames else []


def camera_images(env: Env, trace: Trace, steps: Sequence[int]) -> dict[str, list[str]]:
    """Return what each camera of the observations saw when the action of a step was decided on.

    Args:
        env: Environment of the episode.
        trace: The episode.
        steps: Numbers of the steps.
    """
    cameras = [name for name, part in parts_of(env.observation_space).items() if is_image(part)]
    return {
        camera or "image": [jpeg(_image(trace.observations[trace.planned(step)], camera), SMALL) for step in steps]
        for camera in cameras
    }


def demonstration_images(references: References, steps: Iterable[tuple[int, int]]) -> list[str]:
    """Return an image of steps of demonstrations, given as numbers of episode and step.

    Returns:
        ``data:`` URLs in the order of the steps; empty if the dataset has neither states nor images.
    """
    wanted: dict[int, list[int]] = {}
    for episode, step in steps:
        wanted.setdefault(episode, []).append(step)
    space = references.data.observation_space
    cameras = [name for name, part in parts_of(space).items() if is_image(part)]
    images: list[str] = []
    environments: dict[int, Env] = {}
    try:
        for number, recorded in zip(wanted, references.data.iterate_episodes(wanted), strict=True):
            if cameras:
                seen = recorded.observations[cameras[0]] if cameras[0] else recorded.observations
                images += [jpeg(_channels_last(np.asarray(seen[step])), SMALL) for step in wanted[number]]
            elif STATE in recorded.infos:
                source = references.data.episodes[number].dataset
                if source not in environments:
                    environments[source] = own_env(
                        references.data.datasets[source], obs="state", render_mode="rgb_array",
                        render_width=SMALL, render_height=SMALL,
                    )  # fmt: skip
                states = [recorded.infos[STATE][step] for step in wanted[number]]
                images += [jpeg(frame, SMALL) for frame in state_frames(environments[source], states)]
            else:
                return []
    except ValueError:
        # A third party's dataset, whose environment cannot be made here.
        return []
    finally:
        for env in environments.values():
            env.close()
    return images


def _image(observation: Observation, camera: str) -> Array:
    return _channels_last(np.asarray(observation[camera] if camera else observation))


def _channels_last(image: Array) -> Array:
    return np.moveaxis(image, 0, -1) if has_channels_first(image.shape) else image


def jpeg(image: Array, size: int) -> str:
    """Return an image as a ``data:`` URL.

    Args:
        image: uint8, shape (height, width, 1 or 3).
        size: Largest width and height, pixels.
    """
    shown = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image[:, :, :3])
    shown.thumbnail((size, size))
    buffer = io.BytesIO()
    shown.save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
