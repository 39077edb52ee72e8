"""Policy of the Large Action Model: its network in one environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import torch

from agents.data.cameras import format_shapes
from agents.data.features import FeatureIndices
from agents.imitation.lam.entities import EntityTable
from agents.imitation.lam.interface import Interface
from agents.imitation.lam.known_sentences import MatchedSentence
from agents.imitation.lam.language import ParsedSentence, parse
from agents.imitation.lam.networks.base import ChunkNetwork
from agents.imitation.lam.networks.batch import (
    UNKNOWN_ROBOT,
    LamBatch,
    gripper_last,
    label_weights,
    partly_hidden,
    unknown_words,
)
from agents.imitation.lam.networks.cameras import Images, shifted_at_random
from agents.imitation.lam.networks.heads import FlowHead
from agents.imitation.lam.networks.transformer import LamNetwork
from agents.imitation.lam.objects import StateAssembler
from agents.policies.encoders.images import ImageEncoder
from agents.policies.encoders.instructions import UNKNOWN_SHARE
from agents.policies.torch_policy import TorchPolicy
from agents.types import Memory, Observation, State, Tensors
from demos.datasets.statistics import Statistics
from demos.datasets.tree import tree_map
from lam_envs.observation.instructions import INSTRUCTION_KEY, decode_instruction

CACHED_SENTENCES = 512
"""Sentences that a policy parses once."""
CHUNK, LEFT = "chunk", "left"
"""Names of the rest of a chunk, and of the number of its actions to execute, in the memory of a policy."""


class LamPolicy(TorchPolicy[LamBatch]):
    """Policy with a network of the Large Action Model in one environment. Several may share a network.

    Args:
        interface: Environment.
        network: Network.
        executed: Actions of a chunk that are executed before the next one is predicted.
        decay: See :func:`agents.imitation.lam.networks.batch.label_weights`.
        use_instruction: Condition the policy on the instruction, if the observations have one.
        image_shift: Largest random shift of images in training, pixels.
        word_dropout: Share of the words that are replaced by the unknown word in training.

    Raises:
        ValueError: The network does not know a feature or a camera of the environment, or its actions have fewer
            numbers.
    """

    def __init__(
        self,
        interface: Interface,
        network: ChunkNetwork,
        *,
        executed: int,
        decay: float,
        use_instruction: bool = True,
        image_shift: int = 0,
        word_dropout: float = UNKNOWN_SHARE,
    ) -> None:
        super().__init__(interface.observation_space, interface.action_space)
        self.network, self.executed, self.decay = network, executed, decay
        self.use_instruction, self.image_shift = use_instruction, image_shift
        self.word_dropout = word_dropout
        self.reader = interface.reader(network.schema).to(self.device)
        self.assembler: StateAssembler | None = None
        if interface.estimated_objects is not None:
            known = network.schema.estimated_objects
            self.assembler = StateAssembler(interface.layout, interface.estimated_objects, known).to(self.device)
        self.interface = interface
        lacks_names = interface.images and interface.estimated_objects is None
        if network.known_sentences is not None and lacks_names:
            raise ValueError(
                "match_sentences needs names of objects, which an environment with images does not have: set "
                "find_objects=true, or match_sentences=false"
            )
        if interface.action_size > network.action_size:
            raise ValueError(
                f"the model has actions of at most {network.action_size} numbers; this environment has "
                f"{interface.action_size}: use one with another robot or control"
            )
        if interface.images and dict(interface.images) != dict(network.schema.cameras):
            raise ValueError(
                f"the model has learned from images of {format_shapes(network.schema.cameras)}; this environment has "
                f"images of {format_shapes(interface.images)}"
            )
        known = network.robots
        self._robot = 1 + known.index(interface.robot) if interface.robot in known else UNKNOWN_ROBOT
        self._parsed: dict[bytes, tuple[torch.Tensor, torch.Tensor]] = {}

    def compute_loss(self, batch: LamBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of a minibatch; see :class:`TorchPolicy`."""
        errors = self.network.errors(batch, self.decay)
        loss = errors.mean()
        by_group = {} if batch.groups is None else errors.by_group(batch.groups)
        return loss, {"loss": loss.detach(), **by_group}

    def augment(self, batch: LamBatch) -> LamBatch:
        """Return a minibatch with robots, instructions and words hidden, images shifted, and noise for ``flow``."""
        hidden, head = unknown_words(partly_hidden(batch), self.word_dropout), self.network.head
        if batch.images is not None:
            hidden = replace(hidden, images=shifted_at_random(batch.images, self.image_shift))
        if not isinstance(head, FlowHead):
            return hidden
        noise, time = head.draw(len(batch), batch.actions.device)
        return replace(hidden, noise=noise, time=time)

    @property
    def noise_shape(self) -> tuple[int, ...] | None:
        """Shape (K, A) of the noise that a chunk is made from; None for a head without noise."""
        return self.network.head.shape if isinstance(self.network.head, FlowHead) else None

    def loss_weight(self, batch: LamBatch) -> float:
        """Return the total weight of the actions in the loss of a minibatch."""
        return float(label_weights(batch, self.decay).sum())

    def fit_normalizer(self, statistics: Mapping[str, Statistics], masked: FeatureIndices | None = None) -> None:
        """Not used: :meth:`agents.imitation.lam.networks.base.ChunkNetwork.fit` sets the normalizer."""
        raise NotImplementedError("the normalizer belongs to the network: use network.fit")

    def initial_memory(self, count: int) -> State:
        """Return the memory at the start of N episodes: the rest of a chunk, and how much of it is to be executed."""
        shape = (count, self.network.sizes.actions, self.network.action_size)
        objects = self.network.objects
        estimated = {} if self.assembler is None or objects is None else objects.initial_memory(count, self.device)
        return {
            CHUNK: torch.zeros(shape, device=self.device),
            LEFT: torch.zeros(count, dtype=torch.int64, device=self.device),
            **estimated,
        }

    def _with_state(self, observation: Tensors, memory: State) -> tuple[Tensors, State]:
        """Return observations with estimated states in place of the robot's features, and the estimator's memory."""
        objects = self.network.objects
        if self.assembler is None or objects is None:
            return observation, {}
        key = self.interface.features_key
        state, following = self.assembler.estimate(objects, observation, key, memory)
        return {**cast("dict[str, torch.Tensor]", observation), key: state}, following

    def predict_action(
        self, observation: Tensors, memory: Memory = None, *, deterministic: bool = True
    ) -> tuple[torch.Tensor, Memory]:
        """Return the next action of each row's chunk, shape (N, numbers), and the memory."""
        assert memory is not None  # noqa: S101  (initial_memory is never None)
        observation, estimated = self._with_state(observation, memory)
        chunk, left = memory[CHUNK], memory[LEFT]
        needed = left == 0
        if bool(needed.any()):
            chunk, left = chunk.clone(), left.clone()
            batch = self.batch_of(observation, needed)
            is_drawn = self.noise_shape is not None and not deterministic
            chunk[needed] = self.network(batch, torch.randn_like(batch.actions) if is_drawn else None)
            left[needed] = self.executed
        action, following = self._executed(chunk, left)
        return action, {**following, **estimated}

    def step(
        self,
        features: torch.Tensor,
        words: torch.Tensor,
        mentions: torch.Tensor,
        memory: State,
        noise: torch.Tensor | None = None,
        images: Images | None = None,
    ) -> tuple[torch.Tensor, State]:
        """Return the same as :meth:`predict_action`, by operations that do not depend on the memory.

        A chunk is predicted for each row, and discarded where it is not needed, so the method can be traced.

        Args:
            features: Features of N observations, shape (N, numbers).
            words: Numbers of the words of each sentence (:meth:`tokens`), shape (N, words).
            mentions: Position of the first mention of each entity, shape (N, S).
            memory: Memory of N rows.
            noise: Noise of the head ``flow``, shape (N, K, A); by default zeros.
            images: Images by camera, in an environment that has them.
        """
        needed = memory[LEFT] == 0
        key = self.interface.features_key
        seen, estimated = self._with_state({key: features, **(images or {})}, memory)
        state = cast("dict[str, torch.Tensor]", seen)[key]
        batch = replace(self._batch(self.reader(state), words, mentions), images=images)
        planned = self.network(batch, noise)
        chunk = torch.where(needed[:, None, None], planned, memory[CHUNK])
        action, following = self._executed(chunk, torch.where(needed, self.executed, memory[LEFT]))
        return action, {**following, **estimated}

    def _executed(self, chunk: torch.Tensor, left: torch.Tensor) -> tuple[torch.Tensor, State]:
        """Return the first action of each row's chunk, and the memory after it."""
        action = gripper_last(chunk[:, 0, : self.interface.action_size])
        following: State = {CHUNK: torch.cat([chunk[:, 1:], chunk[:, -1:]], dim=1), LEFT: left - 1}
        return action, following

    def batch_of(self, observation: Tensors, rows: torch.Tensor) -> LamBatch:
        """Return the inputs of the network for some rows of observations; actions are zeros."""
        key = self.interface.features_key
        parts = observation if isinstance(observation, dict) else {key: observation}
        table = self.reader(parts[key][rows])
        if self.use_instruction and INSTRUCTION_KEY in parts:
            encoded = [row.tobytes() for row in parts[INSTRUCTION_KEY][rows].cpu().numpy()]
        else:
            encoded = [b""] * len(table.values)
        found = [self.tokens(each) for each in encoded]
        words, mentions = (torch.stack(each).to(self.device) for each in zip(*found, strict=True))
        batch = self._batch(table, words, mentions)
        if not self.interface.images:
            return batch
        return replace(batch, images={camera: parts[camera][rows] for camera in self.interface.images})

    def image_encoders(self) -> list[tuple[str, ImageEncoder]]:
        """Return camera and encoder of each image; see :class:`TorchPolicy`."""
        cameras = self.network.cameras if isinstance(self.network, LamNetwork) and self.interface.images else None
        return [] if cameras is None else cameras.by_name()

    def _batch(self, table: EntityTable, words: torch.Tensor, mentions: torch.Tensor) -> LamBatch:
        """Return the inputs of the network for N scenes with a sentence each; see :meth:`step`."""
        count, device = len(words), self.device
        return LamBatch(
            table,
            words,
            torch.arange(count, device=device),
            mentions,
            torch.full((count,), self._robot, device=device),
            torch.zeros(count, self.network.sizes.actions, self.network.action_size, device=device),
            (torch.arange(self.network.action_size, device=device) < self.interface.action_size).expand(count, -1),
            torch.zeros(count, self.network.sizes.actions, dtype=torch.bool, device=device),
            torch.full((count,), int(self.interface.is_cartesian), device=device).bool(),
        )

    def attention(self, observation: Observation) -> dict[str, float]:
        """Return what the policy attends to in an observation when it plans a chunk.

        The positions of objects are estimated from this observation alone, as in the first step of an episode.

        Args:
            observation: One observation, without a batch axis.

        Returns:
            Share of the readout's attention in the last layer, by ``readout``, ``instruction``, the name of each
            entity, and the name of each camera.

        Raises:
            ValueError: The network has no attention.
        """
        network = self._transformer()
        shares = network.attention(self._single(observation))[0]
        names = ["readout", "instruction", *self.reader.names]
        found = {name: float(share) for name, share in zip(names, shares, strict=False) if name is not None}
        if self.interface.images and network.cameras is not None:
            for camera, own in zip(
                network.cameras.cameras, shares[len(names) :].chunk(len(network.cameras.cameras)), strict=True
            ):
                found[camera] = float(own.sum())
        return found

    @torch.no_grad()
    def word_attention(self, observation: Observation) -> list[tuple[str, float]]:
        """Return what the policy attends to in the instruction, or in the sentence that replaces it.

        Args:
            observation: One observation, without a batch axis.

        Returns:
            Each word or name, and its share, in the order of the sentence. The shares sum to that of ``instruction``
            in :meth:`attention`: they are split by the attention between the words. Empty without an instruction.

        Raises:
            ValueError: The network has no attention.
        """
        network, batch = self._transformer(), self._single(observation)
        if not (self.use_instruction and isinstance(observation, dict) and INSTRUCTION_KEY in observation):
            return []
        parsed = self.parsed(self.match_instruction(decode_instruction(observation[INSTRUCTION_KEY])).text)
        names = [str(name).replace("_", " ") for name in self.reader.names]
        words = [names[row] if row >= 0 else word for word, row in zip(parsed.words, parsed.entities, strict=True)]
        shares = network.attention(batch)[0, 1] * network.sentences.attention(batch.words)[0]
        return list(zip(words, shares.tolist(), strict=False))

    def _single(self, observation: Observation) -> LamBatch:
        """Return the inputs of the network for one observation without a batch axis."""
        seen = tree_map(lambda values: torch.as_tensor(np.asarray(values)[None], device=self.device), observation)
        seen, _ = self._with_state(seen, self.initial_memory(1))
        return self.batch_of(seen, torch.ones(1, dtype=torch.bool, device=self.device))

    def _transformer(self) -> LamNetwork:
        """Return the network.

        Raises:
            ValueError: It has no attention.
        """
        if not isinstance(self.network, LamNetwork):
            raise ValueError("a multilayer perceptron has no attention: use a model with network=transformer")
        return self.network

    def parsed(self, instruction: str) -> ParsedSentence:
        """Return an instruction with its mentions of the environment's entities."""
        return parse(instruction, self.reader.mentionable)

    def match_instruction(self, instruction: str) -> MatchedSentence:
        """Return the sentence that the policy follows: with ``match_sentences``, a known one."""
        known = self.network.known_sentences
        if known is None:
            return MatchedSentence(instruction, 1.0)
        return known.match_instruction(instruction, self.reader.objects, self.interface.task)

    def tokens(self, encoded: bytes) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the numbers of the words of a sentence, and the position of each entity's first mention.

        Args:
            encoded: Sentence in UTF-8, padded with zeros.

        Returns:
            Numbers, shape (:data:`agents.policies.encoders.instructions.MAX_WORDS`,); and positions of shape (S,),
            which are -1 without a mention.
        """
        if encoded not in self._parsed:
            found = self.parsed(self.match_instruction(encoded.rstrip(b"\0").decode(errors="replace")).text)
            if len(self._parsed) >= CACHED_SENTENCES:
                self._parsed.clear()
            numbers = self.network.sentences.numbers([found])[0]
            self._parsed[encoded] = numbers, torch.tensor(found.mentions)
        return self._parsed[encoded]
