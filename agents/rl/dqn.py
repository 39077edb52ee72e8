"""DQN (Mnih et al. 2015) by Stable-Baselines3: a baseline without demonstrations, for discrete actions."""

from __future__ import annotations

from pydantic import Field
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.dqn.policies import DQNPolicy

from agents.policies.networks import policy_keywords
from agents.rl.training import OffPolicySettings, ReinforcementAgent
from agents.spec import AgentSpec
from agents.training.policy_agent import require_discrete
from agents.training.settings import Count, Fraction


class DQNSettings(OffPolicySettings):
    """Settings of DQN."""

    target_update_interval: Count = Field(500, description="Steps between copies of the network to its target.")
    exploration_fraction: Fraction = Field(0.3, description="Fraction of the steps in which epsilon falls from 1.")
    exploration_final_eps: Fraction = Field(0.05, description="Final epsilon.")


class DQNAgent(ReinforcementAgent):
    """DQN: a network learns the value of each discrete action, from reward alone.

    **Idea.** Q(s, a) is the discounted reward after action a in state s. The network is fitted to the reward of a
    step plus the value of the best next action, which a slower copy of the network estimates. The agent mostly takes
    the best action, sometimes a random one. DQN uses no demonstrations: it is a baseline that shows what they are
    worth.

    **Equation.** The Huber loss of Q(s, a) - (r + gamma max_a' Q_target(s', a')), over transitions of a replay
    buffer.

    **Paper.** Mnih et al. 2015, Human-level control through deep reinforcement learning. The algorithm is
    Stable-Baselines3's.

    **Differences.** Episodes are seeded by their number, and a killed training resumes and ends with the same
    weights.

    **When not to use it.** When random actions rarely succeed, as in all tasks except reaching, or when actions
    are not discrete.

    The budget of :meth:`learn` is in steps of the environment.

    Args:
        env: Environment that gives the spaces; actions are discrete.
        settings: Settings that differ from the defaults for this environment; see
            :class:`DQNSettings`.

    Raises:
        ValueError: An unknown setting, a value out of range, or actions that are not discrete.
    """

    spec = AgentSpec("dqn", settings=DQNSettings, needs_demonstrations=False, needs_environment=True, takes_run=True)

    def new_policy(self) -> BasePolicy:
        """Return an untrained policy."""
        actions = require_discrete(self.spec.name, self.action_space)
        keywords = policy_keywords(self.settings.hidden_sizes)
        return DQNPolicy(self.observation_space, actions, lambda _: 0.0, **keywords)

    def new_model(self, envs: VecEnv, horizon: int, device: str) -> BaseAlgorithm:
        """Return the untrained algorithm."""
        settings = self.settings
        return DQN(
            DQNPolicy,
            envs,
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            buffer_size=settings.buffer_size,
            learning_starts=settings.learning_starts,
            gamma=settings.gamma,
            train_freq=settings.train_freq,
            gradient_steps=settings.gradient_steps,
            target_update_interval=settings.target_update_interval,
            exploration_fraction=settings.exploration_fraction,
            exploration_final_eps=settings.exploration_final_eps,
            policy_kwargs=policy_keywords(settings.hidden_sizes),
            device=device,
        )
