"""Golden trainings: losses and some actions of each agent after a few updates."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import gymnasium as gym
import minari
import numpy as np

import agents
import demos
from agents.registry import AGENTS
from agents.training.provenance import agent_versions
from agents.training.run import Run
from demos.collection.versions import demonstration_versions
from demos.datasets.tree import tree_map
from tests.golden.case import Case

EPISODES = 5
SMALL: dict[str, Any] = {"hidden_sizes": (32,), "batch_size": 32}
OFF_POLICY: dict[str, Any] = {**SMALL, "steps": 160, "learning_starts": 40}
ADVERSARIAL: dict[str, Any] = {"hidden_sizes": (32,), "warm_start_epochs": 2, "steps_per_iteration": 320}


@dataclass(frozen=True)
class Training:
    """A short training of an agent.

    Attributes:
        agent: Its name.
        env_id: Where it is trained.
        settings: That differ from the agent's own.
        budget: In the agent's unit; None for the setting.
    """

    agent: str
    env_id: str
    settings: dict[str, Any]
    budget: int | None = None


TOKENS: dict[str, Any] = {"width": 16, "batch_size": 32}

TRAININGS: dict[str, Training] = {
    "bc": Training("bc", "LamReach-v0", SMALL, 3),
    "bc, mirrored and masked": Training("bc", "LamPush-v0", {"hidden_sizes": (32,), "ensemble_size": 2}, 1),
    "bco": Training("bco", "LamReach-v0", {**SMALL, "exploration_steps": 200, "inverse_epochs": 10}, 3),
    "bc-rnn": Training("bc-rnn", "LamReach-v0", {**TOKENS, "hidden_size": 32}, 2),
    "bc-rnn, discrete": Training("bc-rnn", "LamReachDiscrete-v0", {**TOKENS, "hidden_size": 32}, 1),
    "act": Training("act", "LamReach-v0", {**TOKENS, "feature_tokens": True}, 2),
    "act, latent and ensembled": Training(
        "act", "LamReachGoal-v0", {**TOKENS, "latent_size": 8, "ensembling": True, "obs_horizon": 2}, 1
    ),
    "diffusion": Training("diffusion", "LamReach-v0", {**TOKENS, "hidden_size": 32, "mirror": True}, 2),
    "diffusion of noise": Training(
        "diffusion", "LamReach-v0", {**TOKENS, "hidden_size": 32, "objective": "noise", "noise_scale": 1.0}, 2
    ),
    "keypoints": Training(
        "keypoints", "LamReachPixels-v0", {**SMALL, "detector_epochs": 1, "uncertainty_epochs": 2}, 2
    ),
    "lam": Training("lam", "LamStack-v0", {**TOKENS, "batches": 4}, 2),
    "dagger": Training("dagger", "LamReach-v0", {**SMALL, "epochs": 2, "updates_per_iteration": 10}),
    "hg-dagger": Training("hg-dagger", "LamReach-v0", {**SMALL, "epochs": 2, "updates_per_iteration": 10}),
    "ensemble-dagger": Training(
        "ensemble-dagger",
        "LamReach-v0",
        {**SMALL, "epochs": 2, "updates_per_iteration": 10, "iterations": 2, "ensemble_size": 2},
    ),
    "gail": Training("gail", "LamReach-v0", ADVERSARIAL, 640),
    "airl": Training("airl", "LamReach-v0", ADVERSARIAL, 640),
    "dqfd": Training("dqfd", "LamReachDiscrete-v0", {**SMALL, "pretraining_steps": 30, "steps": 120}),
    "dqn": Training("dqn", "LamReachDiscrete-v0", OFF_POLICY),
    "ppo": Training("ppo", "LamReach-v0", {**SMALL, "steps_per_iteration": 320, "epochs": 2}, 640),
    "sac": Training("sac", "LamReach-v0", OFF_POLICY),
    "sac, hindsight": Training("sac", "LamReachGoal-v0", OFF_POLICY),
    "sqil": Training("sqil", "LamReachDiscrete-v0", OFF_POLICY),
}


MEANS = ("mean loss", "loss/")
"""Beginnings of the names of metrics that are not recorded: means over the minibatches of an epoch, in total and by
group of demonstrations. The record has the loss of one minibatch, and the norms of all weights."""


class Noted(Run):
    """Run that saves the numbers that it is to show or log, except for means over epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[list[float]] = []

    def log_to_tensorboard(self, done: int, metrics: Mapping[str, float]) -> None:
        """Save the metrics, in the order of their names."""
        recorded = sorted(name for name in metrics if not name.startswith(MEANS))
        if recorded:
            self.numbers.append([float(done), *(float(metrics[name]) for name in recorded)])
        super().log_to_tensorboard(done, metrics)


@cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for datasets that is removed when the process ends."""
    return tempfile.TemporaryDirectory()


@cache
def demonstrations(env_id: str) -> minari.MinariDataset:
    """Collect a few demonstrations, once for all trainings in an environment."""
    return demos.collect(env_id, episodes=EPISODES, seed=3, root=folder().name)


def trained(training: Training) -> dict[str, Any]:
    """Train an agent for a few updates; return what it logged, and its actions on observations of a demonstration."""
    env = gym.make(training.env_id)
    run = Noted()
    try:
        dataset = demonstrations(training.env_id)
        agent = agents.make(training.agent, env, **training.settings)
        agent.learn(dataset, env, seed=5, budget=training.budget, run=run)
        observations = next(dataset.iterate_episodes()).observations
        seen = [tree_map(lambda values, at=at: values[at], observations) for at in range(0, 30, 6)]
        actions = [agent.predict(each, deterministic=True)[0] for each in seen]
    finally:
        env.close()
    return {"logged": run.numbers, "actions": plain(actions), "norms of weights": norms(agent)}


def norms(agent: Any) -> list[float]:
    """Return the norm of each tensor of an agent's first policy."""
    policy = agent.policies[0] if hasattr(agent, "policies") else agent.policy
    return [float(tensor.float().norm()) for tensor in policy.state_dict().values()]


def acting(name: str) -> list[Any]:
    """Return actions of an agent that does not learn."""
    env = gym.make("LamGrasp-v0")
    try:
        agent = agents.make(name, env)
        observation, _ = env.reset(seed=3)
        actions = []
        for _ in range(3):
            action, _ = agent.predict(observation, deterministic=True)
            observation, *_ = env.step(action)
            actions.append(action)
    finally:
        env.close()
    return plain(actions)


def plain(actions: list[Any]) -> list[Any]:
    """Return actions as lists of numbers."""
    return [np.asarray(action).tolist() for action in actions]


def cases() -> Iterator[Case]:
    """Yield the canonical trainings."""
    for name, training in TRAININGS.items():
        versions = {**demonstration_versions(training.env_id), **agent_versions(training.agent, {})}
        yield Case("agents", name, versions, partial(trained, training))
    learning = {training.agent for training in TRAININGS.values()}
    for name in (name for name in AGENTS if name not in learning):
        versions = {**demonstration_versions("LamGrasp-v0"), **agent_versions(name, {})}
        yield Case("agents", name, versions, partial(acting, name))
