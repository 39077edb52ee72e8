"""Base of policies that remember observations and plan chunks of actions: history, execution of chunks, memory."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from agents.data.features import FeatureIndices
from agents.data.sequences import SequenceBatch
from agents.policies.actions import ActionCodec
from agents.policies.encoders.images import ImageEncoder
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

    @property
    def noise_shape(self) -> tuple[int, ...] | None:
        """Shape of the noise that a chunk is made from; None for a policy that makes chunks without noise."""
        return None

    def draw_noise(self, age: torch.Tensor, *, deterministic: bool) -> torch.Tensor | None:
        """Return the noise of chunks, shape (N, *noise_shape); None for a policy without noise.

        Args:
            age: Steps since the start of the episode, shape (N,).
            deterministic: Return the noise of the most likely chunk, which is zero by default, or draw it.
        """
        if self.noise_shape is None:
            return None
        make = torch.zeros if deterministic else torch.randn
        return make(len(age), *self.noise_shape, device=age.device)

    @abstractmethod
    def predict_chunk(self, context: Context, noise: torch.Tensor | None, *, deterministic: bool) -> torch.Tensor:
        """Return codes of the next actions, shape (N, K, C).

        Args:
            context: N encoded histories.
            noise: Noise of :meth:`draw_noise`.
            deterministic: Return the most likely chunk, or draw one; with noise, the noise decides.
        """

    def fit_normalizer(self, statistics: Mapping[str, Statistics], masked: FeatureIndices | None = None) -> None:
        """Set the normalizers of observations and actions."""
        self.encoder.fit(statistics, masked)
        self.codec.fit(statistics["action"], is_rotated=self.encoder.frame is not None)

    def image_encoders(self) -> list[tuple[str, ImageEncoder]]:
        """Return name and encoder of each camera."""
        return self.encoder.image_encoders()

    def fit_words(self, instructions: Iterable[str]) -> None:
        """Know the words of instructions; no effect where observations have no instruction."""
        self.encoder.fit_words(instructions)

    def encode(self, batch: SequenceBatch) -> tuple[Context, torch.Tensor]:
        """Return the encoded observations of a minibatch, and the codes of its chunks, shape (N, K, C)."""
        return self.context(batch), self._codes(batch.actions, self._headings(batch)[:, -1:])

    def context(self, batch: SequenceBatch) -> Context:
        """Return the encoded observations of a minibatch."""
        return Context(self.encoder(batch.observations), batch.observation_is_pad)

    def codes_at_each_observation(self, batch: SequenceBatch) -> torch.Tensor:
        """Return the codes of the chunks at all observations of a minibatch with past actions, shape (N, H, K, C)."""
        chunks = batch.actions.unfold(1, self.horizons.actions, 1).movedim(-1, 2)
        return self._codes(chunks, self._headings(batch)[:, :, None])

    def _headings(self, batch: SequenceBatch) -> torch.Tensor:
        """Return the headings of all observations, shape (N, H, 2); (N, H, 0) without a task frame."""
        frame, is_pad = self.encoder.frame, batch.observation_is_pad
        return is_pad.new_empty(*is_pad.shape, 0) if frame is None else frame.heading(batch.observations)

    def _codes(self, actions: torch.Tensor, headings: torch.Tensor) -> torch.Tensor:
        """Return codes of actions, in task frames if there are any."""
        frame = self.encoder.frame
        return self.codec.encode(actions if frame is None else frame.to_frame(actions, headings))

    def from_frame(self, codes: torch.Tensor, observation: Tensors) -> torch.Tensor:
        """Return the codes of chunks in the frame of the robot's base, shape (N, K, C).

        Args:
            codes: Codes in the task frame of an observation, shape (N, K, C). Without one, they are returned.
            observation: N observations.
        """
        frame = self.encoder.frame
        if frame is None:
            return codes
        return self.codec.encode(frame.from_frame(self.codec.decode(codes), frame.heading(observation)[:, None]))

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

    @staticmethod
    def without_chunk(memory: State) -> State:
        """Return a memory without the rest of the chunks: the next action begins a new chunk.

        Args:
            memory: Memory of N rows; it is not changed.
        """
        return {**memory, **{name: torch.zeros_like(memory[name]) for name in ("left", "weights")}}

    def predict_action(
        self, observation: Tensors, memory: Memory = None, *, deterministic: bool = True
    ) -> tuple[torch.Tensor, Memory]:
        """Return the next action of each row's chunk, shape (N, ...), and the memory; see :class:`TorchPolicy`."""
        horizons = self.horizons
        age, tokens, chunk, left, weights = (memory[name] for name in ("age", "tokens", "chunk", "left", "weights"))
        needed = left == 0
        if horizons.observations > 1 or bool(needed.any()):
            tokens = self._remembered(observation, tokens, age)
        if bool(needed.any()):
            context = self._context(tokens, age)
            # Indices cost time, and mostly all rows need a chunk at once.
            every = bool(needed.all())
            rows = slice(None) if every else needed
            noise = self.draw_noise(age[rows], deterministic=deterministic)
            predicted = self.predict_chunk(context if every else context[needed], noise, deterministic=deterministic)
            predicted = self.from_frame(predicted, tree_map(lambda values: values[rows], observation))
            chunk, weights, left = chunk.clone(), weights.clone(), left.clone()
            chunk[rows], weights[rows] = self._ensembled(chunk[rows], weights[rows], predicted)
            left[rows] = horizons.executed
        return self._executed(tokens, age, chunk, left, weights)

    def step(self, observation: Tensors, memory: State, noise: torch.Tensor | None) -> tuple[torch.Tensor, State]:
        """Return the same as :meth:`predict_action`, by the same operations whatever the memory is.

        A chunk is predicted for each row, and discarded where it is not needed: this can be traced.

        Args:
            observation: Tensor of shape (N, ...), or a dict of such.
            memory: Memory of N rows.
            noise: Noise of :meth:`draw_noise`.
        """
        age, chunk, left, weights = (memory[name] for name in ("age", "chunk", "left", "weights"))
        tokens = self._remembered(observation, memory["tokens"], age)
        predicted = self.predict_chunk(self._context(tokens, age), noise, deterministic=True)
        predicted = self.from_frame(predicted, observation)
        new_chunk, new_weights = self._ensembled(chunk, weights, predicted)
        needed = left == 0
        chunk = torch.where(needed[:, None, None], new_chunk, chunk)
        weights = torch.where(needed[:, None], new_weights, weights)
        left = torch.where(needed, self.horizons.executed, left)
        return self._executed(tokens, age, chunk, left, weights)

    def _remembered(self, observation: Tensors, tokens: torch.Tensor, age: torch.Tensor) -> torch.Tensor:
        """Return the tokens of the last observations, shape (N, H, P, W), with those of a new observation."""
        seen = self.encoder(tree_map(lambda values: values[:, None], observation))
        moved = torch.cat([tokens[:, 1:], seen], dim=1)
        return torch.where((age == 0)[:, None, None, None], seen, moved)

    def _context(self, tokens: torch.Tensor, age: torch.Tensor) -> Context:
        horizon = self.horizons.observations
        position = torch.arange(horizon, device=age.device)
        return Context(tokens, position < horizon - 1 - age[:, None])

    def _executed(
        self,
        tokens: torch.Tensor,
        age: torch.Tensor,
        chunk: torch.Tensor,
        left: torch.Tensor,
        weights: torch.Tensor,
    ) -> tuple[torch.Tensor, State]:
        """Return the first action of each row's chunk, and the memory after it."""
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
