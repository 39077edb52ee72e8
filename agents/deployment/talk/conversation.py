"""Conversation: a person gives one instruction after the other, and a model acts in one scene."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch

from agents.imitation.lam.language import NAME_MARK, parse
from agents.imitation.lam.policy import LamPolicy
from agents.types import Env, Observation
from lam_envs.env import ManipulationEnv
from lam_envs.observation.instructions import INSTRUCTION_KEY, STATE_KEY, encode_instruction

REST_SPEED = 0.01
"""Largest speed of the tool that counts as being at rest, meters per second."""
REST_STEPS = 20
"""Steps at rest after which an instruction counts as finished: one second."""


class Conversation:
    """Scene in which a policy follows instructions.

    Args:
        policy: Policy in the environment.
        env: Environment made with ``instruct=True``. Its time limit does not count, nor does its own instruction.
        seed: Seed of the scene.

    Raises:
        ValueError: The observations of the environment have no instruction.

    Attributes:
        instruction: Instruction of the environment's reset, as an example.
    """

    def __init__(self, policy: LamPolicy, env: Env, seed: int) -> None:
        self._policy = policy
        self._env = cast(ManipulationEnv, env.unwrapped)
        observation, _ = env.reset(seed=seed)
        if not (isinstance(observation, dict) and INSTRUCTION_KEY in observation):
            raise ValueError(f"{env} gives no instructions: make it with instruct=True")
        self._observation: Observation = observation
        self.instruction = self._env.instruction

    @property
    def objects(self) -> list[str]:
        """Names of the entities in the scene that an instruction can mention."""
        return [name.replace("_", " ") for name, is_present in self._entities().items() if is_present]

    def _entities(self) -> dict[str, bool]:
        """Return the names of all entities but the robot, and True for those that are in the scene."""
        reader = self._policy.reader
        seen = torch.from_numpy(cast(dict[str, Any], self._observation)[STATE_KEY][None])
        present = reader(seen.to(self._policy.device)).present[0].tolist()
        named = zip(reader.names[1:], present[1:], strict=True)
        return {name: is_present for name, is_present in named if name is not None}

    def unknown_words(self, instruction: str) -> list[str]:
        """Return the words of an instruction that the model has not learned, without names of entities."""
        known = self._policy.network.sentences.vocabulary.numbers
        words = self._policy.parsed(instruction).words
        return [word for word in dict.fromkeys(words) if word != NAME_MARK and word not in known]

    def missing_objects(self, instruction: str) -> list[str]:
        """Return the entities that an instruction mentions and the scene does not have."""
        names, entities = self._policy.reader.names, self._entities()
        mentioned = zip(names, parse(instruction, names).mentions, strict=True)
        return [name.replace("_", " ") for name, at in mentioned if name and at >= 0 and not entities.get(name, True)]

    def follow(self, instruction: str, max_steps: int) -> Iterator[int]:
        """Follow an instruction until the tool rests for one second; yield the number of steps after each step.

        Args:
            instruction: Sentence of at most 128 bytes.
            max_steps: Largest number of steps.

        Raises:
            ValueError: The instruction is empty or too long.
        """
        encoded, state, resting = encode_instruction(instruction), None, 0
        for step in range(1, max_steps + 1):
            observation = {**cast(dict[str, Any], self._observation), INSTRUCTION_KEY: encoded}
            action, state = self._policy.predict(observation, state, deterministic=True)
            self._observation = self._env.step(action)[0]
            speed = float(np.linalg.norm(self._env.features()["tool/velocity"]))
            resting = resting + 1 if speed < REST_SPEED else 0
            yield step
            if resting >= REST_STEPS:
                return
