"""How well demonstrations are acted: by an expert, with noise, by a novice, at random, or by somebody else's policy.

What is recorded as the action of a step is its label, what an imitator should learn; what is executed may differ.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from demos.collection.recording import Policy
from demos.collection.strategies import STRATEGIES, Strategy
from demos.experts import make_expert
from demos.runtime.import_paths import imported
from lam_envs import ToolCommand
from lam_envs.control.discrete import DiscreteControl
from lam_envs.observation import Features

NOISE = 0.2
"""Standard deviation of the noise that is injected into continuous actions in [-1, 1]."""
WRONG_CHOICES = 0.1
"""Share of discrete choices that are replaced by one at random."""
NOISE_OF_JOINTS = 0.08
"""The same of actions by joints: there are twice as many, and the tool is far from most of them."""
PACE = (0.5, 0.9)
"""A novice's speed, as a share of the expert's."""
TREMBLE, MEMORY = 0.01, 0.9
"""Size of a novice's wavering, metres, and how much of it stays from step to step."""
STEADY = 0.03
"""So near to where it should go, a novice does not waver, metres."""
DETOUR = ((0.4, -0.2, 0.2), (0.6, 0.2, 0.35))
"""Where a novice goes first, metres."""
DETOUR_STEPS = (3, 9)
"""For how many steps."""
HESITATES, PAUSE = 0.03, (2, 5)
"""Chance that a novice begins to stand still at a step, and for how many steps."""


class Act(NamedTuple):
    """What a demonstrator does in a step."""

    label: Any
    """What is recorded as the action."""
    executed: Any
    """What the environment gets."""


class Demonstrator(ABC):
    """Acts in one episode after another.

    Args:
        env: Where it acts; never stepped by it.
        strategy: How it approaches things.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raise it when the demonstrator acts differently: datasets of it, and results from these, are then outdated."""

    def __init__(self, env: gym.Env[Any, Any], strategy: Strategy = STRATEGIES["direct"]) -> None:
        self.env: Any = env.unwrapped
        self.space = env.action_space
        self.strategy = strategy
        self.rng = np.random.default_rng(0)

    def begin(self, rng: np.random.Generator) -> None:
        """Begin an episode, which depends on the generator alone."""
        self.rng = rng

    @abstractmethod
    def act(self, observation: Any) -> Act:
        """Act on one observation."""


class ExpertDemonstrator(Demonstrator):
    """The scripted expert, as good as it is."""

    name = "expert"
    version = 1

    def __init__(self, env: gym.Env[Any, Any], strategy: Strategy = STRATEGIES["direct"]) -> None:
        super().__init__(env, strategy)
        self.expert = make_expert(env).expert

    def act(self, observation: Any) -> Act:
        """See :class:`Demonstrator`."""
        action = self.best(self.env.features(observation))
        return Act(action, action)

    def best(self, features: Features) -> Any:
        """What the expert does."""
        return self.env.action_for(self.strategy.bend(self.expert.act(features), features), features)


class NoisyDemonstrator(ExpertDemonstrator):
    """The expert, whose executed actions are disturbed and whose recorded ones are not.

    The labels say how to recover from states that an undisturbed expert never visits (DART, Laskey et al. 2017,
    arXiv 1703.09327, with noise of a fixed size).
    """

    name = "noisy"
    version = 1

    def act(self, observation: Any) -> Act:
        """See :class:`Demonstrator`."""
        label = self.best(self.env.features(observation))
        if isinstance(self.space, gym.spaces.Discrete):
            wrong = self.rng.random() < WRONG_CHOICES
            return Act(label, np.int64(self.rng.integers(self.space.n)) if wrong else label)
        scale = NOISE_OF_JOINTS if "joint/position" in self.env.layout else NOISE
        noise = scale * self.rng.standard_normal(label.shape)
        return Act(label, np.clip(label + noise, -1.0, 1.0).astype(label.dtype))


