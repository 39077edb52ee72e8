"""Draws the README's picture: the expert's grasp, from above the cube to the lift. Run by ``make pictures``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio.v2 as imageio
import numpy as np

import demos

SEED = 3
MOMENTS = (0, 13, 30)
"""Steps of the episode that are shown: the start, the fingers around the cube, the lift."""


def main() -> None:
    """Writes ``docs/grasp.png``."""
    env = gym.make("LamGrasp-v0", render_mode="rgb_array", render_width=400, render_height=400)
    expert = demos.make_expert(env)
    observation, _ = env.reset(seed=SEED)
    frames: list[Any] = []
    for step in range(max(MOMENTS) + 1):
        if step in MOMENTS:
            frames.append(env.render())
        observation, *_ = env.step(expert.predict(observation)[0])
    env.close()
    imageio.imwrite(Path(__file__).with_name("grasp.png"), np.hstack(frames))


if __name__ == "__main__":
    main()
