"""Encoder of instructions: bytes of UTF-8 become words, and the words of a sentence one token."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from agents.types import Space
from lam_envs.observation.instructions import INSTRUCTION_KEY

MAX_WORDS = 24
"""Words of a sentence that count; the others are left out."""
VOCABULARY = 512
"""Largest number of known words. A saved agent is a third party's file: what it may ask for is bounded."""
WORD_BYTES = 24
"""Bytes of a word that count."""
PADDING, UNKNOWN, FIRST = 0, 1, 2
"""Numbers of no word, of an unknown word, and of the first known word."""
UNKNOWN_SHARE = 0.05
"""Share of the words that a training replaces by the unknown word, so that it has a meaning."""


def refuse_instruction(space: Space) -> None:
    """Check that observations have no instruction, for networks that read none.

    Raises:
        ValueError: They have one.
    """
    if isinstance(space, spaces.Dict) and INSTRUCTION_KEY in space.spaces:
        raise ValueError(
            "observations have an instruction, which this agent cannot read: use agent lam, act, bc-rnn or "
            "diffusion, or make the environment with instruct=False"
        )


def words_of(text: str) -> list[str]:
    """Return the words of a sentence in lower case, without punctuation."""
    return re.findall(r"\w+", text.lower())


class Vocabulary(nn.Module):
    """Known words, saved with the weights.

    Attributes:
        words: Bytes of each word, padded with zeros, shape (:data:`VOCABULARY`, :data:`WORD_BYTES`).
    """

    words: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("words", torch.zeros(VOCABULARY, WORD_BYTES, dtype=torch.uint8))
        self._numbers: dict[bytes, int] | None = None
        self._sentences: dict[bytes, list[int]] = {}
        self.register_load_state_dict_post_hook(lambda module, _: module.reset())  # type: ignore[no-untyped-call]

    def fit(self, sentences: Iterable[str]) -> None:
        """Know the words of sentences alone, the most frequent ones if there are too many."""
        self.words.zero_()
        self.reset()
        self.extend(sentences)

    def extend(self, sentences: Iterable[str]) -> None:
        """Also know the words of sentences; known words keep their numbers."""
        known = self._known()
        counts = Counter(_bytes(word) for text in sentences for word in words_of(text))
        ranked = sorted(counts.keys() - known.keys(), key=lambda word: (-counts[word], word))
        padded = [np.frombuffer(word.ljust(WORD_BYTES, b"\0"), dtype=np.uint8) for word in ranked]
        added = padded[: VOCABULARY - len(known)]
        if added:
            self.words[len(known) : len(known) + len(added)] = torch.from_numpy(np.stack(added)).to(self.words.device)
        self.reset()

    def reset(self) -> None:
        """Forget what was looked up in other words."""
        self._numbers, self._sentences = None, {}

    @property
    def numbers(self) -> dict[str, int]:
        """Number of each known word, by :func:`vocabulary_key`."""
        return {word.decode(errors="replace"): number for word, number in self._known().items()}

    def number_of(self, word: str) -> int:
        """Return the number of a word; :data:`UNKNOWN` for one that is not known."""
        return self._known().get(_bytes(word), UNKNOWN)

    def unknown(self, text: str) -> list[str]:
        """Return the words of a sentence that are not known, in their order."""
        return [word for word in words_of(text) if _bytes(word) not in self._known()]

    def forward(self, encoded: torch.Tensor) -> torch.Tensor:
        """Return numbers of words, shape (N, :data:`MAX_WORDS`), for instructions of shape (N, bytes)."""
        rows = [self._sentence(row.tobytes()) for row in encoded.cpu().numpy()]
        return torch.tensor(rows, device=self.words.device)

    def _sentence(self, encoded: bytes) -> list[int]:
        if encoded not in self._sentences:
            text = encoded.rstrip(b"\0").decode(errors="replace")
            numbers = [self.number_of(word) for word in words_of(text)][:MAX_WORDS]
            if len(self._sentences) >= VOCABULARY:
                self._sentences.clear()
            self._sentences[encoded] = numbers + [PADDING] * (MAX_WORDS - len(numbers))
        return self._sentences[encoded]

    def _known(self) -> dict[bytes, int]:
        if self._numbers is None:
            rows = (row.tobytes().rstrip(b"\0") for row in self.words.cpu().numpy())
            self._numbers = {word: number for number, word in enumerate(rows, start=FIRST) if word}
        return self._numbers


def _bytes(word: str) -> bytes:
    return word.encode()[:WORD_BYTES]


def vocabulary_key(word: str) -> str:
    """Return the key of a word in :attr:`Vocabulary.numbers`: its first WORD_BYTES bytes as text."""
    return _bytes(word).decode(errors="replace")


class InstructionEncoder(nn.Module):
    """Encoder of an instruction as one token: learned words, which see each other by attention, and their mean.

    Args:
        width: Numbers W in a token.
    """

    tokens = 1

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vocabulary = Vocabulary()
        self.embedding = nn.Embedding(FIRST + VOCABULARY, width, padding_idx=PADDING)
        self.positions = nn.Parameter(0.02 * torch.randn(MAX_WORDS, width))
        self.queries, self.keys, self.values = (nn.Linear(width, width) for _ in range(3))
        self.layer = nn.Linear(width, width)

    def forward(self, encoded: torch.Tensor) -> torch.Tensor:
        """Return tokens of shape (N, H, 1, W) for instructions of shape (N, H, bytes).

        The instruction at the last step counts.
        """
        numbers = self.vocabulary(encoded[:, -1])
        if self.training:
            dropped = torch.rand(numbers.shape, device=numbers.device) < UNKNOWN_SHARE
            numbers = torch.where(dropped & (numbers != PADDING), UNKNOWN, numbers)
        # An empty sentence counts as an unknown word.
        numbers[:, 0] = numbers[:, 0].clamp(min=UNKNOWN)
        is_word = numbers != PADDING
        words = self.embedding(numbers) + self.positions
        seen = nn.functional.scaled_dot_product_attention(
            self.queries(words), self.keys(words), self.values(words), attn_mask=is_word[:, None]
        )
        weights = is_word[:, :, None] / is_word.sum(dim=1)[:, None, None]
        tokens: torch.Tensor = self.layer(((words + seen) * weights).sum(dim=1))
        return tokens[:, None, None].expand(-1, encoded.shape[1], -1, -1)
