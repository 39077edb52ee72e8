"""Policy server: an agent for clients of openpi's protocol, each with a memory of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import socket
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

import lam_envs
from agents.data.spaces import spaces_of
from agents.deployment.remote import PROTOCOL_VERSION
from agents.deployment.remote.agent import PROTOCOL
from agents.deployment.remote.identity import VERSION
from agents.deployment.remote.messages import pack, unpack
from agents.deployment.remote.names import ObservationNames
from agents.folders import (
    DESCRIPTION,
    EXPORTED_DESCRIPTION,
    EXPORTED_MODEL,
    MONITOR,
    MONITOR_FIGURE,
    is_exported,
    read_description,
)
from agents.types import Env, JsonObject, Memory
from demos.collection.recording import Policy

LOGGER = logging.getLogger(__name__)
MAX_OBSERVATION = 64 * 2**20
"""Largest message of a client, bytes: room for several camera images."""
HEALTH = "/healthz"
"""Path that answers a plain HTTP request, as openpi's server does."""
SHOWN_CHARACTERS = 120
"""Number of characters of an invalid message that an error shows."""


class PolicyServer:
    """Server of one agent. It computes for one client at a time.

    Args:
        agent: Agent, which acts deterministically.
        env: Environment that gives the spaces; it is not stepped.
        metadata: First message to each client.
        api_key: Key that clients need; None without.
        names: Names of the environment by their names in messages
            (:class:`agents.deployment.remote.names.ObservationNames`).

    Raises:
        ValueError: The names do not belong to the environment.
    """

    def __init__(
        self,
        agent: Policy,
        env: Env,
        metadata: JsonObject,
        *,
        api_key: str | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self._agent = agent
        self._names = ObservationNames(env.observation_space, names)
        self._metadata = metadata
        self._api_key = api_key

    def run(self, listening: socket.socket) -> None:
        """Serve clients until the program is interrupted.

        Args:
            listening: Socket that listens.
        """
        asyncio.run(self.serve(listening))

    async def serve(self, listening: socket.socket) -> None:
        """Serve clients until this is cancelled; see :meth:`run`."""
        async with serve(
            self._serve_client,
            sock=listening,
            compression=None,
            max_size=MAX_OBSERVATION,
            # Browsers name the page that connects: any page that a person opens could reach this machine.
            origins=[None],
            process_request=self._check_request,
            ping_interval=None,
        ):
            await asyncio.Future()

    def _check_request(self, client: ServerConnection, request: Request) -> Response | None:
        """Return the answer to a request that is no connection or lacks the key; None to go on."""
        if request.path == HEALTH:
            return client.respond(HTTPStatus.OK, "OK\n")
        if self._api_key is not None and not _has_key(request.headers, self._api_key):
            return client.respond(HTTPStatus.UNAUTHORIZED, "expected the header Authorization: Api-Key KEY\n")
        return None

    async def _serve_client(self, client: ServerConnection) -> None:
        memory: Memory = None
        starts = True
        with contextlib.suppress(ConnectionClosed):
            await client.send(pack(self._metadata))
            async for message in client:
                try:
                    answer, memory = self._answer(message, memory, starts)
                except Exception as error:  # A policy may raise anything, and the other clients go on.
                    LOGGER.warning("a client gets an error in place of an action", exc_info=True)
                    await client.send(f"{type(error).__name__}: {error}")
                    await client.close(CloseCode.INTERNAL_ERROR)
                    return
                starts = False
                await client.send(answer)

    def _answer(self, message: str | bytes, memory: Memory, starts: bool) -> tuple[bytes, Memory]:
        """Return the message with the action for an observation, as a chunk of one, and the next memory."""
        if isinstance(message, str):
            raise ValueError(f"the message is the text {message[:SHOWN_CHARACTERS]!r}; expected an observation")
        observation = self._names.from_message(unpack(message))
        began = time.perf_counter()
        action, memory = self._agent.predict(
            observation, state=memory, episode_start=np.array([starts]), deterministic=True
        )
        took = {"infer_ms": 1000.0 * (time.perf_counter() - began)}
        return pack({"actions": np.asarray(action)[None], "server_timing": took}), memory


def _has_key(headers: Headers, key: str) -> bool:
    given = headers.get_all("Authorization")
    return len(given) == 1 and hmac.compare_digest(given[0].encode(), f"Api-Key {key}".encode())


def metadata_of(directory: str | Path, env: Env) -> JsonObject:
    """Return the metadata of the server of a saved agent or an exported policy.

    Args:
        directory: Folder of the agent.
        env: Environment that it acts in.

    Raises:
        FileNotFoundError: There is neither.
        ValueError: A file is damaged.
    """
    checksum = hashlib.sha256(b"".join(path.read_bytes() for path in _agent_files(Path(directory)))).hexdigest()[:16]
    return {
        PROTOCOL: PROTOCOL_VERSION,
        "lam_envs": lam_envs.__version__,
        "agent": _name_of(Path(directory)),
        "environment": "" if env.spec is None else env.spec.id,
        VERSION: checksum,
        **spaces_of(env.observation_space, env.action_space),
    }


def _agent_files(folder: Path) -> list[Path]:
    """Return the files that an agent in a folder is loaded from, without others such as those of its monitor."""
    from agents.training.saving.storage import WEIGHTS  # late: it imports PyTorch

    names: tuple[str, ...] = (DESCRIPTION, WEIGHTS)
    if is_exported(str(folder)):
        names = (EXPORTED_DESCRIPTION, EXPORTED_MODEL)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if (folder / names[1]).is_file():
        return [path for path in files if path.name in names]
    # A third-party agent may read any other file.
    return [path for path in files if path.name not in (MONITOR, MONITOR_FIGURE)]


def _name_of(folder: Path) -> str:
    """Return the name of the agent that was saved or exported in a folder."""
    if is_exported(str(folder)):
        from agents.deployment.export.onnx_agent import read_exported  # late: it imports PyTorch

        return str(read_exported(folder).get("agent"))
    return str(read_description(folder).get("agent"))
