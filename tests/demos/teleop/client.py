"""A client of the server of teleoperation, which drives as the page in a browser does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np

from demos.runtime.web.messages import unpack


class Page:
    """Client that drives by a program."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.state: dict[str, Any] = {}
        self.episodes: list[dict[str, Any]] = []
        self.notices: list[str] = []
        self.motion: dict[str, float] = {}

    async def send(self, kind: str, **more: Any) -> None:
        await self.socket.send_json({"type": kind, **more})

    async def next(self) -> None:
        """Wait for a message, and confirm an image."""
        message = await asyncio.wait_for(self.socket.receive(), 30)
        if message.type == aiohttp.WSMsgType.BINARY:
            self.state, self.images = unpack(message.data)
            await self.send("motion", **self.motion, frame=self.state["frame"])
        elif message.type == aiohttp.WSMsgType.TEXT:
            content = json.loads(message.data)
            if content["type"] == "episodes":
                self.episodes = content["episodes"]
            elif content["type"] == "notice":
                self.notices.append(content["text"])
        else:
            raise ConnectionError(f"{message.type!r} {message.data!r}")

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the state meets a condition; meanwhile report that the client is there, as a page does."""
        end = time.monotonic() + 60
        receiving: asyncio.Task[None] | None = None
        while receiving or not (self.state and condition(self.state)):
            assert time.monotonic() < end, (self.state, self.notices)
            # Receiving is not canceled: if an image were lost, the server would wait for its confirmation.
            receiving = receiving or asyncio.create_task(self.next())
            await asyncio.wait({receiving}, timeout=0.03)
            if receiving.done():
                receiving.result()
                receiving = None
            else:
                await self.send("motion", **self.motion)
        return self.state

    async def until_after(self, frame: int) -> dict[str, Any]:
        return await self.until(lambda state: state["frame"] > frame)

    async def noticed(self, text: str) -> None:
        while not any(text in notice for notice in self.notices):
            await self.next()

    async def reach(self) -> None:
        """Start an episode of Reach and drive it to success."""
        await self.send("start")
        await self.until(lambda state: state["phase"] == "driving")
        while self.state["phase"] == "driving":
            features = self.state["features"]
            error = np.subtract(features["goal/position"], features["tool/position"])
            axes = [*map(np.array, self.state["axes"].values()), np.array([0.0, 0.0, 1.0])]
            right, away, up = (float(np.clip(axis @ error * 20, -1, 1)) for axis in axes)
            self.motion = {"right": right, "away": away, "up": up}
            await self.until_after(self.state["frame"])
        self.motion = {}
        await self.until(lambda state: state["phase"] == "review")


@asynccontextmanager
async def page(url: str, **headers: str) -> AsyncIterator[Page]:
    async with aiohttp.ClientSession(headers=headers) as session:
        address, _, query = url.partition("?")
        async with session.ws_connect(f"{address}ws?{query}", max_msg_size=0) as socket:
            yield Page(socket)


def drive(url: str, play: Callable[[Page], Awaitable[None]]) -> Page:
    async def run() -> Page:
        async with page(url) as opened:
            await opened.until(lambda state: state["phase"] != "")
            await play(opened)
            return opened

    return asyncio.run(run())


def get(url: str, **headers: str) -> tuple[int, bytes, Any]:
    async def run() -> tuple[int, bytes, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, allow_redirects=False) as got,
        ):
            return got.status, await got.read(), got.headers

    return asyncio.run(run())
