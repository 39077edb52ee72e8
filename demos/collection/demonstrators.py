"""Demonstrators: expert, noisy expert, novice, random actions, and third-party policies.

The recorded action of a step is its label, which an agent should learn; the executed action may differ.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, NamedTuple, cast

import gymnasium as gym
import numpy as np

from demos.collection.recording import Policy, Step, predicted
from demos.collection.strategies import STRATEGIES, Strategy
from demos.datasets.episode import EXECUTED
from demos.experts import make_expert
from demos.runtime.import_paths import import_object
from demos.runtime.types import Action, Array, Env, Info, Memory, Observation, Space
from lam_envs import ToolCommand
from lam_envs.control.discrete import DiscreteControl
from lam_envs.env import ManipulationEnv
from lam_envs.observation import Features

NOISE = 0.2
"""Standard deviation of the noise on continuous actions in [-1, 1]."""
WRONG_CHOICES = 0.1
"""Fraction of discrete actions that are replaced by random ones."""
JOINT_NOISE = 0.08
"""Standard deviation of the noise on joint actions: their effects on the tool add up."""
SPEED_FRACTION = (0.5, 0.9)
"""Speed of a novice, as a fraction of the expert's."""
TREMOR, TREMOR_CORRELATION = 0.01, 0.9
"""Standard deviation of a novice's tremor, meters, and its correlation from step to step."""
NO_TREMOR_DISTANCE = 0.03
"""Distance from the commanded position below which a novice has no tremor, meters."""
DETOUR = ((0.4, -0.2, 0.2), (0.6, 0.2, 0.35))
"""Range of the position that a novice moves to first, meters."""
DETOUR_STEPS = (3, 9)
"""Range of the number of steps of the detour."""
PAUSE_PROBABILITY, PAUSE_STEPS = 0.03, (2, 5)
"""Probability that a novice pauses at a step, and range of the number of steps of a pause."""


class DemonstratorAction(NamedTuple):
    """Action of a demonstrator in one step."""

    label: Action
    """Action that is recorded."""
    executed: Action
    """Action that the environment executes."""


class Demonstrator(ABC):
    """Policy that demonstrates one episode after another.

    Args:
        env: Environment of the demonstrations; the demonstrator never steps it.
        strategy: Path of the tool toward objects.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Increase it when the actions change: its datasets, and results from these, are then outdated."""

    def __init__(self, env: Env, strategy: Strategy = STRATEGIES["direct"]) -> None:
        self.env = cast(ManipulationEnv, env.unwrapped)
        self.space = env.action_space
        self.strategy = strategy
        self.rng = np.random.default_rng(0)

    def reset(self, rng: np.random.Generator) -> None:
        """Begin an episode, which depends only on the random generator."""
        self.rng = rng

    @abstractmethod
    def act(self, observation: Observation) -> DemonstratorAction:
        """Return the action for one observation."""

    def notes(self) -> Info:
        """Return infos of the last action that the episode records."""
        return {}

    def failure(self, info: Info) -> str:
        """Return the reason why the episode failed; empty if unknown.

        Args:
            info: Last info of the environment.
        """
        return ""


def demonstrate(
    env: Env, demonstrator: Demonstrator, seed: int, notes: Info, *, records_executed: bool = False
) -> Iterator[Step]:
    """Yield the reset and the steps of an episode: labels as actions; executed actions and notes in the infos.

    Args:
        env: Environment with a time limit.
        demonstrator: Demonstrator that acts.
        seed: Seed of the environment, from which the demonstrator's own follows.
        notes: Infos to record at every step.
        records_executed: Record the executed actions, which may differ from the labels.
    """
    demonstrator.reset(np.random.default_rng([seed, 2]))

    def with_notes(info: Info, executed: Action) -> Info:
        own = {EXECUTED: executed} if records_executed else {}
        return {**info, **notes, **demonstrator.notes(), **own}

    observation, info = env.reset(seed=seed)
    step = Step(None, observation, 0.0, False, False, with_notes(info, np.zeros_like(env.action_space.sample())))
    yield step
    while not (step.terminated or step.truncated):
        act = demonstrator.act(step.observation)
        observation, reward, terminated, truncated, info = env.step(act.executed)
        step = Step(act.label, observation, float(reward), terminated, truncated, with_notes(info, act.executed))
        yield step


