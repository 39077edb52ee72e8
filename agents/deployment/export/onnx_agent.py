"""Exported policy as an agent, run by onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from agents.imitation.lam.language import NAME_MARK, parse
from agents.policies.encoders.instructions import MAX_WORDS, PADDING, UNKNOWN
from agents.types import Array, JsonObject, Memory, Observation, Start
from lam_envs.observation.instructions import INSTRUCTION_KEY, decode_instruction

MODEL = "model.onnx"
"""Name of the file of the model."""
DESCRIPTION = "model.json"
"""Name of the file that describes inputs and outputs."""
INSTALL = "pip install 'lam-envs[export]'"
"""Command that installs what exports need."""


def onnxruntime() -> ModuleType:
    """Return the module onnxruntime.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    try:
        import onnxruntime as module  # late: an optional package
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"exports need onnxruntime, which is not installed: {INSTALL}") from error
    found: ModuleType = module
    return found


class OnnxAgent:
    """Agent that acts by an exported policy, for one environment.

    Args:
        directory: Folder that :func:`agents.deployment.export.exporting.export` wrote.

    Raises:
        FileNotFoundError: There is no exported policy.

    Attributes:
        description: Content of ``model.json``.
    """

    def __init__(self, directory: str | Path) -> None:
        folder = Path(directory)
        if not (folder / MODEL).is_file():
            raise FileNotFoundError(f"no exported policy in {folder}: there is no {MODEL}")
        self.description: JsonObject = json.loads((folder / DESCRIPTION).read_text())
        options = onnxruntime().SessionOptions()
        # The networks are small: more threads cost more time than they save.
        options.intra_op_num_threads = 1
        self._session = onnxruntime().InferenceSession(folder / MODEL, options, providers=["CPUExecutionProvider"])
        self._inputs: list[JsonObject] = self.description["inputs"]
        self._outputs: list[str] = [each["name"] for each in self.description["outputs"]]

    def predict(
        self,
        observation: Observation,
        state: Memory = None,
        episode_start: Start = None,
        deterministic: bool = False,
        *,
        noise: Array | None = None,
    ) -> tuple[Array, Memory]:
        """Return the most likely action for one observation, and the memory.

        Args:
            observation: Observation of one environment, without a batch axis.
            state: Memory of the last call; None at the start of an episode.
            episode_start: True if an episode starts.
            deterministic: Not used: without noise, the action is the most likely one.
            noise: Noise of a generative policy; zeros by default.
        """
        begins = state is None or (episode_start is not None and bool(np.all(episode_start)))
        feed: dict[str, Any] = {}
        for port in self._inputs:
            name, role = port["name"], port["role"]
            if role == "observation":
                feed[name] = np.asarray(observation[name] if isinstance(observation, dict) else observation)
            elif role == "instruction":
                feed[name] = self._words(decode_instruction(observation[name]))
            elif role == "mentions":
                feed[name] = self._mentions(decode_instruction(observation[INSTRUCTION_KEY]))
            elif role == "noise" and noise is not None:
                feed[name] = noise
            elif role == "memory" and not begins:
                feed[name] = state[name]
            else:
                feed[name] = np.zeros(port["shape"], port["dtype"])
        action, *memory = self._session.run(self._outputs, feed)
        names = [port["name"] for port in self._inputs if port["role"] == "memory"]
        return action, dict(zip(names, memory, strict=True))

    def _words(self, text: str) -> Array:
        """Return the numbers of the words of an instruction, shape (MAX_WORDS,)."""
        known = {NAME_MARK: self.description.get("placeholder", UNKNOWN), **self.description["vocabulary"]}
        numbers = [known.get(word, UNKNOWN) for word in parse(text, self._names()).words]
        return np.array(numbers + [PADDING] * (MAX_WORDS - len(numbers)), dtype=np.int64)

    def _mentions(self, text: str) -> Array:
        """Return the position of the first mention of each entity among the words, shape (entities,)."""
        return np.array(parse(text, self._names()).mentions, dtype=np.int64)

    def _names(self) -> list[str | None]:
        """Return the name of the entity in each row of ``mentions``; empty without this input."""
        rows: list[str | None] = []
        for port in (port for port in self._inputs if port["role"] == "mentions"):
            rows += [None] * port["shape"][0]
            for name, row in self.description["names"].items():
                rows[row] = name.replace(" ", "_")
        return rows
