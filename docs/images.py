"""Draw each task with each robot, and all tasks for the README. Run by ``make images``."""

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

FOLDER = Path(__file__).with_name("images")
OVERVIEW = FOLDER / "tasks.png"
CONVERSATION = FOLDER / "conversation.webp"
"""Video of a conversation, which ``make conversation`` writes."""
ARCHITECTURE = FOLDER / "large_action_model.svg"
"""Architecture of the agent ``lam``, which ``docs/architecture.py`` draws."""
SIZE = 480
"""Pixels of an edge."""
COLORS = 256
"""Colors of a palette: enough for plain bodies under one light, in a file below 60 kB."""
MOMENT = 0.6
"""Share of the steps to the first success after which the expert is drawn."""
SEEDS = 12
"""Number of episodes from which the one with the most visible objects is drawn."""
VIVID = 90
"""Least difference between the color channels of objects and goals, which have strong colors."""
COLUMNS = 5
"""Images in a row of the overview."""
OVERVIEW_SIZE = 320

Pixels = npt.NDArray[np.uint8]
"""RGB image, shape (height, width, 3)."""


def path(task: str, robot: str) -> Path:
    """Return the file of the image of a task with a robot."""
    return FOLDER / f"{task}_{robot}.png"


def draw(task: str, robot: str) -> Pixels:
    """Draw the expert before its success, in the episode where objects and goals are hidden least.

    Raises:
        RuntimeError: The expert does not succeed with any of the seeds.
    """
    env = gym.make(env_id(task), robot=robot, render_mode="rgb_array", render_width=SIZE, render_height=SIZE)
    expert = demos.make_expert(env)
    images: list[Pixels] = []
    for seed in range(SEEDS):
        steps = _steps(env, expert, seed, None)
        if steps is not None:
            _steps(env, expert, seed, round(MOMENT * steps))
            images.append(np.asarray(env.render(), dtype=np.uint8))
    env.close()
    if not images:
        raise RuntimeError(f"the expert of {task} has no success with {robot} on seeds 0 to {SEEDS - 1}")
    return max(images, key=lambda image: int((np.ptp(image.astype(int), axis=2) > VIVID).sum()))


def _steps(env: gym.Env[Any, Any], expert: Any, seed: int, stop: int | None) -> int | None:
    """Run an episode up to a step, or up to success; return the steps to success, None without success."""
    observation, _ = env.reset(seed=seed)
    step, over = 0, False
    while not over and step != stop:
        observation, _, terminated, truncated, info = env.step(expert.predict(observation)[0])
        step, over = step + 1, terminated or truncated
        if stop is None and info["is_success"]:
            return step
    return None


def overview(images: dict[tuple[str, str], Pixels]) -> Pixels:
    """Return one image of all tasks side by side, each with the next robot."""
    robots = list(ROBOTS)
    tiles = [images[task, robots[number % len(robots)]] for number, task in enumerate(TASKS)]
    size = (OVERVIEW_SIZE, OVERVIEW_SIZE)
    small = [np.asarray(Image.fromarray(tile).resize(size, Image.Resampling.LANCZOS)) for tile in tiles]
    columns = min(COLUMNS, len(small))
    while len(small) % columns:
        small.append(np.full_like(small[0], 255))
    rows = [np.hstack(small[start : start + columns]) for start in range(0, len(small), columns)]
    return np.vstack(rows)


def save(pixels: Pixels, file: Path) -> None:
    """Write a small PNG."""
    # Maximum coverage includes the colors of small objects; the default, median cut, drops them.
    image = Image.fromarray(pixels).quantize(COLORS, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    image.save(file, optimize=True)


def main() -> None:
    """Draw all images again, and remove those of tasks and robots that no longer exist."""
    FOLDER.mkdir(exist_ok=True)
    images = {(task, robot): draw(task, robot) for task in TASKS for robot in ROBOTS}
    for old in FOLDER.glob("*.png"):
        old.unlink()
    for (task, robot), pixels in images.items():
        save(pixels, path(task, robot))
    save(overview(images), OVERVIEW)


if __name__ == "__main__":
    main()