class ExpertDemonstrator(Demonstrator):
    """Scripted expert."""

    name = "expert"
    version = 1

    def __init__(self, env: Env, strategy: Strategy = STRATEGIES["direct"]) -> None:
        super().__init__(env, strategy)
        self._policy = make_expert(env)
        self.expert = self._policy.expert

    def act(self, observation: Observation) -> DemonstratorAction:
        """See :class:`Demonstrator`."""
        action = self.expert_action(self._policy.features(observation))
        return DemonstratorAction(action, action)

    def expert_action(self, features: Features) -> Action:
        """Return the action of the expert."""
        return self.env.action_for(self.strategy.apply(self.expert.act(features), features), features)


class NoisyDemonstrator(ExpertDemonstrator):
    """Expert with noise on the executed actions; the recorded actions are noise-free.

    The labels teach how to recover from states that the expert never visits without noise (DART, Laskey et al. 2017,
    arXiv 1703.09327, with noise of a fixed size).
    """

    name = "noisy"
    version = 1

    def act(self, observation: Observation) -> DemonstratorAction:
        """See :class:`Demonstrator`."""
        label = self.expert_action(self._policy.features(observation))
        if isinstance(self.space, gym.spaces.Discrete):
            wrong = self.rng.random() < WRONG_CHOICES
            return DemonstratorAction(label, np.int64(self.rng.integers(self.space.n)) if wrong else label)
        scale = JOINT_NOISE if "joint/position" in self.env.layout else NOISE
        noise = scale * self.rng.standard_normal(label.shape)
        return DemonstratorAction(label, np.clip(label + noise, -1.0, 1.0).astype(label.dtype))


class NoviceDemonstrator(ExpertDemonstrator):
    """Expert that is slow and makes a detour, pauses and trembles."""

    name = "novice"
    version = 1

    def reset(self, rng: np.random.Generator) -> None:
        """See :class:`Demonstrator`."""
        super().reset(rng)
        self._speed_fraction = rng.uniform(*SPEED_FRACTION)
        x, y, z = rng.uniform(*DETOUR).tolist()
        self._detour = (x, y, z)
        self._detour_left = int(rng.integers(*DETOUR_STEPS, endpoint=True))
        self._pause_left = 0
        self._tremor = np.zeros(3)

    def act(self, observation: Observation) -> DemonstratorAction:
        """See :class:`Demonstrator`."""
        features = self._policy.features(observation)
        command = self._disturb(self.strategy.apply(self.expert.act(features), features), features)
        action = self._slow(self.env.action_for(command, features))
        return DemonstratorAction(action, action)

    def _disturb(self, command: ToolCommand, features: Features) -> ToolCommand:
        """Return the command of a novice in place of the expert's command."""
        tool = features["tool/position"]
        change = np.sqrt(1.0 - TREMOR_CORRELATION**2) * TREMOR * self.rng.standard_normal(3)
        self._tremor = TREMOR_CORRELATION * self._tremor + change
        if self._detour_left > 0:
            self._detour_left -= 1
            return replace(command, position=self._detour, width=features["gripper/target"].item())
        if np.abs(np.subtract(command.position, tool)).max() > NO_TREMOR_DISTANCE:
            return replace(command, position=_point(command.position + self._tremor))
        return command

    def _slow(self, action: Action) -> Action:
        """Return an action at the pace of the novice; the last number, of the gripper, stays."""
        if self._pause_left == 0 and self.rng.random() < PAUSE_PROBABILITY:
            self._pause_left = int(self.rng.integers(*PAUSE_STEPS, endpoint=True))
        pace = self._speed_fraction
        if self._pause_left > 0:
            self._pause_left -= 1
            pace = 0.0
        if isinstance(self.space, gym.spaces.Discrete):
            return action if self.rng.random() < pace else np.int64(DiscreteControl.HOLD)
        slowed = np.array(action)
        slowed[:-1] *= pace
        return slowed


