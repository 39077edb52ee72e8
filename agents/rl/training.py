"""What learns from the reward alone, to show what demonstrations are worth; each algorithm is a file of its own."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import gymnasium as gym
from pydantic import Field
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents.training.policy_agent import PolicyAgent
from agents.training.run import Run
from agents.training.settings import AgentSettings, Count, CountOrZero, Discount, Layers, Positive
from agents.training.stable_baselines import horizon_of, train_from_scratch


class ReinforcementAgent(PolicyAgent):
    """An algorithm of Stable-Baselines3 that learns from the reward alone."""

    environments: ClassVar[int] = 1
    """How many it practises in at once."""

    @abstractmethod
    def new_model(self, envs: VecEnv, horizon: int, device: str) -> BaseAlgorithm:
        """Makes the untrained algorithm.

        Args:
            envs: To practise in.
            horizon: Steps of an episode.
            device: ``auto``, ``cpu`` or ``cuda``.
        """

    def learn(
        self,
        demonstrations: Any,
        env: gym.Env[Any, Any],
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
    ) -> None:
        """Practises in environments like the one that is given.

        Args:
            demonstrations: Not looked at.
            env: Made by ``gym.make``.
            seed: Of weights, exploration and episodes.
            budget: Steps of all environments; by default the setting.
            progress: Show a bar.
            run: Keeps checkpoints and shows the success as it goes; by default nothing is kept.

        Raises:
            ValueError: A budget below 1, a negative seed, or an environment that cannot be made again.
        """
        run = run or Run(progress=progress)
        self.begin(None, env, run, seed=seed, budget=budget)
        steps = self.settings.steps if budget is None else budget
        device = run.device
        self.policy = train_from_scratch(
            self.spec.name,
            env,
            run,
            lambda envs: self.new_model(envs, horizon_of(env), device),
            steps=steps,
            seed=seed,
            environments=self.environments,
        )


class OffPolicySettings(AgentSettings):
    """Settings that algorithms with a replay buffer share."""

    steps: Count = Field(100_000, description="Steps in the environment.")
    learning_rate: Positive = Field(0.0005, description="Learning rate of Adam.")
    batch_size: Count = Field(64, description="Transitions in a minibatch.")
    buffer_size: Count = Field(100_000, description="Transitions in the replay buffer.")
    learning_starts: CountOrZero = Field(1000, description="Steps of random actions before the first update.")
    gamma: Discount = Field(0.97, description="Discount factor; episodes are 40 to 120 steps long.")
    train_freq: Count = Field(1, description="Steps between updates.")
    gradient_steps: Count = Field(1, description="Updates at a time.")
    hidden_sizes: Layers = Field((256, 256), description="Units of the layers.")
