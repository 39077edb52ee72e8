"""A page that goes away while the server answers it ends its connection without an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from demos.runtime.web.access import Access
from demos.runtime.web.hub import Hub
from demos.runtime.web.server import Page, PageServer


class GoneSocket:
    """Connection that delivers an invalid message and can send none."""

    async def __aiter__(self) -> AsyncIterator[aiohttp.WSMessage]:
        yield aiohttp.WSMessage(aiohttp.WSMsgType.TEXT, "nonsense", None)

    async def send_json(self, message: object) -> None:
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")


class Strict:
    """Session that accepts no message."""

    def receive(self, message: object) -> None:
        raise ValueError("a message is no JSON")


def test_a_page_that_is_gone_gets_no_notice() -> None:
    async def read() -> None:
        session: Any = Strict()
        socket: Any = GoneSocket()
        await PageServer(Access("127.0.0.1", 1), Hub(), session, Page({}, {}))._read(socket)

    asyncio.run(read())
