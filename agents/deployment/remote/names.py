"""Names of observations in messages: what an environment calls ``front``, a server may call ``observation/image``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from agents.data.spaces import parts_of
from agents.types import Array, JsonObject, Observation, Space
from lam_envs.observation.instructions import INSTRUCTION_KEY, STATE_KEY, decode_instruction, encode_instruction

PROMPT = "prompt"
"""Usual name of the instruction in messages."""
PREFIX = "observation/"
"""Prefix of the usual names of states and images in messages."""


def read_names(names: str | Path | Mapping[str, str]) -> dict[str, str]:
    """Return the names of an environment by their names in messages.

    Args:
        names: The names, or the path of a YAML file with them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: They are not a mapping of texts to texts.
    """
    content: Any = names
    if isinstance(names, str | Path):
        if not Path(names).is_file():
            raise FileNotFoundError(
                f"there is no file of names {names}; expected YAML such as observation/image: front"
            )
        try:
            content = yaml.safe_load(Path(names).read_text())
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{names} is not YAML: {error}") from error
    is_mapping = isinstance(content, Mapping) and content
    if not is_mapping or not all(isinstance(text, str) for pair in content.items() for text in pair):
        raise ValueError(
            f"names are {content!r}; expected the environment's name for each name in messages, such as "
            "observation/image: front"
        )
    return dict(content)


class ObservationNames:
    """Conversion of observations of one space to messages and back.

    Args:
        space: Space of the observations: a Box, or a Dict of such.
        names: Names of the environment by their names in messages (:func:`read_names`). ``state`` is an observation
            that is one array, ``instruction`` the instruction as text. None for ``observation/NAME`` and ``prompt``.

    Raises:
        ValueError: The space has no observation of a name.
    """

    def __init__(self, space: Space, names: Mapping[str, str] | None = None) -> None:
        self._parts = {name or STATE_KEY: part for name, part in parts_of(space).items()}
        self._is_dict = "" not in parts_of(space)
        plain = [name for name in self._parts if name != INSTRUCTION_KEY]
        self.names = {**{PREFIX + name: name for name in plain}, PROMPT: INSTRUCTION_KEY}
        self.must_instruct = names is not None and INSTRUCTION_KEY in names.values()
        if names is not None:
            self.names = dict(names)
        unknown = [name for name in self.names.values() if name not in (*plain, INSTRUCTION_KEY)]
        if unknown:
            raise ValueError(
                f"there is no observation {unknown[0]!r} in this environment; expected one of "
                f"{', '.join((*plain, INSTRUCTION_KEY))}"
            )

    def to_message(self, observation: Observation, instruction: str | None) -> JsonObject:
        """Return an observation as the content of a message.

        Args:
            observation: Observation of the space.
            instruction: Instruction of the episode, for observations without one; None without.

        Raises:
            ValueError: The names contain the instruction, and the environment has none.
        """
        parts: dict[str, Any] = observation if isinstance(observation, dict) else {STATE_KEY: observation}
        text = decode_instruction(parts[INSTRUCTION_KEY]) if INSTRUCTION_KEY in parts else instruction
        if text is None and self.must_instruct:
            raise ValueError("names contain the instruction, and this environment has none: remove it from the names")
        content: JsonObject = {}
        for sent, name in self.names.items():
            if name != INSTRUCTION_KEY:
                content[sent] = np.asarray(parts[name])
            elif text is not None:
                content[sent] = text
        return content

    def from_message(self, content: object) -> Observation:
        """Return the observation in the content of a message; entries without a name here are not used.

        Numbers of another precision are converted, as Python programs send 64 bits.

        Raises:
            ValueError: An entry is missing, has another shape or kind of numbers, or has a number that is NaN or that
                the type of the observation cannot hold.
        """
        if not isinstance(content, dict):
            raise ValueError(f"the observation is a {type(content).__name__}; expected a map by name")
        parts: dict[str, Any] = {}
        for sent, name in self.names.items():
            if name not in self._parts:
                continue
            if sent not in content:
                raise ValueError(
                    f"the observation lacks {sent!r}; it has {', '.join(map(str, content)) or 'nothing'}"
                )
            part, value = self._parts[name], content[sent]
            if name == INSTRUCTION_KEY:
                parts[name] = encode_instruction(value)
                continue
            array = np.asarray(value)
            if array.shape != part.shape or array.dtype.kind != part.dtype.kind:
                raise ValueError(
                    f"{sent!r} has shape {array.shape} and type {array.dtype}; expected {part.shape} and {part.dtype}"
                )
            parts[name] = _converted(sent, array, part.dtype)
        missing = [name for name in self._parts if name not in parts]
        if missing:
            raise ValueError(f"the names have none for the observation {missing[0]!r}, which the policy needs")
        return parts if self._is_dict else parts[STATE_KEY]


def _converted(sent: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """Return an array of another precision, with the same numbers.

    Args:
        sent: Name in messages.
        array: Array.
        dtype: Type of the same kind.

    Raises:
        ValueError: A number is NaN, or the type cannot hold it.
    """
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            converted = array.astype(dtype, copy=False)
        is_wrong, exception = np.isnan(array) | (np.isinf(converted) & np.isfinite(array)), ", without NaN"
    else:
        converted = array.astype(dtype, copy=False)
        is_wrong, exception = converted != array, ""
    if is_wrong.any():
        raise ValueError(
            f"{sent!r} has the value {array[is_wrong].flat[0]}; expected values that {dtype} can represent"
            f"{exception}: correct the observation that you send"
        )
    return converted
