"""PPO (Schulman et al. 2017) by Stable-Baselines3: a baseline without demonstrations."""

from __future__ import annotations

from pydantic import Field
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from agents.policies.networks import BoundedPolicy, policy_keywords
from agents.rl.training import ReinforcementAgent
from agents.spec import AgentSpec
from agents.training.settings import AgentSettings, Count, Fraction, Layers, LogStd, NotNegative, Positive
from agents.training.stable_baselines.training import steps_per_env


class PPOSettings(AgentSettings):
    """Settings of PPO."""

    steps: Count = Field(300_000, description="Steps of all environments together, rounded up to whole rollouts.")
    steps_per_iteration: Count = Field(
        2048, description="Approximate steps of all environments in a rollout, which consists of whole episodes."
    )
    learning_rate: Positive = Field(0.0003, description="Learning rate of Adam.")
    batch_size: int = Field(64, ge=2, description="Transitions in a minibatch; its advantages are standardized.")
    epochs: Count = Field(10, description="Passes over the transitions of a rollout.")
    gamma: Fraction = Field(0.97, description="Discount factor.")
    gae_lambda: Fraction = Field(0.95, description="Factor of the generalized advantage estimate.")
    clip_range: Positive = Field(0.2, description="Clipping of the ratio of new and old probability.")
    entropy_weight: NotNegative = Field(0.0, description="Weight of the entropy bonus.")
    log_std: LogStd = Field(-0.5, description="Logarithm of the initial standard deviation of actions.")
    hidden_sizes: Layers = Field((256, 256), description="Units of the layers.")


class PPOAgent(ReinforcementAgent):
    """PPO: a policy moves in small steps toward actions that were better than expected, from reward alone.

    **Idea.** The policy acts with noise in several environments. A second network estimates the expected reward.
    Actions that brought more become more likely, others less, by a bounded amount in each iteration. PPO uses no
    demonstrations: it is a baseline that shows what they are worth.

    **Equation.** PPO maximizes the mean of min(rho A, clip(rho, 1 - c, 1 + c) A), where rho is the ratio of the
    action's probability now and when it was taken, and A its generalized advantage estimate.

    **Paper.** Schulman et al. 2017, Proximal Policy Optimization Algorithms. The algorithm is Stable-Baselines3's.

    **Differences.** A rollout consists of whole episodes, each seeded by its number; the mean action is squashed
    into the action space by tanh; a killed training resumes and ends with the same weights.

    **When not to use it.** When steps are expensive, or random actions rarely succeed.

    The budget of :meth:`learn` is in steps of all environments together.

    Args:
        env: Environment that gives the spaces.
        settings: Settings that differ from the defaults for this environment; see
            :class:`PPOSettings`.

    Raises:
        ValueError: An unknown setting, or a value out of range.
    """

    spec = AgentSpec("ppo", settings=PPOSettings, needs_demonstrations=False, needs_environment=True, takes_run=True)
    n_envs = 8

    def new_policy(self) -> BasePolicy:
        """Return an untrained policy."""
        keywords = policy_keywords(self.settings.hidden_sizes)
        return BoundedPolicy(self.observation_space, self.action_space, lambda _: 0.0, **keywords)

    def new_model(self, envs: VecEnv, horizon: int, device: str) -> BaseAlgorithm:
        """Return the untrained algorithm."""
        settings = self.settings
        return PPO(
            BoundedPolicy,
            envs,
            n_steps=steps_per_env(settings.steps_per_iteration, self.n_envs, horizon),
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            n_epochs=settings.epochs,
            gamma=settings.gamma,
            gae_lambda=settings.gae_lambda,
            clip_range=settings.clip_range,
            ent_coef=settings.entropy_weight,
            policy_kwargs={**policy_keywords(settings.hidden_sizes), "log_std_init": settings.log_std},
            device=device,
        )
