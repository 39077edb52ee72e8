"""Connection to a policy server, with a limit to the time of each exchange."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import CloseCode

from agents.deployment.remote import API_KEY
from agents.deployment.remote.messages import unpack
from agents.types import JsonObject

MAX_ANSWER = 16 * 2**20
"""Largest message of a server, bytes: actions and metadata are far smaller."""
CLOSING_SECONDS = 1.0
"""Wall time that closing a connection may take."""
SHOWN_CHARACTERS = 800
"""Number of characters of a server's error that are shown, from its end."""
UNAUTHORIZED = (401, 403)

Result = TypeVar("Result")


def check_address(address: str) -> str:
    """Return the address of a policy server.

    Raises:
        ValueError: It is not ``ws://host:port`` or ``wss://host:port``, or holds a password.
    """
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("ws", "wss") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"invalid address {address!r} of a policy server; expected one such as ws://127.0.0.1:8000")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"the address of a policy server is stored in results: give a key by {API_KEY} instead")
    return address


class Connection:
    """Connection to a policy server.

    A thread of its own waits for the network, so that one limit holds for all of an exchange, also where a caller
    runs an event loop itself (a notebook).

    Args:
        address: Address of the server, such as ``ws://127.0.0.1:8000``.
        seconds: Wall time for connecting, and for each exchange.
        api_key: Key that the server requires; None without.

    Raises:
        ConnectionError: The server cannot be reached, or breaks off.
        PermissionError: The server refuses the key.
        TimeoutError: The server takes too long.
        ValueError: The metadata are no map.

    Attributes:
        metadata: Metadata of the server.
        first_message: The message with the metadata.
    """

    def __init__(self, address: str, seconds: float, api_key: str | None = None) -> None:
        self._address = address
        self._seconds = seconds
        self._socket: ClientConnection | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"connection to {address}", daemon=True)
        self._thread.start()
        try:
            self.first_message = self._wait("its metadata", self._open(api_key))
            content = unpack(self.first_message)
            if not isinstance(content, dict):
                raise ValueError(f"its metadata are {content!r}; expected a map")
        except ValueError as error:
            self.close()
            raise ValueError(f"the policy server at {address} sent no metadata: {error}") from error
        except BaseException:
            self.close()
            raise
        self.metadata: JsonObject = content

    def ask(self, message: bytes) -> bytes:
        """Send a message and return the answer.

        Raises:
            ConnectionError: The server breaks off.
            RuntimeError: The server reports an error.
            TimeoutError: The server takes too long.
        """
        return self._wait("an action", self._exchange(message))

    def close(self) -> None:
        """Close the connection."""
        if self._loop.is_closed():
            return
        if self._socket is not None:
            closing = asyncio.run_coroutine_threadsafe(self._socket.close(), self._loop)
            # A server that does not answer must not hold up the caller.
            with contextlib.suppress(Exception):
                closing.result(CLOSING_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self, api_key: str | None) -> bytes:
        headers = None if api_key is None else {"Authorization": f"Api-Key {api_key}"}
        self._socket = await connect(
            self._address,
            additional_headers=headers,
            compression=None,
            proxy=None,
            open_timeout=None,
            close_timeout=CLOSING_SECONDS,
            max_size=MAX_ANSWER,
            # A server that computes does not answer pings; the limit of the exchange finds one that hangs.
            ping_interval=None,
        )
        return await self._receive(self._socket)

    async def _exchange(self, message: bytes) -> bytes:
        assert self._socket is not None  # noqa: S101  (set when the connection was opened)
        await self._socket.send(message)
        return await self._receive(self._socket)

    async def _receive(self, socket: ClientConnection) -> bytes:
        answer = await socket.recv()
        if isinstance(answer, str):
            raise RuntimeError(f"the policy server at {self._address} reports: {answer.strip()[-SHOWN_CHARACTERS:]}")
        return answer

    def _wait(self, awaited: str, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(self._limited(awaited, work), self._loop).result()

    async def _limited(self, awaited: str, work: Coroutine[Any, Any, Result]) -> Result:
        server = f"the policy server at {self._address}"
        try:
            return await asyncio.wait_for(work, self._seconds)
        except asyncio.TimeoutError:
            raise TimeoutError(
                f"{server} did not send {awaited} within {self._seconds:g} s; the setting seconds allows more"
            ) from None
        except InvalidStatus as error:
            status = error.response.status_code
            if status in UNAUTHORIZED:
                raise PermissionError(
                    f"{server} refuses the key (HTTP {status}): set {API_KEY} to the key that it expects"
                ) from error
            raise ConnectionError(f"{server} answers HTTP {status}; expected a websocket") from error
        except ConnectionClosed as error:
            if error.sent is not None and error.sent.code == CloseCode.MESSAGE_TOO_BIG:
                problem = f"sent a message above {MAX_ANSWER} bytes; expected {awaited}"
            else:
                problem = f"closed the connection before it sent {awaited} ({error})"
            raise ConnectionError(f"{server} {problem}") from error
        except WebSocketException as error:
            raise ConnectionError(f"{server} is not a policy server: {error}") from error
        except OSError as error:
            raise ConnectionError(f"cannot reach {server}: {error}. Start it, or correct the address") from error
