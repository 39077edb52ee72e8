"""Graph of the Large Action Model; its inputs for the instruction are numbers of words and positions of names."""

from __future__ import annotations

import copy

import torch

from agents.deployment.export.graph import Graph, Port
from agents.deployment.export.sequences import MEMORY, NOISE
from agents.imitation.lam.language import PLACEHOLDER
from agents.imitation.lam.policy import CHUNK, LEFT, LamPolicy
from agents.policies.encoders.instructions import MAX_WORDS
from agents.types import JsonObject, Space, State, Tensors
from lam_envs.observation.instructions import INSTRUCTION_KEY, STATE_KEY

MENTIONS = "mentions"
"""Name of the input for the positions of names among the words."""


class LamGraph(Graph):
    """Graph of a :class:`agents.imitation.lam.policy.LamPolicy` in its environment.

    It predicts a chunk at each step, and discards it while an earlier chunk is executed, so every step takes the same
    time.

    Args:
        observation_space: Box of features, or a Dict of them, of the instruction and of images.
        action_space: A Box.
        policy: Policy; it is copied.

    Raises:
        ValueError: The policy uses instructions, and its sentence encoder cannot be exported.
    """

    def __init__(self, observation_space: Space, action_space: Space, policy: LamPolicy) -> None:
        super().__init__(observation_space, action_space)
        self.policy = copy.deepcopy(policy)
        self.policy.network.skips_absent = False
        self.names = {
            name.replace("_", " "): row for row, name in enumerate(policy.reader.mentionable) if name is not None
        }
        self.is_instructed = policy.use_instruction and INSTRUCTION_KEY in self.parts
        if self.is_instructed and policy.network.known_sentences is not None:
            raise ValueError(
                "an agent lam with match_sentences=true cannot be exported for an environment with instructions: the "
                "sentence encoder needs PyTorch. Train it with match_sentences=false, or use python -m agents serve"
            )
        self.eval()

    @property
    def observations(self) -> tuple[Port, ...]:
        """Inputs for features, and for an instruction that the policy uses."""
        found = [port for port in super().observations if port.name != INSTRUCTION_KEY]
        if self.is_instructed:
            found.append(Port(INSTRUCTION_KEY, (MAX_WORDS,), "int64", "instruction"))
            if self.names:
                found.append(Port(MENTIONS, (len(self.policy.reader.names),), "int64", "mentions"))
        return tuple(found)

    @property
    def memory(self) -> tuple[Port, ...]:
        """Inputs for the rest of a chunk, if several of its actions are executed, and for estimated objects."""
        known = self.policy.initial_memory(1)
        if self.policy.executed == 1:
            known = {name: values for name, values in known.items() if name not in (CHUNK, LEFT)}
        return tuple(
            Port(MEMORY + name, tuple(values.shape[1:]), str(values.dtype).removeprefix("torch."), "memory")
            for name, values in known.items()
        )

    @property
    def noise(self) -> tuple[Port, ...]:
        """Input for the noise that a chunk is made from, with the head ``flow``."""
        shape = self.policy.noise_shape
        return () if shape is None else (Port(NOISE, shape, "float32", "noise"),)

    @property
    def tokenizer(self) -> JsonObject:
        """Numbers of words, the number that stands for each name, and the rows of names, the longest names first."""
        if not self.is_instructed:
            return super().tokenizer
        ordered = sorted(self.names.items(), key=lambda each: -each[0].count(" "))
        numbers = self.policy.network.sentences.vocabulary.numbers
        return {"vocabulary": numbers, "placeholder": PLACEHOLDER, "names": dict(ordered)}

    def step(self, observation: Tensors, memory: State, noise: torch.Tensor | None) -> tuple[torch.Tensor, State]:
        """Return the action, shape (1, ...), and the next memory."""
        interface = self.policy.interface
        parts = observation if isinstance(observation, dict) else {STATE_KEY: observation}
        words, mentions = self.policy.tokens(b"")
        words, mentions = parts.get(INSTRUCTION_KEY, words[None]), parts.get(MENTIONS, mentions[None])
        known = self.policy.initial_memory(1) | {name.removeprefix(MEMORY): values for name, values in memory.items()}
        images = {camera: parts[camera] for camera in interface.images} if interface.images else None
        features = parts[interface.features_key]
        action, following = self.policy.step(features, words, mentions, known, noise, images)
        return action, {MEMORY + name: values for name, values in following.items()}
