"""Conversation: a person gives one instruction after the other, and a model acts in one scene."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple, cast

import numpy as np

from agents.deployment.talk.nouns import NounFinder
from agents.imitation.lam.entities import PRESENT, ROBOT_PARTS
from agents.imitation.lam.known_sentences import MatchedSentence
from agents.imitation.lam.language import NAME_MARK, parse
from agents.imitation.lam.policy import LamPolicy
from agents.policies.encoders.instructions import UNKNOWN
from agents.types import Env, Observation
from lam_envs.env import ManipulationEnv
from lam_envs.observation import Command
from lam_envs.observation.instructions import INSTRUCTION_KEY, SPLITS, encode_instruction

REST_SPEED = 0.01
"""Largest speed of the tool that counts as being at rest, meters per second."""
REST_STEPS = 20
"""Steps at rest after which the robot has stopped: one second."""
DONE_STEPS = 10
"""Steps of lasting success after which an instruction is done: half a second."""
MAX_SUGGESTIONS = 6


class Outcome(str, Enum):
    """Result of an instruction."""

    WORKING = "working"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    """The robot rests or the steps are used up, and success is unknown: the sentence belongs to no command, or the
    task cannot evaluate it."""


class Answer(NamedTuple):
    """Sentence with which an instruction is answered.

    Attributes:
        text: The sentence.
        is_refusal: True if the instruction is not followed.
    """

    text: str
    is_refusal: bool = False


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
        outcome: Result of the last instruction; None before the first one.
        steps: Number of steps of the last instruction.
    """

    def __init__(self, policy: LamPolicy, env: Env, seed: int) -> None:
        self._policy = policy
        self._wrapped = env
        self._env = cast(ManipulationEnv, env.unwrapped)
        self.outcome: Outcome | None = None
        self.steps = 0
        self._lacks_evaluation = False
        self.reset(seed)
        worded = map(self._env.instructions_for, self._env.commands)
        sentences = (text for each in worded for split in SPLITS for text in each.split(split))
        self._nouns = NounFinder(self._entities(), sentences, self._learned_words())

    def reset(self, seed: int) -> None:
        """Start a new scene.

        Args:
            seed: Seed of the scene.
        """
        observation, _ = self._wrapped.reset(seed=seed)
        if not (isinstance(observation, dict) and INSTRUCTION_KEY in observation):
            raise ValueError(f"{self._wrapped} gives no instructions: make it with instruct=True")
        self._observation: Observation = observation
        self.instruction = self._env.instruction
        self.outcome = None
        self._seed = seed
        self._turn = 0

    @property
    def objects(self) -> list[str]:
        """Names of the entities in the scene that an instruction can mention."""
        return [name.replace("_", " ") for name, is_present in self._entities().items() if is_present]

    def _entities(self) -> dict[str, bool]:
        """Return the names of all entities but the robot, and True for those that are in the scene.

        They are those of the environment: a policy that sees images observes only the robot by name.
        """
        features = self._env.features()
        owners = dict.fromkeys(name.partition("/")[0] for name in features)
        flags = {name: features.get(f"{name}/{PRESENT}") for name in owners if name not in ROBOT_PARTS}
        return {name: flag is None or bool(flag[0] > 0.5) for name, flag in flags.items()}

    def _learned_words(self) -> set[str]:
        """Return the words of the demonstrations that the model learned from."""
        return set(self._policy.network.sentences.vocabulary.numbers)

    def unknown_words(self, instruction: str) -> list[str]:
        """Return the words of an instruction that the model has not learned, without names of entities.

        There are none for a model that replaces such an instruction by a known one: see :meth:`replacement`.
        """
        vocabulary = self._policy.network.sentences.vocabulary
        words = self._policy.parsed(self._policy.match_instruction(instruction).text).words
        return [word for word in dict.fromkeys(words) if word != NAME_MARK and vocabulary.number_of(word) == UNKNOWN]

    def replacement(self, instruction: str) -> MatchedSentence | None:
        """Return the known sentence that the model follows in place of an instruction; None if it is the same."""
        understood = self._policy.match_instruction(instruction)
        return None if understood.text == instruction else understood

    def missing_objects(self, instruction: str) -> list[str]:
        """Return what an instruction mentions and the scene does not have.

        These are entities that are absent from the scene, and nouns that the environment cannot name at all
        (:class:`agents.deployment.talk.nouns.NounFinder`).
        """
        entities = self._entities()
        mentioned = zip(entities.items(), parse(instruction, list(entities)).mentions, strict=True)
        absent = [name.replace("_", " ") for (name, is_present), at in mentioned if at >= 0 and not is_present]
        return absent + self._nouns.unknown(instruction)

    def answers(self, instruction: str) -> list[Answer]:
        """Return what to say about an instruction before it is followed; nothing if all is clear."""
        if missing := self.missing_objects(instruction):
            return [Answer(f"The scene has no {', no '.join(missing)}.", is_refusal=True)]
        found: list[Answer] = []
        if unknown := self.unknown_words(instruction):
            found.append(Answer(f"Words that the model has not learned: {', '.join(unknown)}."))
        if (known := self.replacement(instruction)) is not None:
            found.append(Answer(f"Interpreted as: {known.text} (similarity {known.similarity:.2f})."))
        command = self._evaluable(self._env.find_command(instruction))
        if command is not None and self._is_fulfilled(command):
            found.append(Answer("This is already done.", is_refusal=True))
        return found

    def suggestions(self) -> list[str]:
        """Return instructions that can be carried out in the present scene, at most one for each verb at first."""
        commands = self._env.feasible_commands
        rng = np.random.default_rng([self._seed, self._turn])
        self._turn += 1
        groups: dict[object, list[str]] = {}
        for number in rng.permutation(len(commands)):
            command = commands[number]
            groups.setdefault(command[:1], []).append(self._sentence(command))
        rounds = max((len(group) for group in groups.values()), default=0)
        sentences = [group[turn] for turn in range(rounds) for group in groups.values() if turn < len(group)]
        return list(dict.fromkeys(sentences))[:MAX_SUGGESTIONS]

    def _sentence(self, command: Command) -> str:
        """Return a sentence for a command, preferably one whose words the model has learned."""
        sentences = self._env.instructions_for(command).train
        return next((text for text in sentences if not self.unknown_words(text)), sentences[0])

    def _evaluable(self, command: Command | None) -> Command | None:
        """Return a command; None if the task, such as a third party's, does not define ``goal_of``."""
        return command if command is not None and self._env.can_evaluate(command) else None

    def _is_fulfilled(self, command: Command) -> bool:
        return bool(self._env.evaluate_command(command)["is_success"])

    def result(self) -> str:
        """Return the sentence that reports the result of the last instruction."""
        after = f"after {self.steps} steps."
        if self.outcome is Outcome.DONE:
            return f"Done {after}"
        if self.outcome is Outcome.FAILED:
            return f"Not done: stopped {after}"
        reason = " Success is unknown: the task does not define goal_of." if self._lacks_evaluation else ""
        return f"Stopped {after}{reason}"

    def follow(self, instruction: str, max_steps: int) -> Iterator[int]:
        """Follow an instruction until it is done or the tool rests for one second; yield the number of steps.

        :attr:`outcome` is ``working`` meanwhile, and the result afterwards. Success is that of the task's command
        that the sentence asks for; without one, it is unknown.

        Args:
            instruction: Sentence of at most 128 bytes.
            max_steps: Largest number of steps.

        Raises:
            ValueError: The instruction is empty or too long.
        """
        encoded, state, resting, lasting = encode_instruction(instruction), None, 0, 0
        found = self._env.find_command(instruction)
        command = self._evaluable(found)
        self._lacks_evaluation = command != found
        self.outcome, self.steps = Outcome.WORKING, 0
        for step in range(1, max_steps + 1):
            observation = {**cast(dict[str, Any], self._observation), INSTRUCTION_KEY: encoded}
            self.steps = step
            action, state = self._policy.predict(observation, state, deterministic=True)
            self._observation = self._env.step(action)[0]
            speed = float(np.linalg.norm(self._env.features()["tool/velocity"]))
            resting = resting + 1 if speed < REST_SPEED else 0
            lasting = lasting + 1 if command is not None and self._is_fulfilled(command) else 0
            if lasting >= DONE_STEPS:
                self.outcome = Outcome.DONE
            elif resting >= REST_STEPS or step == max_steps:
                has_failed = Outcome.STOPPED if command is None else Outcome.FAILED
                self.outcome = Outcome.DONE if lasting else has_failed
            yield step
            if self.outcome is not Outcome.WORKING:
                return
