"""Known sentences: an instruction that was not in the demonstrations is replaced by the most similar one that was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from agents.imitation.lam.language import NAME_MARK, ParsedSentence, parse
from agents.policies.encoders.sentences import check_installed, is_reversed, most_similar

OBJECT_WORD = "item"
"""Word in place of the name of an object where sentences are compared, whatever the objects are."""
MAX_SENTENCES, SENTENCE_BYTES = 2048, 160
"""Largest number of known sentences, and largest number of bytes of each with its task."""


class MatchedSentence(NamedTuple):
    """Sentence that a policy follows: the instruction, or the known sentence that replaces it.

    Attributes:
        text: Sentence.
        similarity: Similarity to the instruction, at most 1; 1 for the instruction itself.
    """

    text: str
    similarity: float


class KnownSentences(nn.Module):
    """Sentences of the demonstrations of each task, without names of objects. It has no weights.

    The most similar sentence is found by the frozen encoder all-MiniLM-L6-v2
    (:func:`agents.policies.encoders.sentences.most_similar`), among those of the task that mention as many objects.

    Raises:
        ModuleNotFoundError: The encoder is not installed.

    Attributes:
        texts: Bytes of each task and sentence, separated by a tab and padded with zeros, shape
            (:data:`MAX_SENTENCES`, :data:`SENTENCE_BYTES`). They are saved with the weights of a network.
    """

    texts: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        check_installed()
        self.register_buffer("texts", torch.zeros(MAX_SENTENCES, SENTENCE_BYTES, dtype=torch.uint8))

    def task_sentences(self) -> list[tuple[str, str]]:
        """Return the task and the text of each sentence without names of objects, except for damaged rows."""
        rows = (row.tobytes().rstrip(b"\0").decode(errors="replace") for row in self.texts.cpu().numpy())
        parts = (row.partition("\t") for row in rows)
        return [(task, text) for task, _, text in parts if any(letter.isalnum() for letter in text)]

    def for_task(self, task: str) -> list[str]:
        """Return the sentences of a task; those of all tasks if there are none."""
        known = self.task_sentences()
        return [text for owner, text in known if owner == task] or list(dict.fromkeys(text for _, text in known))

    def extend(self, task: str, sentences: Iterable[str]) -> None:
        """Add sentences of a task, up to :data:`MAX_SENTENCES` of all tasks. Too long ones are left out.

        Args:
            task: Name of the task.
            sentences: Sentences without names of objects (:func:`without_names`).
        """
        known = self.task_sentences()
        added = sorted({(task, text) for text in sentences if text} - {*known})
        encoded = [f"{task}\t{text}".encode() for task, text in added]
        rows = [each.ljust(SENTENCE_BYTES, b"\0") for each in encoded if len(each) <= SENTENCE_BYTES]
        for number, row in enumerate(rows[: MAX_SENTENCES - len(known)], start=len(known)):
            self.texts[number] = torch.frombuffer(bytearray(row), dtype=torch.uint8)

    def match(self, text: str, task: str) -> tuple[str, float]:
        """Return the known sentence that is most similar to a sentence, and their similarity, at most 1.

        A sentence is returned as it is if it is known, or if none of the task mentions as many objects.

        Args:
            text: Sentence without names of objects.
            task: Name of the task.
        """
        known = self.for_task(task)
        candidates = [each for each in known if _count(each) == _count(text)]
        if not any(letter.isalnum() for letter in text) or not candidates or text in known:
            return text, 1.0
        number, similarity = most_similar(_comparable(text), [_comparable(each) for each in candidates])
        return candidates[number], similarity

    def match_instruction(self, instruction: str, objects: Sequence[str], task: str) -> MatchedSentence:
        """Return the known sentence, with names of objects, in place of an instruction.

        A known instruction is returned as it is.

        Args:
            instruction: Instruction.
            objects: Names of the objects that it can mention, such as ``red_cube``.
            task: Name of the task.
        """
        parsed = parse(instruction, objects)
        text = without_names(parsed)
        known, similarity = self.match(text, task)
        if known == text:
            return MatchedSentence(instruction, 1.0)
        names = [objects[number].replace("_", " ") for number in parsed.entities if number >= 0]
        if len(names) == 2 and is_reversed(_comparable(text), _comparable(known), OBJECT_WORD):
            names.reverse()
        left = iter(names)
        filled = (next(left) if word == NAME_MARK else word for word in known.split())
        return MatchedSentence(" ".join(filled), similarity)


def without_names(sentence: ParsedSentence) -> str:
    """Return the words of a sentence, with :data:`NAME_MARK` in place of each name."""
    return " ".join(sentence.words)


def _comparable(text: str) -> str:
    """Return a sentence without names in words that the encoder knows."""
    return text.replace(NAME_MARK, OBJECT_WORD)


def _count(text: str) -> int:
    """Return how many objects a sentence without names mentions."""
    return text.split().count(NAME_MARK)
