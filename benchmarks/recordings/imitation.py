"""Success of the robot that imitates one recording in scenes of unseen seeds, and of controls that need no person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np

from benchmarks.recordings.accuracy import CONTROLS, record
from benchmarks.recordings.synthetic import VIEWS
from demos.human.events import find_events
from demos.human.motion.hand_motion import HandMotion, make_motion
from demos.human.policy import HumanPolicy, failure_of
from lam_envs.registration import env_id

RECORDING_SEED = 50_000
"""Seed of the one recording, as the front camera sees it."""
FIRST_SCENE = 400_000
"""Seed of the first scene; the adaptation was tuned on others."""
TASKS = ("grasp", "pick_place", "push", "stack", "insert")
ROBOTS = ("panda", "xarm6", "iiwa")
PERSON, STRAIGHT = "person", "straight line"
"""Motion of the person, and straight lines between the ends that the scene gives."""
CONTROL_ROBOT = "panda"
"""Robot of the controls."""
MOTIONS = (PERSON, STRAIGHT, *CONTROLS)


def cells(tasks: Iterable[str] = TASKS, robots: Iterable[str] = ROBOTS) -> list[tuple[str, str, str]]:
    """Return all cells: task, robot and motion."""
    return [
        (task, robot, motion)
        for task in tasks
        for robot in robots
        for motion in MOTIONS
        if motion not in CONTROLS or robot == CONTROL_ROBOT
    ]


def one_recording() -> HandMotion:
    """Return the motion of the one recording, with the events that are found in it."""
    _, track = record("front", RECORDING_SEED)
    return make_motion(track, find_events(track), camera=VIEWS["front"]())


def motion_of(name: str) -> HandMotion:
    """Return a motion of ``MOTIONS``.

    The controls are what :func:`demos.human.motion.hand_motion.make_motion` refuses, brought past its check.
    """
    motion = one_recording()
    rng = np.random.default_rng(RECORDING_SEED)
    if name == "time shuffled":
        return replace(motion, points=motion.points[rng.permutation(len(motion.points))])
    if name == "random walk":
        step = float(np.linalg.norm(np.diff(motion.points, axis=0), axis=1).mean()) / np.sqrt(3)
        walk = np.cumsum(step * rng.standard_normal(motion.points.shape), axis=0)
        return replace(motion, points=motion.points[0] + walk)
    return motion


def imitate(task: str, robot: str, motion: str, first: int, count: int) -> dict[str, Any]:
    """Run a motion on ``count`` seeds from ``first`` on.

    Returns:
        Reasons of failures by seed, the kept deviation of each episode, and its median distance to the person's
        path in mm.
    """
    env = gym.make(env_id(task), robot=robot)
    policy = HumanPolicy(env, motion_of(motion), keep=0.0 if motion == STRAIGHT else None)
    failures: dict[str, str] = {}
    kept: list[float] = []
    distances: list[float] = []
    try:
        for seed in range(first, first + count):
            observation, info = env.reset(seed=seed)
            state, done, along = None, False, []
            while not done:
                action, state = policy.predict(observation, state)
                along.append(state.distance)
                observation, _, terminated, truncated, info = env.step(action)
                done = terminated or truncated
            if state is not None and not info["is_success"]:
                failures[str(seed)] = failure_of(state, info)
            kept.append(round(float(policy.notes()["kept_deviation"]), 3))
            distances.append(round(1000 * float(np.median(along)), 1))
    finally:
        env.close()
    return {"failures": failures, "kept": kept, "distances": distances}
