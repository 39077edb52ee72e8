"""PPO (Schulman et al. 2017) by Stable-Baselines3: a reference without demonstrations."""

from __future__ import annotations

from dataclasses import dataclass

from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from agents.policies.networks import BoundedPolicy, check_layers, policy_keywords
from agents.rl.training import ReinforcementAgent
from agents.training.settings import at_least, positive
from agents.training.stable_baselines import steps_of_round


@dataclass(frozen=True)
class PPOSettings:
    """Settings of PPO; those of each environment are in ``configs/ppo.yaml``.

    Attributes:
        steps: In all environments together; as many whole rounds as fit.
        round_steps: About how many before an update: whole episodes are taken.
        learning_rate: Of Adam.
        batch_size: Transitions an update.
        epochs: Passes over a round's transitions.
        gamma: Discount of a step.
        gae_lambda: Of the generalised advantage estimate.
        clip_range: Of the ratio of new and old probability.
        entropy_weight: Bonus for random actions.
        log_std: Logarithm of the noise at the start.
        hidden_sizes: Units of the layers.
    """

    steps: int
    round_steps: int
    learning_rate: float
    batch_size: int
    epochs: int
    gamma: float
    gae_lambda: float
    clip_range: float
    entropy_weight: float
    log_std: float
    hidden_sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps, round_steps=self.round_steps, epochs=self.epochs)
        # The advantages of a batch are standardised.
        at_least(2, batch_size=self.batch_size)
        positive(learning_rate=self.learning_rate, clip_range=self.clip_range)
        at_least(0, entropy_weight=self.entropy_weight)
        at_least(-20, log_std=self.log_std)
        for what in ("gamma", "gae_lambda"):
            if not 0.0 <= getattr(self, what) <= 1.0:
                raise ValueError(f"{what} is {getattr(self, what)}; expected 0 to 1")
        check_layers(self.hidden_sizes)


class PPOAgent(ReinforcementAgent):
    """PPO: a policy is brought, in small steps, towards what turned out better than expected; from reward alone.

    **Idea.** Several environments are acted in with noise. A second network says how much reward was to be expected;
    actions that brought more become likelier, others less, but never by much at a time. It sees no demonstration:
    beside the learners it shows what these are worth.

    **Equation.** Maximised is the mean of min(rho A, clip(rho, 1 - c, 1 + c) A), where rho is the ratio of the
    action's probability now and when it was taken, and A its generalised advantage estimate.

    **Paper.** Schulman et al. 2017, Proximal Policy Optimization Algorithms. The algorithm is Stable-Baselines3's.

    **What we do differently.** A round is of whole episodes, which are seeded by their number; the mean action is
    squashed into the action space by tanh; a training that was killed goes on to the same weights.

    **When not to use it.** Where steps are dear, or success is rare under random actions.

    The budget of :meth:`learn` is in steps of all environments together.

    Args:
        env: Gives the spaces.
        settings: Fields of :class:`PPOSettings` that differ from ``configs/ppo.yaml``.

    Raises:
        ValueError: An unknown setting, or a value out of range.
    """

    name = "ppo"
    version = 1
    settings_type = PPOSettings
    environments = 8

    def new_policy(self) -> BasePolicy:
        """Makes an untrained policy."""
        keywords = policy_keywords(self.settings.hidden_sizes)
        return BoundedPolicy(self.observation_space, self.action_space, lambda _: 0.0, **keywords)

    def new_model(self, envs: VecEnv, horizon: int, device: str) -> BaseAlgorithm:
        """Makes the untrained algorithm."""
        settings = self.settings
        return PPO(
            BoundedPolicy,
            envs,
            n_steps=steps_of_round(settings.round_steps, self.environments, horizon),
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
