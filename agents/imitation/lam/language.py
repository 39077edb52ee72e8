"""Instructions with pointers: names of entities in a sentence point to the entities, whatever the names are.

The encoder of sentences sees a placeholder instead of a name. So a sentence means the same for each object, and
combinations of verbs and objects that were never demonstrated are understood.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, cast

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
from agents.policies.encoders.sentences import EMBEDDING, check_installed, embed, is_reversed, most_similar
from agents.policies.transformer import EncoderLayer

SIDES = re.compile(r"\b(left|right)(?=(most|wards?|hand)?\b)", re.IGNORECASE)
"""Words of a side, such as left, Right, leftmost and rightward."""
PLACEHOLDER = FIRST + VOCABULARY
"""Number of the word that stands for every name of an entity."""
NAME_MARK = "\N{BULLET}"
"""Written in place of a name in parsed sentences."""
OBJECT_WORD = "item"
"""Word in place of a name in sentences that a frozen encoder embeds."""
KNOWN_SENTENCES, SENTENCE_BYTES = 2048, 160
"""Largest number of known sentences of a frozen encoder, and largest number of bytes of each."""
ORDERS = 4
"""Mentions that have a vector of their own by their order in a sentence; later ones share the last vector."""
SentenceEncoderName: TypeAlias = Literal["learned", "minilm"]


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


class SentenceEncoder(nn.Module, ABC):
    """Encoder of parsed sentences. Each sentence is one row of its inputs."""

    @abstractmethod
    def extend(self, sentences: Iterable[ParsedSentence]) -> None:
        """Add the words of sentences to those that the encoder knows."""

    @abstractmethod
    def inputs(self, sentences: Sequence[ParsedSentence]) -> torch.Tensor:
        """Return the inputs of U sentences, shape (U, numbers)."""

    def mentions(self, sentence: ParsedSentence) -> tuple[int, ...]:
        """Return the position of each entity's first mention, -1 without one.

        A subclass can swap the positions of two entities whose roles are swapped in the sentence that it encodes.
        """
        return sentence.mentions

    @abstractmethod
    def encode(
        self, inputs: torch.Tensor, sentences: torch.Tensor, mentions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a vector for each sentence, and a vector for each mention of an entity.

        Args:
            inputs: Inputs of U sentences, shape (U, numbers).
            sentences: Number of the sentence of each step, shape (N,).
            mentions: Position of the first mention of each entity, shape (N, S); -1 without one.

        Returns:
            Shape (U, W), and shape (N, S, W); the vectors of entities without a mention are not used.
        """


class _Encoded(NamedTuple):
    """Sentence with its meaning and words (:meth:`Sentences.forward`), and the weights that encoded it."""

    numbers: torch.Tensor
    weights: tuple[tuple[int, int], ...]
    meaning: torch.Tensor
    words: torch.Tensor


class Sentences(SentenceEncoder):
    """Encoder that learns words from the sentences of demonstrations.

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

    def inputs(self, sentences: Sequence[ParsedSentence]) -> torch.Tensor:
        """Return :meth:`numbers`."""
        return self.numbers(sentences)

    def encode(
        self, inputs: torch.Tensor, sentences: torch.Tensor, mentions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean of the words of sentences, and the word at each mention; see :class:`SentenceEncoder`."""
        meaning, words = self._encoded(inputs)
        sentence = words[sentences]
        positions = mentions.clamp(min=0)[:, :, None].expand(-1, -1, sentence.shape[2])
        return meaning, torch.gather(sentence, 1, positions)

    def numbers(self, sentences: Sequence[ParsedSentence]) -> torch.Tensor:
        """Return the numbers of words, shape (U, :data:`MAX_WORDS`), of U sentences."""
        known = self.vocabulary.numbers
        rows = [
            [PLACEHOLDER if word == NAME_MARK else known.get(word, UNKNOWN) for word in each.words]
            for each in sentences
        ]
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


