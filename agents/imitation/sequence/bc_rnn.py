"""Recurrent behavior cloning (Mandlekar et al. 2021): an LSTM with a mixture of Gaussians."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn

from agents.data.sequences import SequenceBatch
from agents.imitation.sequence.agent import SequenceAgent
from agents.imitation.sequence.settings import Depth, Horizon, SequenceSettings, Width
from agents.policies.encoders.observations import EncoderSettings
from agents.policies.heads.categorical import Categorical, CategoricalHead
from agents.policies.heads.chunks import masked_mean
from agents.policies.heads.mixture import Mixture, MixtureHead
from agents.policies.sequence_policy import Context, Horizons, SequencePolicy
from agents.spec import AgentSpec
from agents.training.settings import Positive
from agents.types import Space


class RecurrentSettings(SequenceSettings):
    """Settings of recurrent behavior cloning."""

    obs_horizon: Horizon = Field(10, description="Observations that the LSTM sees.")
    action_horizon: Horizon = Field(1, description="Actions of a chunk.")
    executed_actions: Horizon = Field(1, description="Actions of a chunk that are executed before the next one.")
    hidden_size: Width = Field(256, description="Units of a layer of the LSTM.")
    layers: Depth = Field(1, description="Layers of the LSTM.")
    components: int = Field(5, ge=1, le=100, description="Gaussians of the mixture; 1 for a single Gaussian.")
    min_std: Positive = Field(0.03, description="Smallest standard deviation, where actions range from -1 to 1.")


class RecurrentPolicy(SequencePolicy):
    """LSTM over the last observations with a mixture of Gaussians, or categorical distributions.

    Args:
        observation_space: A Box, or a Dict of such.
        action_space: A Box or Discrete.
        encoder: Settings of the encoder of observations.
        settings: Settings of the LSTM and the head.
    """

    def __init__(
        self, observation_space: Space, action_space: Space, encoder: EncoderSettings, settings: RecurrentSettings
    ) -> None:
        horizons = Horizons(settings.obs_horizon, settings.action_horizon, settings.executed_actions)
        super().__init__(observation_space, action_space, encoder, horizons)
        inputs = self.encoder.tokens * self.encoder.width
        self.lstm = nn.LSTM(inputs, settings.hidden_size, settings.layers, batch_first=True)
        size = settings.action_horizon * self.codec.size
        self.head: MixtureHead | CategoricalHead
        if self.codec.is_discrete:
            self.head = CategoricalHead(settings.hidden_size, self.codec.size, settings.action_horizon)
        else:
            self.head = MixtureHead(settings.hidden_size, size, settings.components, settings.min_std)
        self.eval()

    def distribution(self, context: Context) -> Mixture | Categorical:
        """Return the distribution of the chunk at each observation, batch shape (N, H).

        Row i of a history with p padded observations belongs to observation p + i: histories begin with the first
        observation of the episode, so that the LSTM starts from zero there.
        """
        rows = nn.functional.silu(context.tokens.flatten(2))
        output, _ = self.lstm(_without_padding(rows, context.is_pad))
        distribution: Mixture | Categorical = self.head(output)
        return distribution

    def compute_loss(self, batch: SequenceBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the mean of -log p(chunk | history) over all observations that are no padding; shape ()."""
        context, chunks = self.context(batch), self.codes_at_each_observation(batch)
        # Padding of the chunk at each observation, (N, H, K).
        is_pad = batch.action_is_pad.unfold(1, self.horizons.actions, 1)
        chunks, is_pad = (_without_padding(part, context.is_pad) for part in (chunks, is_pad))
        distribution = self.distribution(context)
        if isinstance(distribution, Mixture):
            flat_is_pad = is_pad[..., None].expand(chunks.shape).flatten(2)
            log_prob = distribution.log_prob(chunks.flatten(2), flat_is_pad)
        else:
            log_prob = distribution.log_prob(chunks, is_pad)
        valid = (~context.is_pad).sum(dim=1, keepdim=True)
        is_beyond = torch.arange(self.horizons.observations, device=valid.device) >= valid
        # Chunks without any action to learn do not count, such as those before an intervention.
        loss = masked_mean(-log_prob, is_beyond | is_pad.all(dim=2))
        return loss, {"negative log-likelihood": loss}

    def predict_chunk(self, context: Context, noise: torch.Tensor | None, *, deterministic: bool) -> torch.Tensor:
        """Return the most likely component's mean, or a drawn chunk, shape (N, K, C)."""
        distribution = self.distribution(context)
        chunks = distribution.mode() if deterministic else distribution.sample()
        last = (~context.is_pad).sum(dim=1) - 1
        chosen = chunks[torch.arange(len(last), device=last.device), last]
        return chosen.reshape(-1, self.horizons.actions, self.codec.size)


def _without_padding(values: torch.Tensor, is_pad: torch.Tensor) -> torch.Tensor:
    """Move padding from the front of histories to their end.

    Args:
        values: Shape (N, H, ...).
        is_pad: Shape (N, H): True for padding, in front.

    Returns:
        Values of the same shape; the last rows of a history with padding repeat its last value.
    """
    count, horizon = is_pad.shape
    index = torch.arange(horizon, device=is_pad.device) + is_pad.sum(dim=1, keepdim=True)
    return values[torch.arange(count, device=is_pad.device)[:, None], index.clamp(max=horizon - 1)]


class RecurrentBC(SequenceAgent):
    """Recurrent behavior cloning: an LSTM over the last observations, with a mixture of Gaussians.

    **Idea.** People, and noisy experts, act by more than what can be seen now: by where they come from and what they
    have just tried. A recurrent network sees the last observations, one after the other. People also solve one
    situation in several ways; the mean of these is none of them. A mixture of Gaussians learns each way apart, and
    the policy acts by the mean of the most likely one.

    **Equation.** h_t = LSTM(o_(t-H+1), ..., o_t); p(a | h) = sum_i w_i(h) N(a; mu_i(h), sigma_i(h)). The loss is the
    mean of -log p(a_t | h_t) over all steps of all windows of H observations. Discrete actions have a categorical
    distribution in place of the mixture.

    **Paper.** Mandlekar et al. 2021, What Matters in Learning from Offline Human Demonstrations for Robot
    Manipulation, BC-RNN with the GMM head. Network of the mixture: Bishop 1994.

    **Differences.** The paper carries the state of the LSTM along, and resets it every 10 steps; here the LSTM sees
    the last 10 observations at every step, as many as in training. The smallest standard deviation is 0.03 of half an
    action's range (paper: 0.0001), as actions of the gripper hardly vary. Optionally the mixture is over a chunk of
    actions (`action_horizon`).

    **When not to use it.** When actions follow from what is seen now, as those of a scripted expert: `bc` then learns
    the same in less time. A policy that sees its own past can copy its last action instead of reacting (de Haan et
    al. 2019, Causal Confusion in Imitation Learning); chunks (`act`) suffer less.

    The budget of :meth:`learn` is in epochs.

    Args:
        env: Environment that gives the spaces.
        settings: Settings that differ from the defaults for this environment; see :class:`RecurrentSettings`.

    Raises:
        ValueError: An unknown setting, or a value out of range.
    """

    spec = AgentSpec("bc-rnn", settings=RecurrentSettings, budget_unit="epochs", takes_run=True)
    past_actions = True
    policy_class = RecurrentPolicy
