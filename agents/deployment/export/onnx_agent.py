"""Exported policy as an agent, run by onnxruntime."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from gymnasium import spaces

from agents.data.spaces import brief, parts_of
from agents.folders import EXPORTED_DESCRIPTION, EXPORTED_MODEL
from agents.imitation.lam.language import NAME_MARK, parse
from agents.policies.encoders.instructions import MAX_WORDS, PADDING, UNKNOWN, vocabulary_key
from agents.spec import AgentSpec
from agents.types import Array, Env, JsonObject, Memory, Observation, Start
from lam_envs.observation.instructions import INSTRUCTION_KEY, decode_instruction

MODEL = EXPORTED_MODEL
"""Name of the file of the model."""
DESCRIPTION = EXPORTED_DESCRIPTION
"""Name of the file that describes inputs and outputs."""
OBSERVATION = "observation"
"""Name of the input for observations that are one array."""
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
        ModuleNotFoundError: onnxruntime is not installed.
        ValueError: A file is damaged.

    Attributes:
        description: Content of ``model.json``.
    """

    def __init__(self, directory: str | Path) -> None:
        folder = Path(directory)
        self.description = read_exported(folder)
        options = onnxruntime().SessionOptions()
        # The networks are small: more threads cost more time than they save.
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime().InferenceSession(
                folder / MODEL, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has exceptions of its own for each way in which a model is invalid
            raise ValueError(f"{folder / MODEL} is damaged: {error}") from error
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
        numbers = [known.get(vocabulary_key(word), UNKNOWN) for word in parse(text, self._names()).words]
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


def read_exported(directory: str | Path) -> JsonObject:
    """Read ``model.json`` of an exported policy.

    Raises:
        FileNotFoundError: There is no exported policy.
        ValueError: The file is damaged.
    """
    folder = Path(directory)
    for name in (MODEL, DESCRIPTION):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"no exported policy in {folder}: there is no {name}")
    path = folder / DESCRIPTION
    try:
        description: JsonObject = json.loads(path.read_text())
        for port in (*description["inputs"], *description["outputs"]):
            _ = port["name"], port["role"], _kind(port)
        _ = description["outputs"][0], description["dict_observations"]
        check_keywords(description.get("keywords"))
        held, given = (
            [_kind(port) for port in description[side] if port["role"] == "memory"] for side in ("inputs", "outputs")
        )
        if held != given:
            raise ValueError(f"the memory goes in as {held} and comes out as {given}")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error!r}; export the agent again") from error
    return description


def check_keywords(keywords: object) -> None:
    """Check the recorded keywords of an environment: Python literals as text, by name.

    Raises:
        ValueError: They are something else.
    """
    if keywords is not None and not (
        isinstance(keywords, dict) and all(isinstance(v, str) for v in keywords.values())
    ):
        raise ValueError(f"keywords is {brief(str(keywords))}; expected text by name, such as {{'instruct': 'True'}}")


def check_fits(description: JsonObject, env: Env) -> None:
    """Check that an exported policy is one for the observations and actions of an environment.

    Args:
        description: Result of :func:`read_exported`.
        env: Environment to act in.

    Raises:
        ValueError: It is one for other observations or actions.
    """
    is_dict = isinstance(env.observation_space, spaces.Dict)
    parts = {name or OBSERVATION: part for name, part in parts_of(env.observation_space).items()}
    expected = {
        port["name"]: port for port in description["inputs"] if port["role"] in ("observation", "instruction")
    }
    fits = is_dict == description["dict_observations"] and all(
        name in parts and (port["role"] == "instruction" or (parts[name].shape, parts[name].dtype) == _kind(port))
        for name, port in expected.items()
    )
    if not fits:
        needed = ", ".join(
            f"{name} of shape {_kind(port)[0]} and type {port['dtype']}" for name, port in expected.items()
        )
        raise ValueError(
            f"the exported policy sees {needed}; this environment has the observation space "
            f"{brief(str(env.observation_space))}{_origin(description)}"
        )
    actions, output = env.action_space, description["outputs"][0]
    is_discrete = output["dtype"] == "int64"
    if isinstance(actions, spaces.Box) == is_discrete or tuple(output["shape"]) != (actions.shape or ()):
        raise ValueError(
            f"the exported policy gives actions of shape {tuple(output['shape'])} and type {output['dtype']}; this "
            f"environment has the action space {actions}{_origin(description)}"
        )
    # Exports of earlier versions record no spaces.
    recorded = description.get("action_space", str(actions))
    if recorded != str(actions):
        raise ValueError(
            f"the exported policy was trained with the action space {brief(str(recorded))}; this environment has "
            f"{brief(str(actions))}: use an environment with the action space of the training, or export an agent "
            f"trained for this one{_origin(description)}"
        )


def _kind(port: JsonObject) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of an input."""
    return tuple(port["shape"]), np.dtype(port["dtype"])


def _origin(description: JsonObject) -> str:
    """Return the sentence that names the environment of the training; empty if it is not recorded."""
    if not description.get("environment"):
        return ""
    keywords = (f"{name}={value}" for name, value in (description.get("keywords") or {}).items())
    return f". Make the environment of its training ({' '.join([str(description['environment']), *keywords])})"


def exported_agent(directory: str | Path, env: Env) -> OnnxAgent:
    """Return the agent of an exported policy for an environment.

    Args:
        directory: Folder of the exported policy.
        env: Environment to act in.

    Raises:
        FileNotFoundError: There is no exported policy.
        ModuleNotFoundError: onnxruntime is not installed.
        ValueError: A file is damaged, or the policy is one for other observations or actions.
    """
    check_fits(read_exported(directory), env)
    return OnnxAgent(directory)


def exported_spec(directory: str | Path) -> AgentSpec:
    """Return the spec of an exported policy.

    Args:
        directory: Folder of the exported policy.

    Raises:
        FileNotFoundError: There is no exported policy.
        ValueError: ``model.json`` is damaged.
    """
    read_exported(directory)
    return AgentSpec("onnx", needs_demonstrations=False, make=partial(exported_agent, directory))