class NoviceDemonstrator(ExpertDemonstrator):
    """Somebody who knows what to do and does it slowly, with a detour, hesitating and wavering."""

    name = "novice"
    version = 1

    def begin(self, rng: np.random.Generator) -> None:
        """See :class:`Demonstrator`."""
        super().begin(rng)
        self._pace = rng.uniform(*PACE)
        x, y, z = rng.uniform(*DETOUR).tolist()
        self._detour = (x, y, z)
        self._detour_left = int(rng.integers(*DETOUR_STEPS, endpoint=True))
        self._pause_left = 0
        self._off = np.zeros(3)

    def act(self, observation: Any) -> Act:
        """See :class:`Demonstrator`."""
        features = self.env.features(observation)
        command = self._clumsy(self.strategy.bend(self.expert.act(features), features), features)
        action = self._slow(self.env.action_for(command, features))
        return Act(action, action)

    def _clumsy(self, command: ToolCommand, features: Features) -> ToolCommand:
        """Where it goes instead of where the expert would."""
        tool = features["tool/position"]
        fresh = np.sqrt(1.0 - MEMORY**2) * TREMBLE * self.rng.standard_normal(3)
        self._off = MEMORY * self._off + fresh
        if self._detour_left > 0:
            self._detour_left -= 1
            return replace(command, position=self._detour, width=features["gripper/target"].item())
        if np.abs(np.subtract(command.position, tool)).max() > STEADY:
            return replace(command, position=_point(command.position + self._off))
        return command

    def _slow(self, action: Any) -> Any:
        """The action at its own pace; the gripper's number, the last one, stays."""
        if self._pause_left == 0 and self.rng.random() < HESITATES:
            self._pause_left = int(self.rng.integers(*PAUSE, endpoint=True))
        pace = self._pace
        if self._pause_left > 0:
            self._pause_left -= 1
            pace = 0.0
        if isinstance(self.space, gym.spaces.Discrete):
            return action if self.rng.random() < pace else np.int64(DiscreteControl.HOLD)
        slowed = action.copy()
        slowed[:-1] *= pace
        return slowed


class RandomDemonstrator(Demonstrator):
    """Anything that the action space allows."""

    name = "random"
    version = 1

    def begin(self, rng: np.random.Generator) -> None:
        """See :class:`Demonstrator`."""
        super().begin(rng)
        self._drawn = copy.deepcopy(self.space)
        self._drawn.seed(int(rng.integers(2**31)))

    def act(self, observation: Any) -> Act:
        """See :class:`Demonstrator`."""
        action = self._drawn.sample()
        return Act(action, action)


class PolicyDemonstrator(Demonstrator):
    """Somebody else's policy.

    Args:
        env: Where it acts.
        policy: Has Stable-Baselines3's ``predict``.
    """

    name = "policy"
    version = 1

    def __init__(self, env: gym.Env[Any, Any], policy: Policy) -> None:
        super().__init__(env)
        self._policy = policy

    def begin(self, rng: np.random.Generator) -> None:
        """See :class:`Demonstrator`."""
        super().begin(rng)
        self._memory: Any = None
        self._starts = True

    def act(self, observation: Any) -> Act:
        """See :class:`Demonstrator`."""
        action, self._memory = self._policy.predict(
            observation, state=self._memory, episode_start=np.array([self._starts]), deterministic=True
        )
        self._starts = False
        if isinstance(self.env.action_space, spaces.Box):
            # What is executed is what can be recorded: a policy may compute with more digits than the space has.
            action = np.asarray(action, dtype=self.env.action_space.dtype)
        return Act(action, action)


def policy_demonstrator(place: str, env: gym.Env[Any, Any]) -> PolicyDemonstrator:
    """Return the demonstrator of a policy that somebody else wrote.

    Args:
        place: ``package.module:Name`` of something with ``predict``, or of what makes it from an environment.
        env: Where it acts.

    Raises:
        ValueError: There is no such thing, or it has no ``predict``.
    """
    found = imported(place, "policy")
    policy = found(env) if isinstance(found, type) or not isinstance(found, Policy) else found
    if not isinstance(policy, Policy):
        raise ValueError(f"{place} makes a {type(policy).__name__} that has no predict(observation, ...)")
    return PolicyDemonstrator(env, policy)


DEMONSTRATORS: dict[str, type[Demonstrator]] = {
    kind.name: kind for kind in (ExpertDemonstrator, NoisyDemonstrator, NoviceDemonstrator, RandomDemonstrator)
}
"""The table of qualities."""
MIXED = "mixed"
MIXTURE = {"expert": 0.4, "noisy": 0.2, "novice": 0.3, "random": 0.1}
"""What share of the episodes of a mixed dataset have which quality."""


def _point(numbers: Any) -> tuple[float, float, float]:
    x, y, z = np.asarray(numbers).tolist()
    return (x, y, z)
