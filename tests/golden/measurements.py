"""Golden measurements: the evaluation of an agent, and each condition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

import agents
from agents.evaluation import evaluation
from benchmarks.suite.conditions import Condition, NoisyActions, OtherInstruction, PushedArm
from demos.collection.environment_versions import environment_versions
from tests.golden.case import Case, digest

ENV_ID = "LamReach-v0"
CONDITIONS = {
    "action noise": (Condition(action_noise=0.2), {"action noise": NoisyActions.version}),
    "shoves": (Condition(pushes=2), {"shoves": PushedArm.version}),
}


def disturbed(condition: Condition) -> str:
    """Hash an episode of one repeated action under a condition."""
    env = condition.make(ENV_ID)
    try:
        observation, _ = env.reset(seed=5)
        parts = [observation]
        for _ in range(30):
            observation, reward, *_ = env.step(np.array([0.3, -0.2, 0.1, 1.0], dtype=np.float32))
            parts += [observation, float(reward)]
    finally:
        env.close()
    return digest(parts)


def evaluated() -> list[dict[str, Any]]:
    """Return what is measured of the expert in two episodes."""
    env = evaluation.make_env("LamGrasp-v0")
    try:
        result = evaluation.evaluate(agents.make("expert", env), env, seeds=(1000, 1001))
    finally:
        env.close()
    # Grasp has no successive commands to count.
    return [{name: value for name, value in asdict(each).items() if name != "completed"} for each in result.episodes]


def other_instructions() -> list[str]:
    """Return the instructions that another command than the judged one has."""
    env = Condition(other_instruction=True).make("LamTable-v0")
    try:
        return [env.reset(seed=seed)[1]["instruction"].tobytes().rstrip(b"\0").decode() for seed in range(5)]
    finally:
        env.close()


def cases() -> Iterator[Case]:
    """Yield the canonical measurements."""
    for name, (condition, versions) in CONDITIONS.items():
        yield Case("measurements", name, {**environment_versions(ENV_ID), **versions}, partial(disturbed, condition))
    versions = {**environment_versions("LamTable-v0"), "other instruction": OtherInstruction.version}
    yield Case("measurements", "other instruction", versions, other_instructions)
    versions = {**environment_versions("LamGrasp-v0"), "expert grasp": 1, "evaluation": evaluation.VERSION}
    yield Case("measurements", "evaluation", versions, evaluated)