class RandomDemonstrator(Demonstrator):
    """Random actions of the action space."""

    name = "random"
    version = 1

    def reset(self, rng: np.random.Generator) -> None:
        """See :class:`Demonstrator`."""
        super().reset(rng)
        self._sampler = copy.deepcopy(self.space)
        self._sampler.seed(int(rng.integers(2**31)))

    def act(self, observation: Observation) -> DemonstratorAction:
        """See :class:`Demonstrator`."""
        action = self._sampler.sample()
        return DemonstratorAction(action, action)


class PolicyDemonstrator(Demonstrator):
    """Third-party policy.

    Args:
        env: Environment of the demonstrations.
        policy: Policy with the ``predict`` method of Stable-Baselines3.
    """

    name = "policy"
    version = 1

    def __init__(self, env: Env, policy: Policy) -> None:
        super().__init__(env)
        self._policy = policy

    def reset(self, rng: np.random.Generator) -> None:
        """See :class:`Demonstrator`."""
        super().reset(rng)
        self._state: Memory = None
        self._starts = True

    def act(self, observation: Observation) -> DemonstratorAction:
        """See :class:`Demonstrator`."""
        predicted_action, self._state = predicted(self._policy, observation, self._state, np.array([self._starts]))
        self._starts = False
        action = _in_space(predicted_action, self.space)
        return DemonstratorAction(action, action)


def _in_space(action: object, space: Space) -> Action:
    """Return the action of a policy in the number type of its space.

    Raises:
        ValueError: It is not in the space.
    """
    values = np.asarray(action)
    # Execute what can be recorded: a policy may compute in a more precise type than that of the space.
    if np.can_cast(values.dtype, np.dtype(space.dtype), "same_kind"):
        values = values.astype(space.dtype)
    if not space.contains(values):
        raise ValueError(
            f"the policy returned {action!r}; expected an action in {space}: clip it, or wrap the environment"
        )
    return values[()]


def make_policy(import_path: str, env: Env) -> Policy:
    """Return a third-party policy.

    Args:
        import_path: ``package.module:Name`` of a policy, or of a function of an environment that returns one.
        env: Environment of the policy.

    Raises:
        ValueError: There is no such object, or it has no ``predict``.
    """
    imported = import_object(import_path, "policy")
    policy = imported(env) if isinstance(imported, type) or not isinstance(imported, Policy) else imported
    if not isinstance(policy, Policy):
        raise ValueError(
            f"{import_path} gives a {type(policy).__name__}, which has no predict; expected predict(observation, ...)"
        )
    return policy


def make_policy_demonstrator(import_path: str, env: Env) -> PolicyDemonstrator:
    """Return the demonstrator of a third-party policy; see :func:`make_policy`."""
    return PolicyDemonstrator(env, make_policy(import_path, env))


DEMONSTRATORS: dict[str, type[Demonstrator]] = {
    kind.name: kind for kind in (ExpertDemonstrator, NoisyDemonstrator, NoviceDemonstrator, RandomDemonstrator)
}
"""Demonstrators by name."""
MIXED = "mixed"
MIXTURE = {"expert": 0.4, "noisy": 0.2, "novice": 0.3, "random": 0.1}
"""Probability of each demonstrator in an episode of a mixed dataset."""


def _point(numbers: Array) -> tuple[float, float, float]:
    x, y, z = np.asarray(numbers).tolist()
    return (x, y, z)
