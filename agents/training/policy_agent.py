"""What agents that are one policy of Stable-Baselines3 share: spaces, settings, acting, saving and loading."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import gymnasium as gym
import minari
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy

from agents.policies.networks import set_weights, weights_of
from agents.saving.storage import check_target, read_weights, save_agent, spaces_of
from agents.training.provenance import training_of
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import at_least, check_seed, read_settings

Self = TypeVar("Self", bound="PolicyAgent")


class PolicyAgent(ABC):
    """An agent that acts by one policy.

    Args:
        env: Gives the spaces.
        settings: Fields of the agent's ``Settings`` that differ from its file in ``configs``.

    Raises:
        ValueError: An unknown setting, a value out of range, or spaces that the agent cannot act in.

    Attributes:
        policy: Of Stable-Baselines3.
        training: What it learned from, and how; None before.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    """Raise it when the same training gives another agent: results of it are then outdated."""
    settings_type: ClassVar[type[Any]]
    check_target = staticmethod(check_target)
    """Says before the training whether its result could be saved."""

    def __init__(self, env: gym.Env[Any, Any], **settings: Any) -> None:
        self.observation_space = env.observation_space
        self.action_space = env.action_space
        self.settings: Any = read_settings(self.name, self.settings_type, settings, env)
        self.training: dict[str, Any] | None = None
        with isolated_rng(0):
            self.policy: BasePolicy = self.new_policy()
        self.policy.set_training_mode(False)

    @abstractmethod
    def new_policy(self) -> BasePolicy:
        """Makes an untrained policy."""

    def begin(
        self,
        demonstrations: minari.MinariDataset | None,
        env: gym.Env[Any, Any],
        run: Run,
        *,
        seed: int,
        budget: int | None,
    ) -> None:
        """Notes what a training that now begins is of.

        Raises:
            ValueError: A negative seed, or a budget below 1.
        """
        check_seed(seed)
        if budget is not None:
            at_least(1, budget=budget)
        self.training = run.identity = training_of(
            self.name, asdict(self.settings), env, demonstrations, seed=seed, budget=budget
        )

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[npt.NDArray[Any], Any]:
        """Acts as Stable-Baselines3's ``predict`` does."""
        return self.policy.predict(observation, state, episode_start, deterministic)

    def save(self, directory: str | Path) -> Path:
        """Writes ``agent.json`` and ``weights.safetensors``; returns the folder."""
        spaces = spaces_of(self.observation_space, self.action_space)
        return save_agent(directory, self.name, asdict(self.settings), spaces, weights_of(self.policy), self.training)

    @classmethod
    def load(cls: type[Self], directory: str | Path, env: gym.Env[Any, Any]) -> Self:
        """Reads what :meth:`save` wrote.

        Raises:
            FileNotFoundError: There is no saved agent.
            ValueError: The files are damaged, or the environment has other spaces.
        """
        description, weights = read_weights(directory, cls.name, spaces_of(env.observation_space, env.action_space))
        agent = cls(env, **description["settings"])
        agent.training = description.get("training")
        try:
            set_weights(agent.policy, weights)
        except ValueError as error:
            raise ValueError(f"the weights in {directory} do not fit their description: {error}") from error
        return agent


def require_discrete(name: str, action_space: gym.Space[Any]) -> spaces.Discrete:
    """Returns a space of discrete actions, and refuses any other.

    Raises:
        ValueError: They are not.
    """
    if not isinstance(action_space, spaces.Discrete):
        raise ValueError(
            f"agent {name} chooses among discrete actions; this environment has {action_space}. "
            'Use one such as LamGraspDiscrete-v0, or control="discrete"'
        )
    return action_space
