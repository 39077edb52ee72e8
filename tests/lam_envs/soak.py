"""Script for long runs that measures memory and handles."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path
from typing import Any

import gymnasium as gym

import lam_envs
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS

EPISODE = 50
"""Steps between two resets: a million steps have 20,000."""
WARM_UP = 0.1
"""Fraction of a run before the first measurement of memory: then libraries are loaded and caches are full."""
FIRST_OPENINGS = 100
"""The same for runs that open environments: then every robot was rendered in every mode."""
OTHER_ROBOTS = tuple(robot for robot in ROBOTS if robot != "panda")
SMALL = {"image_width": 32, "image_height": 32}
LOOKED_AT = {"render_mode": "rgb_array", "render_width": 32, "render_height": 32}

Keywords = dict[str, Any]
MIXES: dict[str, list[tuple[str, Keywords]]] = {
    "plain": [(env_id(task), {}) for task in TASKS],
    "controls": [
        (env_id(task), {"control": control, **more})
        for task, control, more in zip(
            TASKS,
            cycle(("ee_yaw", "joint", "discrete", "ee", "joint", "ee_yaw")),
            cycle(({}, {"obs": "goal"}, {}, {"obs": "goal", "reward": "sparse"}, {}, {"terminate_on_success": True})),
            strict=False,
        )
    ],
    "robots": [
        (env_id(task), {"robot": OTHER_ROBOTS[number % len(OTHER_ROBOTS)]}) for number, task in enumerate(TASKS)
    ],
    "randomized": [
        (env_id(task), {"randomize": ("full", "physics", "visual")[number % 3]}) for number, task in enumerate(TASKS)
    ],
    "looked at": [(env_id(task), LOOKED_AT) for task in TASKS],
}
"""Environments that are open at once and take turns."""
LOOK_EVERY = {"looked at": 100}
"""Steps between two images."""
STATE_EVERY = 20
"""Episodes between two that are continued from their own state."""


def measured() -> dict[str, int]:
    """Return the resources of this process: resident bytes, open files, threads, child processes, temporary files."""
    gc.collect()
    # What was freed goes back to the system, so that only what is held counts.
    ctypes.CDLL(None).malloc_trim(0)
    own = Path("/proc/self")
    children = [child for task in (own / "task").iterdir() for child in (task / "children").read_text().split()]
    return {
        "bytes": int((own / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        "files": len(list((own / "fd").iterdir())),
        "threads": len(list((own / "task").iterdir())),
        "children": len(children),
        "temporary": len(list(Path(tempfile.gettempdir()).iterdir())),
    }


def episodes(mix: str, steps: int) -> Iterator[None]:
    """Step several environments in turn, and yield after every episode."""
    envs = [gym.make(name, **keywords) for name, keywords in MIXES[mix]]
    for number, env in enumerate(envs):
        env.action_space.seed(number)
    for number in range(steps // EPISODE):
        env = envs[number % len(envs)]
        inner: Any = env.unwrapped
        env.reset(seed=number)
        over = False
        for step in range(EPISODE):
            if over:
                # The limit of the task is shorter; what a wrapper counts does not matter here.
                inner.step(env.action_space.sample())
            else:
                _, _, terminated, truncated, _ = env.step(env.action_space.sample())
                over = terminated or truncated
            if step % LOOK_EVERY.get(mix, EPISODE + 1) == 0:
                env.render()
        if number % STATE_EVERY == 0:
            inner.set_state(inner.get_state())
        yield
    for env in envs:
        env.close()


def openings(count: int) -> Iterator[None]:
    """Open, use and close environments, and yield after each; a third renders, a third has pixel observations."""
    kinds: list[Keywords] = [{}, LOOKED_AT, {"obs": "pixels", **SMALL}]
    kinds += [{**kind, "randomize": "full"} for kind in kinds]
    every = list(product(lam_envs.ENV_IDS, ROBOTS, kinds))
    for number in range(count):
        # A step that has no common factor with their number visits all of them.
        name, robot, kind = every[number * 89 % len(every)]
        env = gym.make(name, robot=robot, **{**kind, **(SMALL if "Pixels" in name else {})})
        env.action_space.seed(number)
        env.reset(seed=number)
        for _ in range(3):
            env.step(env.action_space.sample())
        if env.render_mode is not None:
            env.render()
        # One in ten is forgotten without being closed.
        if number % 10:
            env.close()
        del env
        yield


def run(work: Iterator[None], count: int, first: int) -> dict[str, list[int]]:
    """Run a workload, and measure ten times after the warm-up.

    Args:
        work: Yields after every piece.
        count: Pieces.
        first: Pieces of the warm-up.

    Returns:
        For each measure its course.
    """
    every = max((count - first) // 10, 1)
    course = []
    for number, _ in enumerate(work, start=1):
        if number >= first and (number - first) % every == 0:
            course.append(measured())
    course.append(measured())
    return {name: [one[name] for one in course] for name in course[0]}


if __name__ == "__main__":
    what, amount = sys.argv[1], int(sys.argv[2])
    if what == "openings":
        result = run(openings(amount), amount, FIRST_OPENINGS)
    else:
        pieces = amount // EPISODE
        # Each environment of the mix makes its client in its first episode.
        result = run(episodes(what, amount), pieces, max(int(pieces * WARM_UP), 1 + len(MIXES[what])))
    json.dump(result, sys.stdout)
