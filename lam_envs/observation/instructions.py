"""Instructions: templates of a task's sentences, and their encoding as bytes in observations and states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

Command = tuple[int, ...]
"""Request of an episode, such as a verb and an object, as numbers whose meaning the task defines."""
Split = Literal["train", "held-out", "known-words"]
SPLITS: tuple[Split, ...] = ("train", "held-out", "known-words")
"""Paraphrases for training, and others for measuring generalization: to unknown words, and to other wording."""

INSTRUCTION_KEY = "instruction"
"""Key of the encoded instruction in observations and infos."""
STATE_KEY = "state"
"""Key of the vector of features in observations with an instruction."""
MAX_BYTES = 128
"""Largest length of an instruction, bytes of UTF-8."""
BYTE_PAIRS = MAX_BYTES // 2
"""Numbers of an instruction in a state vector: two bytes each."""


@dataclass(frozen=True)
class Instructions:
    """Sentences that ask for the same.

    Attributes:
        train: Paraphrases for training.
        held_out: Paraphrases for evaluation, with words that no paraphrase for training has.
        known_words: Other paraphrases for evaluation, of words that those for training have; empty in most tasks.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    known_words: tuple[str, ...] = ()

    def split(self, name: Split) -> tuple[str, ...]:
        """Return the paraphrases of a split."""
        return {"train": self.train, "held-out": self.held_out, "known-words": self.known_words}[name]

    def fill(self, **words: str) -> Instructions:
        """Return instructions with words in place of ``{name}`` in templates."""
        splits = (self.train, self.held_out, self.known_words)
        return Instructions(*(tuple(text.format(**words) for text in texts) for texts in splits))


def with_instruction(space: spaces.Space[Any]) -> spaces.Dict:
    """Return an observation space with encoded instructions; a vector becomes the entry ``state``.

    A ``Text`` space would be natural, and Stable-Baselines3, Minari and several trainers refuse it.
    """
    parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {STATE_KEY: space}
    return spaces.Dict({**parts, INSTRUCTION_KEY: spaces.Box(0, 255, (MAX_BYTES,), dtype=np.uint8)})


def encode_instruction(text: str) -> npt.NDArray[np.uint8]:
    """Encode an instruction as UTF-8, padded with zeros.

    Returns:
        uint8, shape (128,).

    Raises:
        ValueError: The text is too long, is empty, or contains a zero or a part of a character.
    """
    return np.frombuffer(_padded(text), dtype=np.uint8).copy()


@lru_cache(maxsize=64)
def _padded(text: str) -> bytes:
    return check_instruction("the instruction", text).encode().ljust(MAX_BYTES, b"\0")


def decode_instruction(encoded: npt.ArrayLike) -> str:
    """Return the text of an encoded instruction, such as ``observation["instruction"]``.

    Args:
        encoded: uint8, shape (128,); integers of other types are converted.

    Raises:
        ValueError: The bytes are not UTF-8 that is padded with zeros.
    """
    numbers = np.asarray(encoded)
    if numbers.ndim != 1 or not np.isin(numbers, np.arange(256)).all():
        raise ValueError(f"the instruction has shape {numbers.shape} and type {numbers.dtype}; expected bytes, 1-D")
    content = numbers.astype(np.uint8).tobytes().rstrip(b"\0")
    if b"\0" in content:
        raise ValueError("the bytes of the instruction have a zero before their end; expected padding with zeros")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"the bytes of the instruction are not UTF-8: {error}") from None


def check_instruction(what: str, text: object) -> str:
    """Check that a value can be an instruction, and return it.

    Args:
        what: Name of the value in errors.
        text: The value.

    Raises:
        ValueError: It is not a text of 1 to 128 bytes without control characters.
    """
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        raise ValueError(f"{what} is {text!r}; expected a text that is not empty and has no control characters")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} is {text!r}, which UTF-8 cannot encode: {error.reason}") from None
    if size > MAX_BYTES:
        raise ValueError(f"{what} has {size} bytes; expected at most {MAX_BYTES}: {text!r}")
    return text


def normalize_instruction(text: str) -> str:
    """Return a sentence for comparisons: without case, surrounding white space, and final ``.`` and ``!``."""
    return text.rstrip(".! \t\n").strip().casefold()


def instruction_to_numbers(text: str) -> list[float]:
    """Return an instruction as numbers of a state vector, two bytes each, shape (64,)."""
    pairs: list[float] = encode_instruction(text).view("<u2").astype(np.float64).tolist()
    return pairs


def instruction_from_numbers(numbers: Sequence[float]) -> str:
    """Invert :func:`instruction_to_numbers`.

    Raises:
        ValueError: The numbers are not those of an instruction.
    """
    pairs = np.asarray(numbers, dtype=np.float64)
    if not ((pairs >= 0) & (pairs < 1 << 16) & (pairs == np.floor(pairs))).all():
        raise ValueError("the instruction in the state is not made of pairs of bytes")
    return check_instruction("the instruction in the state", decode_instruction(pairs.astype("<u2").view(np.uint8)))
