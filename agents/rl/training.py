"""Base of the agents that learn from reward alone; each algorithm has a file of its own."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pydantic import Field
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents.training.policy_agent import PolicyAgent
from agents.training.run import Run
from agents.training.settings import AgentSettings, Count, CountOrZero, Discount, Layers, Positive
from agents.training.stable_baselines.training import horizon_of, train_from_scratch
from agents.types import Env


class ReinforcementAgent(PolicyAgent):
    """Agent that an algorithm of Stable-Baselines3 trains from reward alone."""

    n_envs: ClassVar[int] = 1
    """Number of training environments."""

    @abstractmethod
    def new_model(self, envs: VecEnv, horizon: int, device: str) -> BaseAlgorithm:
        """Return the untrained algorithm.

        Args:
            envs: Training environments.
            horizon: Steps of an episode.
            device: ``auto``, ``cpu`` or ``cuda``.
        """

    def learn(
        self,
        demonstrations: object,
        env: Env,
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
    ) -> None:
        """Train in copies of an environment.

        Args:
            demonstrations: Not used.
            env: Environment made by ``gym.make``.
            seed: Seeds weights, exploration and episodes.
            budget: Steps of all environments; by default the setting.
            progress: Show a progress bar.
            run: Checkpoints, log and periodic evaluation; by default none.

        Raises:
            ValueError: A budget below 1, or of at most ``learning_starts`` steps; a negative seed; or an environment
                without a spec.
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
            n_envs=self.n_envs,
        )


class OffPolicySettings(AgentSettings):
    """Settings of algorithms with a replay buffer."""

    steps: Count = Field(100_000, description="Steps in the environment.")
    learning_rate: Positive = Field(0.0005, description="Learning rate of Adam.")
    batch_size: Count = Field(64, description="Transitions in a minibatch.")
    buffer_size: Count = Field(100_000, description="Transitions in the replay buffer.")
    learning_starts: CountOrZero = Field(1000, description="Steps of random actions before the first update.")
    gamma: Discount = Field(0.97, description="Discount factor; episodes are 40 to 200 steps long.")
    train_freq: Count = Field(1, description="Steps between updates.")
    gradient_steps: Count = Field(1, description="Gradient steps after every ``train_freq`` environment steps.")
    hidden_sizes: Layers = Field((256, 256), description="Units of the layers.")
