"""Remote policy as an agent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
from gymnasium import spaces

from agents.data.spaces import brief, spaces_of
from agents.deployment.remote import API_KEY, PROTOCOL_VERSION
from agents.deployment.remote.connection import Connection, check_address
from agents.deployment.remote.messages import ArrayForm, pack, unpack
from agents.deployment.remote.names import ObservationNames, read_names
from agents.spec import AgentSpec
from agents.types import Action, Array, Env, JsonObject, Memory, Observation, Start

SECONDS = 60.0
"""Default limit to the wall time of an answer. The first one of a large model may take long."""
PROTOCOL = "lam_envs_protocol"
"""Entry of the metadata with the version of what our server adds to the protocol."""


class RemoteAgent:
    """Agent that asks a policy server for its actions.

    It connects at the start of each episode, so that the server begins with an empty memory. One agent acts in one
    episode at a time.

    Args:
        address: Address of the server, such as ``ws://127.0.0.1:8000``. The environment variable ``LAM_ENVS_API_KEY``
            holds the key that it requires.
        env: Environment to act in.
        names: Names of the environment by their names in messages, or the path of a YAML file with them
            (:class:`agents.deployment.remote.names.ObservationNames`).
        executed: Number of actions of a chunk that are executed before the next is asked for; None for all.
        seconds: Wall time for connecting, and for each answer.
        arrays: Form of arrays in messages: ``openpi`` or ``msgpack-numpy``.

    Raises:
        FileNotFoundError: There is no such file of names.
        ValueError: An invalid address or setting, or an environment whose actions are neither Box nor Discrete.
    """

    spec = AgentSpec("remote", needs_demonstrations=False, has_external_state=True)

    def __init__(
        self,
        address: str,
        env: Env,
        *,
        names: str | Path | Mapping[str, str] | None = None,
        executed: int | None = None,
        seconds: float = SECONDS,
        arrays: ArrayForm = "openpi",
    ) -> None:
        if executed is not None and not (type(executed) is int and executed >= 1):
            raise ValueError(f"executed is {executed!r}; expected a whole number of at least 1, or None for all")
        if not (isinstance(seconds, int | float) and np.isfinite(seconds) and seconds > 0):
            raise ValueError(f"seconds is {seconds!r}; expected a number above 0")
        if arrays not in get_args(ArrayForm):
            raise ValueError(f"arrays is {arrays!r}; expected one of {', '.join(get_args(ArrayForm))}")
        if not isinstance(env.action_space, spaces.Box | spaces.Discrete):
            raise ValueError(f"this environment has actions {env.action_space}; expected Box or Discrete")
        self._address = check_address(address)
        self._env = env
        self._names = ObservationNames(env.observation_space, None if names is None else read_names(names))
        self._is_renamed = names is not None
        self._executed, self._seconds, self._arrays = executed, float(seconds), arrays
        self._connection: Connection | None = None
        self._first_message: bytes | None = None

    def predict(
        self, observation: Observation, state: Memory = None, episode_start: Start = None, deterministic: bool = False
    ) -> tuple[Action, Memory]:
        """Return an action.

        Args:
            observation: Observation of one environment, without a batch dimension.
            state: Actions of the last chunk that are left; None at the start of an episode.
            episode_start: Array of shape (1,): True if the observation is that of a reset.
            deterministic: Not used: the server decides.

        Raises:
            ConnectionError: The server cannot be reached, or breaks off.
            PermissionError: The server refuses the key.
            RuntimeError: The server reports an error.
            TimeoutError: The server takes too long.
            ValueError: The server sent something else than actions of this environment, or its policy changed.
        """
        begins = state is None or (episode_start is not None and bool(np.all(episode_start)))
        if begins:
            self._connection = self._connect()
        if not begins and len(state):
            return state[0], state[1:]
        if self._connection is None:
            raise ConnectionError(
                f"the connection to the policy server at {self._address} was lost in this episode: begin another one"
            )
        try:
            chunk: Array = self._ask(self._connection, observation)
        except BaseException:
            # The answer may still come, and would be taken for that to the next observation.
            self.close()
            raise
        return chunk[0], chunk[1:]

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _connect(self) -> Connection:
        self.close()
        connection = Connection(self._address, self._seconds, os.environ.get(API_KEY))
        try:
            self._check_metadata(connection.metadata)
            if self._first_message not in (None, connection.first_message):
                raise ValueError(
                    f"the policy server at {self._address} has other metadata than in the last episode: an "
                    "evaluation needs one policy. Evaluate again"
                )
        except ValueError:
            connection.close()
            raise
        self._first_message = connection.first_message
        return connection

    def _check_metadata(self, metadata: JsonObject) -> None:
        """Check that a policy that our server offers is one for this environment."""
        version = metadata.get(PROTOCOL)
        if version is None:
            return
        server = f"the policy server at {self._address}"
        if version != PROTOCOL_VERSION:
            raise ValueError(
                f"{server} has version {version!r} of the protocol; expected {PROTOCOL_VERSION}: install the same "
                "version of lam-envs on both sides"
            )
        own = spaces_of(self._env.observation_space, self._env.action_space)
        for kind in own if not self._is_renamed else ("action_space",):
            if metadata.get(kind) != own[kind]:
                raise ValueError(
                    f"{server} has a policy for {kind.replace('_', ' ')} {brief(str(metadata.get(kind)))}; this "
                    f"environment has {brief(own[kind])}"
                )

    def _ask(self, connection: Connection, observation: Observation) -> Array:
        """Return the next actions to execute, shape (N, ...)."""
        instruction = getattr(self._env.unwrapped, "instruction", None)
        message = pack(self._names.to_message(observation, instruction), self._arrays)
        answer = connection.ask(message)
        try:
            return read_actions(unpack(answer), self._env.action_space)[: self._executed]
        except ValueError as error:
            raise ValueError(f"the policy server at {self._address} sent no valid actions: {error}") from error


def read_actions(answer: object, space: spaces.Space[Any]) -> Array:
    """Return the actions of an answer, shape (N, ...), in the type that the server chose.

    Args:
        answer: Content of a message.
        space: Space of one action: a Box or Discrete.

    Raises:
        ValueError: There are no actions, or they have another shape or kind of numbers, or are not finite.
    """
    actions = answer.get("actions") if isinstance(answer, dict) else None
    if actions is None:
        given = f"a map with {', '.join(map(str, answer))}" if isinstance(answer, dict) else type(answer).__name__
        raise ValueError(f"the answer is {given}; expected a map with 'actions'")
    shape = space.shape or ()
    kinds = "f" if isinstance(space, spaces.Box) and space.dtype.kind == "f" else "iu"
    if not isinstance(actions, np.ndarray | np.generic) or actions.dtype.kind not in kinds:
        found = actions.dtype if isinstance(actions, np.ndarray | np.generic) else type(actions).__name__
        expected = "floating-point numbers" if kinds == "f" else "whole numbers"
        raise ValueError(f"'actions' has type {found}; expected an array of {expected}")
    chunk = np.asarray(actions)
    chunk = chunk[None] if chunk.shape == shape else chunk
    if chunk.shape[1:] != shape or len(chunk) == 0:
        several = f"(N, {', '.join(map(str, shape))})" if shape else "(N,)"
        raise ValueError(f"'actions' has shape {actions.shape}; expected {shape}, or {several} for N actions")
    if not np.isfinite(chunk).all():
        raise ValueError(f"'actions' has values that are not finite: {chunk[~np.isfinite(chunk)][0]}")
    if isinstance(space, spaces.Discrete):
        outside = (chunk < space.start) | (chunk >= space.start + space.n)
        if outside.any():
            raise ValueError(f"'actions' has {chunk[outside][0]}; expected numbers of {space}")
    return chunk


def remote_spec(address: str) -> AgentSpec:
    """Return the spec of the policy at an address.

    Args:
        address: Address of its server, such as ``ws://127.0.0.1:8000``.

    Raises:
        ValueError: An invalid address.
    """
    return replace(RemoteAgent.spec, make=partial(RemoteAgent, check_address(address)))