class FrozenSentences(SentenceEncoder):
    """Encoder of sentences whose embeddings come from all-MiniLM-L6-v2, which is not trained.

    A learned layer projects the embedding of a sentence. There are few sentences in demonstrations, and the network
    does not generalize to other embeddings. So any other sentence gets the embedding of the most similar sentence of
    the demonstrations that has as many names. A mention is encoded only by its order in that sentence: in "put the
    item on the item", the first one is moved.

    Args:
        width: Numbers W in a token.

    Raises:
        ModuleNotFoundError: The encoder is not installed.

    Attributes:
        texts: Bytes of each sentence of the demonstrations, padded with zeros, shape (:data:`KNOWN_SENTENCES`,
            :data:`SENTENCE_BYTES`). They are saved with the weights.
    """

    texts: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        check_installed()
        self.project, self.norm = nn.Linear(EMBEDDING, width), nn.LayerNorm(width)
        self.orders = nn.Embedding(ORDERS, width)
        self.register_buffer("texts", torch.zeros(KNOWN_SENTENCES, SENTENCE_BYTES, dtype=torch.uint8))

    @property
    def known(self) -> list[str]:
        """Sentences of the demonstrations, with :data:`OBJECT_WORD` in place of each name."""
        rows = (row.tobytes().rstrip(b"\0") for row in self.texts.cpu().numpy())
        return [row.decode(errors="replace") for row in rows if row]

    def extend(self, sentences: Iterable[ParsedSentence]) -> None:
        """Add known sentences, up to :data:`KNOWN_SENTENCES`.

        Sentences of more than :data:`SENTENCE_BYTES` are left out.
        """
        known = self.known
        added = sorted({plain_text(each) for each in sentences} - {"", *known})
        encoded = [text.encode() for text in added]
        rows = [each.ljust(SENTENCE_BYTES, b"\0") for each in encoded if len(each) <= SENTENCE_BYTES]
        for number, row in enumerate(rows[: KNOWN_SENTENCES - len(known)], start=len(known)):
            self.texts[number] = torch.frombuffer(bytearray(row), dtype=torch.uint8)

    def mentions(self, sentence: ParsedSentence) -> tuple[int, ...]:
        """Return the positions of mentions; swapped if the known sentence has the two names in the other order."""
        positions = [position for position in sentence.mentions if position >= 0]
        if len(positions) != 2:
            return sentence.mentions
        text, known = plain_text(sentence), self.match(sentence)[0]
        counts = [each.split().count(OBJECT_WORD) for each in (text, known)]
        if text == known or counts != [2, 2] or not is_reversed(text, known, OBJECT_WORD):
            return sentence.mentions
        return tuple(sum(positions) - position if position >= 0 else -1 for position in sentence.mentions)

    def match(self, sentence: ParsedSentence) -> tuple[str, float]:
        """Return the known sentence that is most similar to a sentence, and their similarity, at most 1."""
        text = plain_text(sentence)
        known = self.known
        if not text or not known or text in known:
            return text, 1.0
        names = text.split().count(OBJECT_WORD)
        candidates = [each for each in known if each.split().count(OBJECT_WORD) == names] or known
        number, similarity = most_similar(text, candidates)
        return candidates[number], similarity

    def inputs(self, sentences: Sequence[ParsedSentence]) -> torch.Tensor:
        """Return embeddings, shape (U, :data:`EMBEDDING`), whose numbers have a mean square of 1."""
        embeddings = embed([self.match(each)[0] for each in sentences])
        return embeddings * math.sqrt(EMBEDDING)

    def encode(
        self, inputs: torch.Tensor, sentences: torch.Tensor, mentions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return projected embeddings, and the order of each mention; see :class:`SentenceEncoder`."""
        is_earlier = (mentions[:, None] >= 0) & (mentions[:, None] < mentions[:, :, None])
        order = is_earlier.sum(dim=2).clamp(max=ORDERS - 1)
        return self.norm(self.project(inputs)), self.orders(order)


def plain_text(sentence: ParsedSentence) -> str:
    """Return the words of a sentence, with :data:`OBJECT_WORD` in place of each name."""
    return " ".join(OBJECT_WORD if word == NAME_MARK else word for word in sentence.words)


def make_sentence_encoder(name: SentenceEncoderName, width: int) -> SentenceEncoder:
    """Return a new encoder of sentences.

    Args:
        name: ``learned`` or ``minilm``.
        width: Numbers W in a token.
    """
    return FrozenSentences(width) if name == "minilm" else Sentences(width)
