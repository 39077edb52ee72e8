"""Instructions with pointers: names of entities in a sentence point to the entities, whatever the names are.

The encoder of sentences sees a placeholder instead of a name. So a sentence means the same for each object, and
combinations of verbs and objects that were never demonstrated are understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn

from agents.policies.encoders.instructions import (
    FIRST,
    MAX_WORDS,
    PADDING,
    UNKNOWN,
    VOCABULARY,
    Vocabulary,
    words_of,
)
from agents.policies.transformer import EncoderLayer

SIDES = re.compile(r"\b(left|right)(?=(most|wards?|hand)?\b)", re.IGNORECASE)
"""Words of a side, such as left, Right, leftmost and rightward."""
PLACEHOLDER = FIRST + VOCABULARY
"""Number of the word that stands for every name of an entity."""
NAME_MARK = "\N{BULLET}"
"""Written in place of a name in parsed sentences."""


@dataclass(frozen=True)
class ParsedSentence:
    """Sentence whose names of entities were found.

    Attributes:
        words: Words, with :data:`NAME_MARK` in place of each name.
        mentions: Position of the first mention of each entity among the words; -1 without one.
        entities: Number of the entity that each word names; -1 for ordinary words. Networks do not see it.
    """

    words: tuple[str, ...]
    mentions: tuple[int, ...]
    entities: tuple[int, ...]


def parse(sentence: str, names: Sequence[str | None]) -> ParsedSentence:
    """Find the names of entities in a sentence, the longest names first.

    Args:
        sentence: Instruction.
        names: Name of each entity, such as ``red_cube``, which is mentioned as "red cube"; None for no entity.
    """
    words: list[str | int] = list(words_of(sentence))
    phrases = sorted(
        ((name.split("_"), row) for row, name in enumerate(names) if name is not None),
        key=lambda each: -len(each[0]),
    )
    for phrase, row in phrases:
        start = 0
        while start <= len(words) - len(phrase):
            if words[start : start + len(phrase)] == phrase:
                words[start : start + len(phrase)] = [row]
            start += 1
    first = {word: place for place, word in reversed(list(enumerate(words))) if isinstance(word, int)}
    return ParsedSentence(
        tuple(NAME_MARK if isinstance(word, int) else word for word in words)[:MAX_WORDS],
        tuple(place if (place := first.get(row, -1)) < MAX_WORDS else -1 for row in range(len(names))),
        tuple(word if isinstance(word, int) else -1 for word in words)[:MAX_WORDS],
    )


def mirrored_sentence(sentence: str) -> str:
    """Return a sentence for the mirrored scene: left becomes right, and right becomes left."""
    return SIDES.sub(lambda found: "right" if found[0].lower() == "left" else "left", sentence)


class _Encoded(NamedTuple):
    """Sentence with its meaning and words (:meth:`Sentences.forward`), and the weights that encoded it."""

    numbers: torch.Tensor
    weights: tuple[tuple[int, int], ...]
    meaning: torch.Tensor
    words: torch.Tensor


class Sentences(nn.Module):
    """Encoder of parsed sentences that learns words from the sentences of demonstrations.

    Args:
        width: Numbers W in a token.
        layers: Layers in which words see each other.
    """

    def __init__(self, width: int, layers: int = 1) -> None:
        super().__init__()
        self.vocabulary = Vocabulary()
        self.embedding = nn.Embedding(PLACEHOLDER + 1, width, padding_idx=PADDING)
        self.positions = nn.Parameter(0.02 * torch.randn(MAX_WORDS, width))
        self.layers = nn.ModuleList(EncoderLayer(width, 4, 0.0) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self._latest: _Encoded | None = None

    def train(self, mode: bool = True) -> Sentences:
        """Set the mode of training or evaluation; see :meth:`torch.nn.Module.train`."""
        self._latest = None
        return super().train(mode)

    def extend(self, sentences: Iterable[ParsedSentence]) -> None:
        """Also know the words of sentences; known words keep their numbers."""
        self.vocabulary.extend(" ".join(word for word in each.words if word != NAME_MARK) for each in sentences)

    def encode(
        self, numbers: torch.Tensor, sentences: torch.Tensor, mentions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a vector for each sentence, and a vector for each mention of an entity.

        Args:
            numbers: Numbers of the words of U sentences, shape (U, :data:`MAX_WORDS`).
            sentences: Number of the sentence of each step, shape (N,).
            mentions: Position of the first mention of each entity, shape (N, S); -1 without one.

        Returns:
            Mean of the words of each sentence, shape (U, W), and the word at each mention, shape (N, S, W); the
            vectors of entities without a mention are not used.
        """
        meaning, words = self._encoded(numbers)
        sentence = words[sentences]
        positions = mentions.clamp(min=0)[:, :, None].expand(-1, -1, sentence.shape[2])
        return meaning, torch.gather(sentence, 1, positions)

    def numbers(self, sentences: Sequence[ParsedSentence]) -> torch.Tensor:
        """Return the numbers of the words of U sentences, shape (U, :data:`MAX_WORDS`)."""
        number_of = self.vocabulary.number_of
        rows = [[PLACEHOLDER if word == NAME_MARK else number_of(word) for word in each.words] for each in sentences]
        return torch.tensor([row + [PADDING] * (MAX_WORDS - len(row)) for row in rows])

    def forward(self, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the meaning of sentences and of their words.

        Args:
            numbers: Numbers of words, shape (U, :data:`MAX_WORDS`).

        Returns:
            Mean of the words, shape (U, W), and the words, shape (U, :data:`MAX_WORDS`, W).
        """
        words, is_pad = self._embedded(numbers)
        for layer in self.layers:
            words = layer(words, is_pad)
        words = self.norm(words)
        shares = (~is_pad).float() / (~is_pad).sum(dim=1, keepdim=True)
        return (words * shares[:, :, None]).sum(dim=1), words

    def _encoded(self, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the same as :meth:`forward`. A sentence that is the same as in the last call is not encoded again.

        The instruction of an episode is the same in each step, and its encoding takes a quarter of a decision's time.
        """
        parameters = list(self.parameters())
        is_traced = bool(torch.jit.is_tracing()) or torch.compiler.is_compiling()  # type: ignore[attr-defined,no-untyped-call]
        has_versions = not any(each.is_inference() for each in parameters)
        if self.training or torch.is_grad_enabled() or len(numbers) != 1 or is_traced or not has_versions:
            return self(numbers)  # type: ignore[no-any-return]
        # In-place changes, such as a step of an optimizer, raise the version of a tensor.
        weights = tuple((each.data_ptr(), each._version) for each in parameters)
        latest = self._latest
        if latest is None or latest.weights != weights or not torch.equal(latest.numbers, numbers):
            latest = self._latest = _Encoded(numbers.clone(), weights, *self(numbers))
        return latest.meaning, latest.words

    def attention(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return the attention to each word in the last layer, the mean over all words, shape (U, :data:`MAX_WORDS`).

        Each row sums to 1.

        Args:
            numbers: Numbers of words, shape (U, :data:`MAX_WORDS`).
        """
        words, is_pad = self._embedded(numbers)
        for layer in self.layers[:-1]:
            words = layer(words, is_pad)
        last = cast(EncoderLayer, self.layers[-1])
        normal = last.norm(words)
        weights = last.attention.weights(normal, normal, is_pad).masked_fill(is_pad[:, :, None], 0.0)
        return weights.sum(dim=1) / (~is_pad).sum(dim=1, keepdim=True)

    def _embedded(self, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embedded words, shape (U, :data:`MAX_WORDS`, W), and True for padding."""
        # A sentence without words counts as an unknown word.
        numbers = torch.cat([numbers[:, :1].clamp(min=UNKNOWN), numbers[:, 1:]], dim=1)
        return self.embedding(numbers) + self.positions, numbers == PADDING
