"""Base of policies that remember observations and plan chunks of actions: history, execution of chunks, memory."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from agents.data.sequences import SequenceBatch
from agents.policies.actions import ActionCodec
from agents.policies.encoders.observations import EncoderSettings, ObservationTokens
from agents.policies.torch_policy import TorchPolicy
from agents.types import Memory, Space, State, Tensors
from demos.datasets.statistics import Statistics
from demos.datasets.tree import tree_map


@dataclass(frozen=True)
class Horizons:
    """Numbers of steps that a policy looks back and ahead.

    Attributes:
        observations: Observations H that the policy sees.
        actions: Actions K of a chunk.
        executed: Actions of a chunk that are executed before the next one is predicted, at most K.
        ensembling: Decay m of temporal ensembling: the action is the mean of all predictions for this step, with
            weights exp(-m i), where i = 0 is the oldest (Zhao et al. 2023, section IV A). None for none; else a chunk
            is predicted at each step.
    """

    observations: int
    actions: int
    executed: int
    ensembling: float | None = None


@dataclass(frozen=True)
class Context:
    """Encoded observations.

    Attributes:
        tokens: Tokens P of H observations, shape (N, H, P, W).
        is_pad: Shape (N, H): True where the first observation is repeated before the start of the episode.
    """

    tokens: torch.Tensor
    is_pad: torch.Tensor

    def __getitem__(self, rows: torch.Tensor) -> Context:
        """Return some rows."""
        return Context(self.tokens[rows], self.is_pad[rows])


class SequencePolicy(TorchPolicy[SequenceBatch]):
    """Policy that predicts a chunk of actions from encoded observations, and executes a part of it.

    Its memory has one row for each environment: tokens of the last observations, steps since the start, the rest of
    the chunk. A row is independent of the others.

    Args:
        observation_space: A Box, or a Dict of such.
        action_space: A Box or Discrete.
        encoder: Settings of the encoder of observations.
        horizons: Steps that the policy looks back and ahead.
    """

    def __init__(
        self, observation_space: Space, action_space: Space, encoder: EncoderSettings, horizons: Horizons
    ) -> None:
        super().__init__(observation_space, action_space)
        self.horizons = horizons
        self.encoder = ObservationTokens(observation_space, encoder)
        self.codec = ActionCodec(action_space)

    @abstractmethod
    def predict_chunk(self, context: Context, age: torch.Tensor, *, deterministic: bool) -> torch.Tensor:
        """Return codes of the next actions, shape (N, K, C).

        Args:
            context: N encoded histories.
            age: Steps since the start of the episode, shape (N,).
            deterministic: Return the most likely chunk, or draw one.
        """

    def fit_normalizer(self, statistics: Mapping[str, Statistics], masked: Sequence[int] = ()) -> None:
        """Set the normalizers of observations and actions."""
        self.encoder.fit(statistics, masked)
        self.codec.fit(statistics["action"])

    def fit_words(self, instructions: Iterable[str]) -> None:
        """Know the words of instructions; no effect where observations have no instruction."""
        self.encoder.fit_words(instructions)

    def encode(self, batch: SequenceBatch) -> tuple[Context, torch.Tensor]:
        """Return the encoded observations of a minibatch, and the codes of its actions, shape (N, A, C)."""
        context = Context(self.encoder(batch.observations), batch.observation_is_pad)
        return context, self.codec.encode(batch.actions)

    def initial_memory(self, count: int) -> State:
        """Return the memory at the start of N episodes: tensors of shape (N, ...)."""
        horizons, device = self.horizons, self.device
        shape = (horizons.observations, self.encoder.tokens, self.encoder.width)
        return {
            "tokens": torch.zeros(count, *shape, device=device),
            "age": torch.zeros(count, dtype=torch.int64, device=device),
            "chunk": torch.zeros(count, horizons.actions, self.codec.size, device=device),
            "left": torch.zeros(count, dtype=torch.int64, device=device),
            # Sum of the weights of the predictions for each step of the chunk.
            "weights": torch.zeros(count, horizons.actions, device=device),
        }

    def predict_action(
        self, observation: Tensors, memory: Memory = None, *, deterministic: bool = True
    ) -> tuple[torch.Tensor, Memory]:
        """Return the next action of each row's chunk, shape (N, ...), and the memory; see :class:`TorchPolicy`."""
        horizons = self.horizons
        age, tokens, chunk, left, weights = (memory[name] for name in ("age", "tokens", "chunk", "left", "weights"))
        needed = left == 0
        if horizons.observations > 1 or bool(needed.any()):
            seen = self.encoder(tree_map(lambda values: values[:, None], observation))
            moved = torch.cat([tokens[:, 1:], seen], dim=1)
            tokens = torch.where((age == 0)[:, None, None, None], seen, moved)
        if bool(needed.any()):
            position = torch.arange(horizons.observations, device=age.device)
            context = Context(tokens, position < horizons.observations - 1 - age[:, None])
            # Indices cost time, and mostly all rows need a chunk at once.
            every = bool(needed.all())
            rows = slice(None) if every else needed
            predicted = self.predict_chunk(
                context if every else context[needed], age[rows], deterministic=deterministic
            )
            chunk, weights, left = chunk.clone(), weights.clone(), left.clone()
            chunk[rows], weights[rows] = self._ensembled(chunk[rows], weights[rows], predicted)
            left[rows] = horizons.executed
        action = self.codec.decode(chunk[:, 0])
        following: State = {
            "tokens": tokens,
            "age": age + 1,
            "chunk": torch.cat([chunk[:, 1:], chunk[:, -1:]], dim=1),
            "left": left - 1,
            "weights": torch.cat([weights[:, 1:], torch.zeros_like(weights[:, :1])], dim=1),
        }
        return action, following

    def _ensembled(
        self, chunk: torch.Tensor, weights: torch.Tensor, predicted: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean of earlier predictions and a new one, and the sums of their weights.

        Args:
            chunk: Mean of the earlier predictions for each step, shape (n, K, C).
            weights: Sum of their weights, shape (n, K).
            predicted: New prediction, shape (n, K, C).
        """
        if self.horizons.ensembling is None:
            return predicted, torch.zeros_like(weights)
        # After c predictions the sum is (1 - q^c) / (1 - q) with q = exp(-m); the next weight is q^c.
        new = 1.0 - weights * (1.0 - math.exp(-self.horizons.ensembling))
        total = weights + new
        share = (new / total)[:, :, None]
        return chunk + share * (predicted - chunk), total
