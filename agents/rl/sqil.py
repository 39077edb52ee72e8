"""SQIL (Reddy et al. 2020), by imitation's SQIL on DQN: reward 1 for demonstrated steps and 0 for its own."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from imitation.algorithms import sqil
from imitation.data.types import Transitions
from pydantic import Field
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from stable_baselines3.dqn.policies import DQNPolicy

from agents.data.demonstrations import DemonstrationData, Demonstrations
from agents.policies.encoders.instructions import refuse_instruction
from agents.policies.networks import policy_keywords
from agents.rl.dqn import DQNSettings
from agents.spec import AgentSpec
from agents.training.policy_agent import PolicyAgent, require_discrete
from agents.training.run import Run
from agents.training.stable_baselines.training import train_from_scratch
from agents.types import Env


class SQILSettings(DQNSettings):
    """Settings of SQIL: those of DQN, and its own."""

    standardize: bool = Field(True, description="Standardize observations as in the demonstrations.")


class HalfDemonstratedBuffer(sqil.SQILReplayBuffer):
    """Replay buffer of imitation's SQIL, for every version of Stable-Baselines3.

    imitation 1.0.1 concatenates every field of its samples, and fails at `discounts`. Stable-Baselines3 2.7 added
    this field, and leaves it None for returns of one step.
    """

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """Draw a batch: first half the agent's transitions (rounded down), second half demonstrated ones.

        Args:
            batch_size: Number of transitions in all.
            env: Normalizes observations and rewards; None for no normalization.

        Returns:
            Tensors of shape (batch_size, ...).
        """
        agent_batch = ReplayBuffer.sample(self, batch_size // 2, env)
        demonstrated = self.expert_buffer.sample(batch_size - batch_size // 2, env)
        fields = {name: values for name, values in agent_batch._asdict().items() if values is not None}
        return ReplayBufferSamples(
            **{name: torch.cat((values, getattr(demonstrated, name))) for name, values in fields.items()}
        )


class SQIL(PolicyAgent):
    """SQIL: Q-learning with reward 1 for every demonstrated step, and 0 for every step of its own.

    **Idea.** Half of every minibatch is demonstrated, half is the agent's own. The first half gets reward 1,
    the second 0, whatever the environment's reward is. So the agent learns to act as demonstrated and, since
    Q-learning looks ahead, to return to demonstrated states after it left them. There is no discriminator as in GAIL.

    **Equation.** DQN's loss on minibatches of both, with r = 1 on demonstrated transitions and r = 0 on others.

    **Paper.** Reddy, Dragan, Levine 2020, SQIL: Imitation Learning via Reinforcement Learning with Sparse Rewards,
    algorithm 1. Buffer and rewards are those of imitation's `SQIL`, the algorithm is Stable-Baselines3's DQN; the
    paper uses soft Q-learning.

    **Differences.** An episode that is truncated by its time limit is not treated as terminated, as it is in
    imitation's buffer. Observations are standardized by the demonstrations, episodes are seeded by their number, and
    a killed training resumes and ends with the same weights.

    **When not to use it.** When actions are not discrete, or when the environment's reward is known: `dqfd` uses
    both.

    The budget of :meth:`learn` is in steps of the environment.

    Args:
        env: Environment that gives the spaces; actions are discrete, and observations not a Dict.
        settings: Settings that differ from the defaults for this environment; see
            :class:`SQILSettings`.

    Raises:
        ValueError: An unknown setting, a value out of range, or other spaces.
    """

    spec = AgentSpec("sqil", settings=SQILSettings, needs_environment=True, takes_run=True)

    def new_policy(self) -> BasePolicy:
        """Return an untrained policy."""
        actions = require_discrete(self.spec.name, self.action_space)
        refuse_instruction(self.observation_space)
        if isinstance(self.observation_space, gym.spaces.Dict):
            raise ValueError(
                f"agent {self.spec.name} needs array observations; this environment's observations are a dict of "
                f'{", ".join(self.observation_space)}. Use obs="state"'
            )
        keywords = policy_keywords(self.settings.hidden_sizes)
        return DQNPolicy(self.observation_space, actions, lambda _: 0.0, **keywords)

    def learn(
        self,
        demonstrations: Demonstrations,
        env: Env,
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
    ) -> None:
        """Train in a copy of an environment.

        Args:
            demonstrations: Demonstrations with this agent's spaces; their rewards are not used.
            env: Environment made by ``gym.make``.
            seed: Seeds weights, exploration and episodes.
            budget: Steps; by default the setting.
            progress: Show a progress bar.
            run: Checkpoints, log and periodic evaluation; by default none.

        Raises:
            ValueError: The demonstrations have other spaces, the budget is below 1 or at most ``learning_starts``,
                the seed is negative, or the environment has no spec.
        """
        run = run or Run(progress=progress)
        data = DemonstrationData.of(demonstrations)
        self.begin(data, env, run, seed=seed, budget=budget)
        steps = self.settings.steps if budget is None else budget
        device = run.device
        self.policy = train_from_scratch(
            self.spec.name,
            env,
            run,
            lambda envs: self._new_model(envs, data, device),
            steps=steps,
            seed=seed,
        )

    def _new_model(self, envs: VecEnv, data: DemonstrationData, device: str) -> BaseAlgorithm:
        keywords = self.settings.model_dump(exclude={"steps", "hidden_sizes", "standardize"})
        model: Any = DQN(
            DQNPolicy,
            envs,
            replay_buffer_class=HalfDemonstratedBuffer,
            replay_buffer_kwargs={"demonstrations": _transitions(data)},
            policy_kwargs=policy_keywords(self.settings.hidden_sizes),
            device=device,
            **keywords,
        )
        if self.settings.standardize:
            for network in (model.q_net, model.q_net_target):
                network.features_extractor.fit(data.statistics)
        # A time limit does not end the task. The demonstrations contain terminations only.
        model.replay_buffer.handle_timeout_termination = True
        # imitation puts the demonstrations on a GPU if there is one, whatever the device of the training.
        model.replay_buffer.expert_buffer.device = model.replay_buffer.device
        made: BaseAlgorithm = model
        return made


def _transitions(data: DemonstrationData) -> Transitions:
    """Return demonstrations as imitation takes them."""
    episodes = list(data.iterate_episodes())
    return Transitions(
        obs=np.concatenate([episode.observations[:-1] for episode in episodes]),
        acts=np.concatenate([episode.actions for episode in episodes]),
        infos=np.array([{}] * data.total_steps),
        next_obs=np.concatenate([episode.observations[1:] for episode in episodes]),
        dones=np.concatenate([episode.terminations for episode in episodes]),
    )
