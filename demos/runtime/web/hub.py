"""Messages to the one page that is connected, from any thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from demos.runtime.types import JsonObject

MAX_IN_FLIGHT = 3
"""Largest number of images that the page has not confirmed. Beyond it, only the latest image waits to be sent."""


class Hub:
    """Messages to the one page that is connected, from any thread.

    Attributes:
        socket: Its connection; None without a page.
    """

    def __init__(self) -> None:
        self.socket: web.WebSocketResponse | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._order = asyncio.Lock()
        self._in_flight = 0
        self._waiting: bytes | None = None

    def attach(self, socket: web.WebSocketResponse) -> None:
        """Send messages to this connection from now on."""
        self.socket, self._loop = socket, asyncio.get_running_loop()
        self._in_flight, self._waiting = 0, None

    def detach(self) -> None:
        """Send no more messages."""
        self.socket = None

    def confirm(self) -> None:
        """Count an image that the page has received; send the one that waits."""
        self._in_flight = max(self._in_flight - 1, 0)
        if self._waiting is not None:
            self._publish(self._waiting)

    def publish(self, message: bytes) -> None:
        """Send an image from any thread; to a late page, only the latest one, once the page has caught up."""
        self._call(self._publish, message)

    def send(self, message: JsonObject) -> None:
        """Send a JSON message from any thread."""
        self._call(self._start, message)

    def _call(self, function: Callable[[Any], None], message: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, message)

    def _publish(self, message: bytes) -> None:
        if self._in_flight >= MAX_IN_FLIGHT:
            self._waiting = message
            return
        self._in_flight, self._waiting = self._in_flight + 1, None
        self._start(message)

    def _start(self, message: bytes | JsonObject) -> None:
        task = asyncio.get_running_loop().create_task(self._write(self.socket, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, socket: web.WebSocketResponse | None, message: bytes | JsonObject) -> None:
        async with self._order:
            if socket is None or socket.closed:
                return
            try:
                if isinstance(message, bytes):
                    await socket.send_bytes(message)
                else:
                    await socket.send_json(message)
            except ConnectionError:
                return
