"""Generative policies over chunks of actions: diffusion (Chi et al. 2023) and flow matching (Lipman et al. 2023)."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import nn

from agents.data.sequences import SequenceBatch
from agents.imitation.sequence.agent import SequenceAgent
from agents.imitation.sequence.settings import Depth, Horizon, SequenceSettings, Width
from agents.policies.encoders.observations import EncoderSettings
from agents.policies.heads.denoising import (
    MAX_STEPS,
    PROCESSES,
    UNIT_LIMITS,
    Denoiser,
    Objective,
    denoising_loss,
)
from agents.policies.sequence_policy import Context, Horizons, SequencePolicy
from agents.spec import AgentSpec
from agents.training.settings import Discount, Fraction
from agents.types import Space


class DiffusionSettings(SequenceSettings):
    """Settings of the generative policy."""

    acting: ClassVar[frozenset[str]] = SequenceSettings.acting | {"denoising_steps", "noise_scale"}

    obs_horizon: Horizon = Field(2, description="Observations that the policy sees.")
    ema_decay: Discount = Field(0.99, description="Decay of the moving average of the weights that acts; 0 for none.")
    objective: Objective = Field(
        "flow", description="Target of the training: the velocity of flow matching, or the noise of diffusion."
    )
    denoising_steps: int = Field(10, ge=1, le=MAX_STEPS, description="Passes of the network that make a chunk.")
    noise_scale: Fraction = Field(
        0.0,
        description="Scale of the noise that a deterministic chunk starts from; 0 starts from the most likely noise.",
    )
    hidden_size: Width = Field(256, description="Units of a layer of the network.")
    layers: Depth = Field(3, description="Residual blocks of the network.")


class DiffusionPolicy(SequencePolicy):
    """Policy that turns noise into a chunk of actions.

    Args:
        observation_space: A Box, or a Dict of such.
        action_space: A Box or Discrete.
        encoder: Settings of the encoder of observations.
        settings: Settings of the network and the sampling.
    """

    def __init__(
        self, observation_space: Space, action_space: Space, encoder: EncoderSettings, settings: DiffusionSettings
    ) -> None:
        horizons = Horizons(settings.obs_horizon, settings.action_horizon, settings.executed_actions)
        super().__init__(observation_space, action_space, encoder, horizons)
        self.process = PROCESSES[settings.objective]
        self.steps, self.noise_scale = settings.denoising_steps, settings.noise_scale
        # Mirrored or rotated actions can leave the range of the demonstrations. With a task frame, the codec already
        # covers all rotations.
        is_augmented = (settings.mirror or settings.rotate) and not self.codec.is_discrete
        self.uses_action_bounds = is_augmented and self.encoder.frame is None
        inputs = settings.obs_horizon * self.encoder.tokens * self.encoder.width
        self.condition = nn.Sequential(nn.SiLU(), nn.Linear(inputs, settings.hidden_size), nn.SiLU())
        self.network = Denoiser(
            settings.action_horizon, self.codec.size, settings.hidden_size, settings.hidden_size, settings.layers
        )
        self.eval()

    def compute_loss(self, batch: SequenceBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the mean squared error of the predicted velocity or noise, at one random time a chunk; shape ()."""
        context, codes = self.encode(batch)
        condition = self.condition(context.tokens.flatten(1))
        noise = torch.randn_like(codes)
        first, last = self.process.times
        time = first + (last - first) * torch.rand(len(codes), device=codes.device)
        loss = denoising_loss(
            self.process,
            lambda noisy, when: self.network(noisy, when, condition),
            codes,
            batch.action_is_pad,
            noise,
            time,
        )
        return loss, {"error": loss}

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape (K, C) of a chunk."""
        return (self.horizons.actions, self.codec.size)

    def draw_noise(self, age: torch.Tensor, *, deterministic: bool) -> torch.Tensor | None:
        """Return random noise, or noise that follows from the age, shape (N, K, C)."""
        if not (deterministic and self.noise_scale):
            return super().draw_noise(age, deterministic=deterministic)
        drawn = [_noise_at(step, self.noise_shape) for step in age.tolist()]
        return self.noise_scale * torch.stack(drawn).to(age.device)

    def predict_chunk(self, context: Context, noise: torch.Tensor | None, *, deterministic: bool) -> torch.Tensor:
        """Return the chunks that noise becomes, shape (N, K, C)."""
        start = cast(torch.Tensor, noise)
        condition = self.condition(context.tokens.flatten(1))
        limits = self.codec.bounds() if self.uses_action_bounds else UNIT_LIMITS
        return self.process.sample(
            lambda noisy, when: self.network(noisy, when, condition), start, self.steps, limits
        )


def _noise_at(step: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the noise of a step, shape (K, C): the same in each episode and for each row of a batch."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(step))


class DiffusionAgent(SequenceAgent):
    """Generative policy: a network turns noise into a chunk of actions, by flow matching or diffusion.

    **Idea.** The same situation has several good continuations: left or right of an obstacle, now or after another
    attempt. A regression learns their mean. A generative policy learns their distribution: it starts from noise, and
    in some steps moves it to one of the continuations. A chunk of actions belongs together, so it is generated as a
    whole.

    **Equation.** With a demonstrated chunk x, noise e and time t: flow matching (`objective: flow`) minimizes the
    mean of (v(x_t, t, o) - (x - e))^2 with x_t = (1 - t) e + t x, and acts by 10 Euler steps along v. Diffusion
    (`objective: noise`) minimizes the mean of (n(x_t, t, o) - e)^2 with x_t = cos(t pi / 2) x + sin(t pi / 2) e, and
    acts by 10 deterministic steps. Actions after the end of an episode do not count.

    **Papers.** Chi et al. 2023, Diffusion Policy: Visuomotor Policy Learning via Action Diffusion. Lipman et al.
    2023, Flow Matching for Generative Modeling. Song et al. 2021, Denoising Diffusion Implicit Models (the steps).

    **Differences.** The network is a residual one over the whole chunk (256 units, 3 blocks) instead of a
    convolutional one: 10 passes take milliseconds on one core. The chunk begins at the present step, not at the first
    observation. The network estimates the chunk itself, from which velocity or noise follow: after the same training
    on five demonstrations, its actions were three times as exact. Time is continuous. Discrete actions are generated
    as one number per action, whose largest counts (Chen et al. 2023, Analog Bits). Deterministic chunks start from
    zero noise (`noise_scale`).

    **When not to use it.** When demonstrations agree: `bc` and `act` learn in less time, and act in less.

    The budget of :meth:`learn` is in epochs.

    Args:
        env: Environment that gives the spaces.
        settings: Settings that differ from the defaults for this environment; see :class:`DiffusionSettings`.

    Raises:
        ValueError: An unknown setting, or a value out of range.
    """

    spec = AgentSpec("diffusion", settings=DiffusionSettings, budget_unit="epochs", takes_run=True)
    policy_class = DiffusionPolicy
