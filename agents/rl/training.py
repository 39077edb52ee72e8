"""What learns from the reward alone, to show what demonstrations are worth; each algorithm is a file of its own."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import gymnasium as gym
import minari
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents.policies.networks import check_layers
from agents.training.policy_agent import PolicyAgent
from agents.training.run import Run
from agents.training.settings import at_least, positive
from agents.training.stable_baselines import horizon_of, train_from_scratch


class ReinforcementAgent(PolicyAgent):
    """An algorithm of Stable-Baselines3 that learns from the reward alone."""

    needs_demonstrations: ClassVar[bool] = False
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
        demonstrations: minari.MinariDataset | None,
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
            self.name,
            env,
            run,
            lambda envs: self.new_model(envs, horizon_of(env), device),
            steps=steps,
            seed=seed,
            environments=self.environments,
        )


def check_off_policy(settings: Any) -> None:
    """Refuses settings that no algorithm with a replay buffer can have.

    Raises:
        ValueError: One is out of range.
    """
    at_least(1, steps=settings.steps, batch_size=settings.batch_size, buffer_size=settings.buffer_size)
    at_least(1, train_freq=settings.train_freq, gradient_steps=settings.gradient_steps)
    at_least(0, learning_starts=settings.learning_starts)
    positive(learning_rate=settings.learning_rate)
    if not 0.0 <= settings.gamma < 1.0:
        raise ValueError(f"gamma is {settings.gamma}; expected at least 0 and below 1")
    check_layers(settings.hidden_sizes)
