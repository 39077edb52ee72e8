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
import numpy as np

import lam_envs
from lam_envs.bullet.shapes.hulls import RANDOM_SHAPES
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS
from lam_envs.tasks.clutter.shapes import load_shape

EPISODE = 50
"""Steps between two resets: a million steps have 20,000."""
WARM_UP = 0.1
"""Fraction of a run before the first measurement of memory: then libraries are loaded and caches are full."""
FIRST_OPENINGS = {"openings": 100, "vectors": 20}
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
    "options": [(env_id(task), {"instruct": number % 2 == 0}) for number, task in enumerate(TASKS)],
}
"""Environments that are open at once and take turns."""
CACHED_STEPS = 20_000
"""Steps of a mix from which on most shapes of Clutter are met."""
LOOK_EVERY = {"looked at": 100}
"""Steps between two images."""
STATE_EVERY = 20
"""Episodes between two that are continued from their own state."""
WITH_OPTIONS = ("options",)
"""Mixes whose episodes have reset options, and continue from states of earlier episodes."""
STATES = 4
"""States of each environment that are saved; a new one replaces the oldest."""


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


def sampled_options(env: Any, rng: np.random.Generator) -> dict[str, Any]:
    """Return random options of a reset: command, sentence of any split or of own words, joints, goal, pose."""
    task = env._world.task
    command = env.commands[int(rng.integers(len(env.commands)))]
    sentences = task.instructions_for(command)
    sentence = str(rng.choice([*sentences.train, *sentences.held_out, f"bitte, {rng.integers(10**6)}-mal: öffne 它"]))
    joints = {
        name: [float(rng.uniform(low, high)) for low, high in limits]
        for name, limits in task.articulated_objects.items()
    }
    goal = [max(low, min(0.1, high)) for low, high in zip(task.goal_low, task.goal_high, strict=True)]
    if task.name == "table":
        goal[-1] = 0.0  # the number of commands that follow
    pose = [*rng.uniform((0.4, -0.2, 0.1), (0.6, 0.2, 0.3)).tolist(), 0.0, 0.0, 0.0, 1.0]
    options = {
        "command": command,
        "instruction": sentence,
        "joints": joints,
        "goal": goal,
        "poses": dict.fromkeys(task.movable_objects[:1], pose),
    }
    # A sentence of own words needs the command.
    chosen = [name for name in options if name in ("command", "instruction") or rng.random() < 0.5]
    return {name: options[name] for name in chosen}


def episodes(mix: str, steps: int) -> Iterator[None]:
    """Step several environments in turn, and yield after every episode."""
    if steps > CACHED_STEPS:
        # Each shape of Clutter is read once and kept: that is no growth without end.
        for number in range(RANDOM_SHAPES):
            load_shape(number)
    rng = np.random.default_rng(0)
    states: list[list[Any]] = [[] for _ in MIXES[mix]]
    envs = [gym.make(name, **keywords) for name, keywords in MIXES[mix]]
    for number, env in enumerate(envs):
        env.action_space.seed(number)
    for number in range(steps // EPISODE):
        env = envs[number % len(envs)]
        inner: Any = env.unwrapped
        has_options = mix in WITH_OPTIONS and rng.random() < 0.5
        env.reset(seed=number, options=sampled_options(inner, rng) if has_options else None)
        over = False
        for step in range(EPISODE):
            if mix in WITH_OPTIONS and step == EPISODE // 2:
                exchange_states(inner, states[number % len(envs)], rng)
            if over:
                # The limit of the task is shorter; what a wrapper counts does not matter here.
                inner.step(env.action_space.sample())
            else:
                _, _, terminated, truncated, _ = env.step(env.action_space.sample())
                over = terminated or truncated
            if mix in LOOK_EVERY and step % LOOK_EVERY[mix] == 0:
                env.render()
        if number % STATE_EVERY == 0:
            inner.set_state(inner.get_state())
        yield
    for env in envs:
        env.close()


def exchange_states(env: Any, saved: list[Any], rng: np.random.Generator) -> None:
    """Save the state of an environment, and continue from one of another episode."""
    saved.append(env.get_state() if rng.random() < 0.2 else env.physical_state())
    del saved[:-STATES]
    state = saved[int(rng.integers(len(saved)))]
    env.set_state(state)
    assert env.instruction == env.instruction_of(state)


def vectors(count: int) -> Iterator[None]:
    """Open, use and close vector environments of worker processes, and yield after each."""
    for number in range(count):
        name = lam_envs.ENV_IDS[number * 7 % len(lam_envs.ENV_IDS)]
        keywords: Keywords = {"instruct": number % 2 == 0, **(SMALL if "Pixels" in name else {})}
        envs: Any = gym.make_vec(name, num_envs=3, num_workers=number % 3, **keywords)
        envs.action_space.seed(number)
        envs.reset(seed=number)
        for _ in range(3):
            envs.step(envs.action_space.sample())
        # One in ten is forgotten without being closed.
        if number % 10:
            envs.close()
        del envs
        yield


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


OPENINGS = {"openings": openings, "vectors": vectors}
"""Workloads that open environments."""

if __name__ == "__main__":
    what, amount = sys.argv[1], int(sys.argv[2])
    if what in OPENINGS:
        result = run(OPENINGS[what](amount), amount, FIRST_OPENINGS[what])
    else:
        pieces = amount // EPISODE
        # Each environment of the mix makes its client in its first episode, and if it rebuilds its scene, a second
        # client in the next one.
        result = run(episodes(what, amount), pieces, max(int(pieces * WARM_UP), 1 + 2 * len(MIXES[what])))
    json.dump(result, sys.stdout)
