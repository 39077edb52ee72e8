"""Settings of the adversarial agents."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from agents.training.settings import (
    AgentSettings,
    Count,
    CountOrZero,
    Fraction,
    Layers,
    LogStd,
    NotNegative,
    Positive,
)


class AdversarialSettings(AgentSettings):
    """Settings of the adversarial agents."""

    steps: Count = Field(
        100_000, description="Steps of all environments together, without the warm start; as many iterations as fit."
    )
    steps_per_iteration: Count = Field(
        2048, description="Approximate steps of all environments in an iteration, which consists of whole episodes."
    )
    warm_start: Literal["bc", "bco", "none"] = Field(
        "bc",
        description="Start from a BC policy, or from scratch. With bco, the actions of the demonstrations are "
        "inferred, not read.",
    )
    warm_start_epochs: CountOrZero = Field(0, description="Epochs of the BC policy; 0 for the setting of bc.")
    bc_updates_per_iteration: CountOrZero = Field(
        32, description="Updates of the policy on demonstrations after each iteration, after a warm start."
    )
    critic_iterations: CountOrZero = Field(
        2, description="Iterations after a warm start in which only critic and discriminator learn."
    )
    # Small steps keep what the BC policy can do.
    learning_rate: Positive = Field(
        0.0001, description="Learning rate of PPO and of BC updates after a warm start; it falls to 0 with the steps."
    )
    clip_range: Positive = Field(0.1, description="Clipping of the ratio of probabilities, after a warm start.")
    target_kl: NotNegative = Field(
        0.02,
        description="After a warm start, stop an update early if the KL divergence exceeds 1.5 times this; 0: never.",
    )
    log_std: LogStd = Field(-1.6, description="Logarithm of the standard deviation of actions after a warm start.")
    scratch_learning_rate: Positive = Field(0.0003, description="Learning rate of PPO without a warm start.")
    scratch_clip_range: Positive = Field(0.2, description="Clipping of the ratio without a warm start.")
    scratch_log_std: LogStd = Field(
        -0.5, description="Logarithm of the standard deviation of actions without a warm start."
    )
    batch_size: int = Field(
        64, ge=2, description="Transitions in a minibatch of PPO; its advantages are standardized."
    )
    epochs: Count = Field(10, description="Passes over the transitions of an iteration.")
    gamma: Fraction = Field(0.97, description="Discount factor.")
    gae_lambda: Fraction = Field(0.95, description="Factor of the generalized advantage estimate.")
    entropy_weight: NotNegative = Field(0.0, description="Weight of the entropy bonus.")
    hidden_sizes: Layers = Field((256, 256), description="Units of the layers of policy and critic.")
    discriminator_updates: Count = Field(8, description="Updates of the discriminator in an iteration.")
    discriminator_batch_size: Count = Field(
        512, description="Transitions of the expert in a minibatch of the discriminator, and as many of the policy."
    )
    discriminator_learning_rate: Positive = Field(0.001, description="Learning rate of the discriminator's Adam.")
    reward_hidden_sizes: Layers = Field((32, 32), description="Units of the discriminator's layers.")
    use_actions: bool = Field(
        True,
        description="Let the discriminator use actions; without them it compares visited states (Torabi et al. 2018, "
        "GAIfO), and the policy's noise does not give it away.",
    )
    masked_features: tuple[str, ...] = Field(
        (),
        description="Features that the discriminator does not use: by positions of objects it could distinguish a "
        "few demonstrations without learning what the expert does (Zolna et al. 2020).",
    )


class GAILSettings(AdversarialSettings):
    """Settings of GAIL."""

    later: ClassVar[frozenset[str]] = frozenset({"use_next_observations"})

    use_next_observations: bool = Field(
        False,
        description="Let the discriminator also use the next observation: without actions and with warm_start=bco or "
        "none, GAIL learns from observations alone (GAIfO, Torabi et al. 2019).",
    )
