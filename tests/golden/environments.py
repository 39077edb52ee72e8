"""Golden episodes of environments: each task on each robot, each control, each kind of observation, what varies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from demos.collection.environment_versions import environment_versions
from lam_envs.control import CONTROLS, ToolCommand
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS
from tests.golden.case import Case, digest

STEPS = 25
TARGETS = ("object/position", "handle/position", "goal/position")
"""Features whose position the hand moves to, the first that a task has."""
IMAGE_STEPS = 2


def episode(env_id: str, steps: int, keywords: dict[str, Any]) -> str:
    """Hash an episode of actions, of which seven in ten push and squeeze the object and the others are random."""
    env = gym.make(env_id, **keywords)
    inner: Any = env.unwrapped
    rng = np.random.default_rng(7)
    try:
        observation, info = env.reset(seed=7)
        parts = [observation, bool(info["is_success"])]
        for _ in range(steps):
            features = inner.features()
            target = next((features[name] for name in TARGETS if name in features), None)
            if target is None:
                raise ValueError(
                    f"{env_id} has none of the features {', '.join(TARGETS)}: add to TARGETS the position that the "
                    "hand moves to"
                )
            command = ToolCommand(tuple(target.tolist()), float(rng.choice([0.0, 0.08])))
            action = inner.action_for(command, features)
            if rng.random() >= 0.7:
                action = random_action(env.action_space, rng)
            observation, reward, terminated, truncated, info = env.step(action)
            parts += [action, observation, float(reward), terminated, truncated, bool(info["is_success"])]
    finally:
        env.close()
    return digest(parts)


def random_action(space: gym.Space[Any], rng: np.random.Generator) -> Any:
    """Draw an action from our own generator: versions of Gymnasium may draw differently."""
    if isinstance(space, spaces.Discrete):
        return int(rng.integers(space.n))
    assert isinstance(space, spaces.Box)
    return rng.uniform(space.low, space.high).astype(space.dtype)


def cases() -> Iterator[Case]:
    """Yield the canonical episodes."""

    def case(name: str, env_id: str, steps: int = STEPS, **keywords: Any) -> Case:
        versions = environment_versions(env_id, **keywords)
        return Case("environments", name, versions, partial(episode, env_id, steps, keywords))

    for robot in ROBOTS:
        for task in TASKS:
            yield case(f"{task} on {robot}", env_id(task), robot=robot)
        for control in CONTROLS:
            if control != "ee":
                yield case(f"{control} on {robot}", "LamGrasp-v0", robot=robot, control=control)
        yield case(f"images of {robot}", "LamPush-v0", IMAGE_STEPS, robot=robot, obs="pixels", depth=True)
    yield case("goals and sparse rewards", "LamPickPlaceGoal-v0")
    for randomize in ("physics", "visual", "full"):
        yield case(f"randomize={randomize}", "LamStack-v0", randomize=randomize)
    noisy = {"sensor_noise": (0.01, 0.02), "action_delay": (1, 2)}
    yield case("held-out objects that vary", "LamClutter-v0", objects="held-out", randomize="physics")
    yield case("a table that varies", "LamTable-v0", control="joint", chain=2, randomize="full")
    yield case("sensor noise and delay", "LamInsert-v0", randomize=noisy)
    yield case(
        "a belt, noise and delay", "LamConveyor-v0", control="joint", randomize={"friction": (0.7, 1.3), **noisy}
    )
    yield case(
        "a drawer with instructions", "LamDrawer-v0", control="joint", obs="goal", instruct=True, randomize="physics"
    )
    yield case("images that vary", "LamInsert-v0", IMAGE_STEPS, obs="pixels", randomize="visual")
