"""Action chunking with Transformers (Zhao et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from agents.data.sequences import SequenceBatch
from agents.imitation.sequence.agent import SequenceAgent
from agents.imitation.sequence.settings import Depth, SequenceSettings
from agents.policies.encoders.observations import EncoderSettings
from agents.policies.heads.categorical import Categorical
from agents.policies.heads.chunks import absolute_error, cross_entropy, huber_loss
from agents.policies.sequence_policy import Context, Horizons, SequencePolicy
from agents.policies.transformer import DecoderLayer, EncoderLayer
from agents.spec import AgentSpec
from agents.training.settings import Discount, NotNegative
from agents.types import Space

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
LOSSES: dict[str, Loss] = {"l1": absolute_error, "huber": huber_loss}
"""Loss of continuous actions by its name in the settings."""


class ACTSettings(SequenceSettings):
    """Settings of action chunking with Transformers."""

    later: ClassVar[frozenset[str]] = SequenceSettings.later | {"loss"}
    acting: ClassVar[frozenset[str]] = SequenceSettings.acting | {"ensembling", "ensembling_decay"}

    encoder_layers: Depth = Field(2, description="Layers in which observations see each other.")
    decoder_layers: Depth = Field(2, description="Layers in which the actions of a chunk see the observations.")
    heads: int = Field(4, ge=1, le=16, description="Heads of attention, a divisor of the width.")
    dropout: Discount = Field(0.0, description="Share of the numbers that a training leaves out after a layer.")
    latent_size: int = Field(
        0, ge=0, le=256, description="Numbers of the CVAE's latent variable, such as 32; 0 trains without a CVAE."
    )
    kl_weight: NotNegative = Field(10.0, description="Weight of the CVAE's Kullback-Leibler divergence.")
    loss: Literal["l1", "huber"] = Field(
        "l1",
        description="Loss of continuous actions: the absolute error of the paper, or the Huber loss, with which "
        "policies learn from images in fewer epochs.",
    )
    ensembling: bool = Field(
        False,
        description="Temporal ensembling: predict a chunk at each step, and act by the mean of all chunks. "
        "``executed_actions`` has no effect then.",
    )
    ensembling_decay: NotNegative = Field(
        0.01, description="Decay m of the weights exp(-m i) of temporal ensembling; the oldest chunk has i = 0."
    )

    @model_validator(mode="after")
    def _check_layers(self) -> ACTSettings:
        if self.width % self.heads:
            raise ValueError(f"width is {self.width} and heads {self.heads}; expected a width that heads divide")
        return self


class ACTPolicy(SequencePolicy):
    """Transformer that predicts a chunk of actions.

    Args:
        observation_space: A Box, or a Dict of such.
        action_space: A Box or Discrete.
        encoder: Settings of the encoder of observations.
        settings: Settings of the Transformer.
    """

    def __init__(
        self, observation_space: Space, action_space: Space, encoder: EncoderSettings, settings: ACTSettings
    ) -> None:
        decay = settings.ensembling_decay if settings.ensembling else None
        executed = 1 if settings.ensembling else settings.executed_actions
        horizons = Horizons(settings.obs_horizon, settings.action_horizon, executed, decay)
        super().__init__(observation_space, action_space, encoder, horizons)
        width, layer = settings.width, (settings.width, settings.heads, settings.dropout)
        self.positions = nn.Parameter(0.02 * torch.randn(settings.obs_horizon, self.encoder.tokens, width))
        self.queries = nn.Parameter(0.02 * torch.randn(settings.action_horizon, width))
        self.encoder_layers = nn.ModuleList(EncoderLayer(*layer) for _ in range(settings.encoder_layers))
        self.encoder_norm = nn.LayerNorm(width)
        self.decoder_layers = nn.ModuleList(DecoderLayer(*layer) for _ in range(settings.decoder_layers))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, self.codec.size))
        self.kl_weight = settings.kl_weight
        self.error = cross_entropy if self.codec.is_discrete else LOSSES[settings.loss]
        self.latent = LatentEncoder(self.codec.size, settings) if settings.latent_size else None
        self.eval()

    def forward(self, context: Context, latent: torch.Tensor | None = None) -> torch.Tensor:
        """Return predicted chunks, shape (N, K, C); logits for discrete actions.

        Args:
            context: N encoded histories.
            latent: Token of the latent variable, shape (N, W); None without a CVAE.
        """
        tokens = (context.tokens + self.positions).flatten(1, 2)
        is_pad = _by_token(context)
        if latent is not None:
            tokens = torch.cat([latent[:, None], tokens], dim=1)
            is_pad = nn.functional.pad(is_pad, (1, 0))
        # Attention without a mask is faster.
        hidden = is_pad if self.horizons.observations > 1 else None
        for layer in self.encoder_layers:
            tokens = layer(tokens, hidden)
        tokens = self.encoder_norm(tokens)
        queries = self.queries.expand(len(tokens), -1, -1)
        for layer in self.decoder_layers:
            queries = layer(queries, tokens, hidden)
        chunk: torch.Tensor = self.head(queries)
        return chunk

    def compute_loss(self, batch: SequenceBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the mean error of the chunks, plus the weighted divergence of the CVAE; shape ()."""
        context, codes = self.encode(batch)
        latent, divergence = None, torch.zeros((), device=codes.device)
        if self.latent is not None:
            mean, log_variance = self.latent(context, codes, batch.action_is_pad)
            latent = self.latent.token(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
            divergence = kl_divergence(mean, log_variance)
        predicted = self(context, latent)
        loss = self.error(predicted, codes, batch.action_is_pad)
        return loss + self.kl_weight * divergence, {"error": loss, "divergence": divergence}

    @property
    def noise_shape(self) -> tuple[int, ...] | None:
        """Shape (Z,) of the latent variable; None without a CVAE."""
        return None if self.latent is None else (self.latent.size,)

    def predict_chunk(self, context: Context, noise: torch.Tensor | None, *, deterministic: bool) -> torch.Tensor:
        """Return chunks, shape (N, K, C); with a CVAE that of the latent variable 0, or of a drawn one.

        For discrete actions they are probabilities, or the codes of drawn actions.
        """
        latent = None if self.latent is None or noise is None else self.latent.token(noise)
        chunk: torch.Tensor = self(context, latent)
        if not self.codec.is_discrete:
            return chunk
        # Means of several chunks, as in temporal ensembling, are means of probabilities.
        distribution = Categorical(chunk)
        return distribution.mode() if deterministic else distribution.sample()


class LatentEncoder(nn.Module):
    """Encoder of the CVAE: the latent variable of a demonstrated chunk, which is its style. Only training uses it.

    Args:
        action_size: Numbers C of the code of an action.
        settings: Settings of the agent.

    Attributes:
        size: Numbers Z of the latent variable.
    """

    def __init__(self, action_size: int, settings: ACTSettings) -> None:
        super().__init__()
        self.size = settings.latent_size
        width = settings.width
        self.actions = nn.Linear(action_size, width)
        self.positions = nn.Parameter(0.02 * torch.randn(settings.action_horizon, width))
        self.readout = nn.Parameter(0.02 * torch.randn(1, width))
        self.layer = EncoderLayer(width, settings.heads, settings.dropout)
        self.output = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * self.size))
        self.input = nn.Linear(self.size, width)

    def forward(
        self, context: Context, codes: torch.Tensor, is_pad: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log variance of the latent variable, each of shape (N, Z).

        Args:
            context: N encoded histories.
            codes: Codes of the demonstrated actions, shape (N, K, C).
            is_pad: Shape (N, K): True for padding, which is not seen.
        """
        tokens = torch.cat(
            [
                self.readout.expand(len(codes), -1, -1),
                self.actions(codes) + self.positions,
                context.tokens.flatten(1, 2),
            ],
            dim=1,
        )
        hidden = torch.cat([torch.zeros_like(is_pad[:, :1]), is_pad, _by_token(context)], dim=1)
        mean, log_variance = self.output(self.layer(tokens, hidden)[:, 0]).chunk(2, dim=1)
        return mean, log_variance

    def token(self, latent: torch.Tensor) -> torch.Tensor:
        """Return the tokens of latent variables of shape (N, Z): shape (N, W)."""
        token: torch.Tensor = self.input(latent)
        return token


def kl_divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Return the mean divergence of Gaussians from the standard one (Kingma and Welling 2014, appendix B), shape ().

    Args:
        mean: Shape (N, Z).
        log_variance: Shape (N, Z).
    """
    return -0.5 * (1.0 + log_variance - mean.square() - log_variance.exp()).sum(dim=1).mean()


def _by_token(context: Context) -> torch.Tensor:
    """Return the padding of a context's tokens, shape (N, H * P)."""
    return context.is_pad.repeat_interleave(context.tokens.shape[2], dim=1)


class ACT(SequenceAgent):
    """Action chunking with Transformers: a Transformer predicts the next actions, and executes some of them.

    **Idea.** Errors of a cloned policy grow with each decision. A policy that decides on 8 actions at once decides
    less often, and cannot copy its last action instead of acting. The observation becomes tokens: the robot's
    features, each image, the instruction. One query per action of the chunk looks at the tokens and becomes that
    action.

    **Equation.** The loss is the mean of abs(a_(t+k) - f(o_t)_k) over the actions of the chunk, without those after
    the end of the episode; cross entropy for discrete actions. With `latent_size`, f also sees z ~ q(z | a, o), and
    the loss has `kl_weight` times KL(q || N(0, I)); the policy acts with z = 0. With `ensembling`, it predicts a
    chunk at each step, and acts by the mean of all predictions for this step with weights exp(-m i), from the oldest
    on.

    **Paper.** Zhao, Kumar, Levine, Finn 2023, Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware,
    algorithms 1 and 2.

    **Differences.** The Transformer is small (width 128, 2 + 2 layers) and normalizes before each layer; each image
    is one token of a small convolutional network instead of 300 of a pretrained one. CVAE and ensembling are options,
    which the paper needs for people's demonstrations and for 50 Hz. Actions are scaled by their range, not by their
    standard deviation.

    **When not to use it.** When the world does not wait: executed actions are blind, and a push between them is seen
    late (set `executed_actions` to 1). Where demonstrations act differently in the same situation, the median may be
    none of them: use `diffusion`, or the CVAE.

    The budget of :meth:`learn` is in epochs.

    Args:
        env: Environment that gives the spaces.
        settings: Settings that differ from the defaults for this environment; see :class:`ACTSettings`.

    Raises:
        ValueError: An unknown setting, or a value out of range.
    """

    spec = AgentSpec("act", settings=ACTSettings, budget_unit="epochs", takes_run=True)
    policy_class = ACTPolicy
