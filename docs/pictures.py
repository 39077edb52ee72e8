"""Draws each task with each robot, and all tasks for the README. Run by ``make pictures``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from PIL import Image

import demos
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS

FOLDER = Path(__file__).with_name("pictures")
OVERVIEW = FOLDER / "tasks.png"
SIZE = 480
"""Pixels of an edge."""
COLORS = 256
"""Enough for plain bodies under one light; keeps a file below 60 kB."""
MOMENT = 0.6
"""When the expert is shown: this share of its steps to the first success."""
SEEDS = 12
"""Of these episodes the one with the most to see is shown."""
VIVID = 90
"""Objects and goals are the things in strong colours: their channels differ by more than this."""
COLUMNS = 3
"""Pictures a row in the overview."""
OVERVIEW_SIZE = 320

Picture = npt.NDArray[np.uint8]


def path(task: str, robot: str) -> Path:
    """Returns where the picture of a task with a robot is."""
    return FOLDER / f"{task}_{robot}.png"


def draw(task: str, robot: str) -> Picture:
    """Draws the expert on its way to success, in the episode where objects and goals are hidden least.

    Raises:
        RuntimeError: The expert does not succeed with any of the seeds.
    """
    env = gym.make(env_id(task), robot=robot, render_mode="rgb_array", render_width=SIZE, render_height=SIZE)
    expert = demos.make_expert(env)
    pictures: list[Picture] = []
    for seed in range(SEEDS):
        steps = _steps(env, expert, seed, None)
        if steps is not None:
            _steps(env, expert, seed, round(MOMENT * steps))
            pictures.append(np.asarray(env.render(), dtype=np.uint8))
    env.close()
    if not pictures:
        raise RuntimeError(f"the expert of {task} has no success with {robot} on seeds 0 to {SEEDS - 1}")
    return max(pictures, key=lambda picture: int((np.ptp(picture.astype(int), axis=2) > VIVID).sum()))


def _steps(env: gym.Env[Any, Any], expert: Any, seed: int, stop: int | None) -> int | None:
    """Plays an episode up to a step, or up to success; returns the steps to success, None without."""
    observation, _ = env.reset(seed=seed)
    step, over = 0, False
    while not over and step != stop:
        observation, _, terminated, truncated, info = env.step(expert.predict(observation)[0])
        step, over = step + 1, terminated or truncated
        if stop is None and info["is_success"]:
            return step
    return None


def overview(pictures: dict[tuple[str, str], Picture]) -> Picture:
    """Puts every task side by side, each with the next robot."""
    robots = list(ROBOTS)
    tiles = [pictures[task, robots[number % len(robots)]] for number, task in enumerate(TASKS)]
    size = (OVERVIEW_SIZE, OVERVIEW_SIZE)
    small = [np.asarray(Image.fromarray(tile).resize(size, Image.Resampling.LANCZOS)) for tile in tiles]
    columns = min(COLUMNS, len(small))
    while len(small) % columns:
        small.append(np.full_like(small[0], 255))
    rows = [np.hstack(small[start : start + columns]) for start in range(0, len(small), columns)]
    return np.vstack(rows)


def save(picture: Picture, file: Path) -> None:
    """Writes a small PNG."""
    # The cover of all colours keeps those of small things, which the usual median forgets.
    image = Image.fromarray(picture).quantize(COLORS, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    image.save(file, optimize=True)


def main() -> None:
    """Draws all of them again, and removes those of tasks and robots that are no more."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.png"):
        old.unlink()
    pictures = {(task, robot): draw(task, robot) for task in TASKS for robot in ROBOTS}
    for (task, robot), picture in pictures.items():
        save(picture, path(task, robot))
    save(overview(pictures), OVERVIEW)


if __name__ == "__main__":
    main()
