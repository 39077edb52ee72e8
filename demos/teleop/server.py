"""Web server of the page that drives the robot."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from demos.runtime.types import JsonObject
from demos.teleop.access import TOKEN, Access
from demos.teleop.export import export_names
from demos.teleop.inputs import Inputs
from demos.teleop.messages import COMMANDS, MAX_MESSAGE_BYTES, Command, Motion, Received, parse
from demos.teleop.session import Session
from lam_envs.bullet.cameras import CAMERAS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGE = {
    "": ("index.html", "text/html"),
    "style.css": ("style.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "controls.js": ("controls.js", "text/javascript"),
    "connection.js": ("connection.js", "text/javascript"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
"""File and type of each path. No other file is served."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HEARTBEAT_SECONDS = 5.0
"""Time between two signs of life of the connection; without an answer to one, another page may connect."""
MAX_IN_FLIGHT = 3
"""Images that a page has not confirmed, from which on further ones are dropped: a slow connection shows fewer."""
MAX_FAULTS = 20
"""Invalid messages of a connection, after which it is closed."""
REFUSED, FAULTY = 4009, 4000
"""Codes of closed connections: another page drives; too many invalid messages."""


class Hub:
    """The one page that drives: messages to it, from the thread of the session.

    Attributes:
        socket: Its connection; None without a page.
    """

    def __init__(self) -> None:
        self.socket: web.WebSocketResponse | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._order = asyncio.Lock()
        self._sent = self._received = 0

    def attach(self, socket: web.WebSocketResponse) -> None:
        """Send messages to this connection from now on."""
        self.socket, self._loop = socket, asyncio.get_running_loop()
        self._sent = self._received = 0

    def detach(self) -> None:
        """Send no more messages."""
        self.socket = None

    def confirm(self) -> None:
        """Count an image that the page has received."""
        self._received += 1

    def publish(self, message: bytes) -> None:
        """Send an image from any thread, or drop it if the page is late."""
        self._call(self._publish, message)

    def send(self, message: JsonObject) -> None:
        """Send a JSON message from any thread."""
        self._call(self._start, message)

    def _call(self, function: Callable[[Any], None], message: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, message)

    def _publish(self, message: bytes) -> None:
        if self._sent - self._received < MAX_IN_FLIGHT:
            self._sent += 1
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


class TeleopServer:
    """Web application of a session.

    Args:
        access: Rules of access.
        inputs: Inputs of the person, which the session reads.
        hub: Messages to the page, which the session writes.
        session: The session.
        about: Facts that the page shows: environment, dataset, folder, number of episodes.

    Attributes:
        error: Error that ended the session, and then the server; None without.
    """

    def __init__(self, access: Access, inputs: Inputs, hub: Hub, session: Session, about: JsonObject) -> None:
        self._access, self._inputs, self._hub, self._session, self._about = access, inputs, hub, session, about
        self.error: BaseException | None = None

    def app(self) -> web.Application:
        """Return the application; the session runs while it does."""
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_MESSAGE_BYTES)
        app.router.add_get("/ws", self._drive)
        app.router.add_get("/export/{format}", self._export)
        for path in PAGE:
            app.router.add_get(f"/{path}", self._file)
        app.cleanup_ctx.append(self._running)
        app.on_shutdown.append(self._disconnect)
        return app

    async def _running(self, app: web.Application) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()

        def run_session() -> None:
            try:
                self._session.run()
            except BaseException as error:  # raised again when the server has ended
                self.error = error
                loop.call_soon_threadsafe(_end)

        thread = threading.Thread(target=run_session, name="teleop session")
        thread.start()
        yield
        self._inputs.send(Command("close"))
        await asyncio.to_thread(thread.join)

    async def _disconnect(self, app: web.Application) -> None:
        if self._hub.socket is not None:
            await self._hub.socket.close(code=1001, message=b"the program ends")

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests of other pages, and those without the token."""
        fault = self._access.fault(request.headers, request.path)
        if fault is not None:
            return web.Response(status=403, text=fault, headers=HEADERS)
        given = request.query.get(TOKEN)
        if not self._access.allows(request.cookies.get(self._access.cookie), given):
            text = "wrong or missing token: open the address that the program printed"
            return web.Response(status=401, text=text, headers=HEADERS)
        try:
            answer = await handler(request)
            if given is not None and request.path == "/":
                # The page then removes the token from its address. A redirection would lose the cookie where a link
                # on another page opened the address.
                answer.set_cookie(self._access.cookie, given, httponly=True, samesite="Strict")
            return answer
        except web.HTTPException as error:
            return web.Response(status=error.status, text=error.reason, headers=HEADERS)

    async def _file(self, request: web.Request) -> web.Response:
        name, kind = PAGE[request.path[1:]]
        content = (files("demos.teleop") / "page" / name).read_bytes()
        return web.Response(body=content, content_type=kind, charset="utf-8", headers=HEADERS)

    async def _drive(self, request: web.Request) -> web.StreamResponse:
        """Serve the page that drives; refuse any other at the same time."""
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE_BYTES, heartbeat=HEARTBEAT_SECONDS, compress=False)
        if self._hub.socket is not None:
            await socket.prepare(request)
            await socket.send_json({"type": "refused", "text": "another page drives the robot; close it first"})
            await socket.close(code=REFUSED, message=b"another page drives")
            return socket
        self._hub.attach(socket)
        try:
            await socket.prepare(request)
            await socket.send_json({"type": "about", **self._about, **_choices()})
            self._inputs.connect()
            self._inputs.send(Command("connected"))
            await self._read(socket)
        finally:
            # At once, before the connection is closed in an orderly way: the robot stops.
            self._inputs.disconnect()
            self._hub.detach()
        return socket

    async def _read(self, socket: web.WebSocketResponse) -> None:
        faults = 0
        async for message in socket:
            try:
                if message.type != WSMsgType.TEXT:
                    raise ValueError("a message is no text")
                self._accept(parse(message.data))
            except ValueError as error:
                faults += 1
                self._inputs.move(Motion())
                await socket.send_json({"type": "notice", "text": str(error), "error": True})
                if faults >= MAX_FAULTS:
                    await socket.close(code=FAULTY, message=b"too many invalid messages")

    def _accept(self, message: Motion | Received | Command) -> None:
        if isinstance(message, Command):
            self._inputs.send(message)
            return
        if isinstance(message, Received):
            self._hub.confirm()
            message = message.motion
        self._inputs.move(message)

    async def _export(self, request: web.Request) -> web.StreamResponse:
        """Write an export and send it as a file."""
        name = request.match_info["format"]
        if name not in export_names():
            return web.Response(
                status=404, text=f"unknown format; expected one of {', '.join(export_names())}", headers=HEADERS
            )
        folder = Path(tempfile.mkdtemp(prefix="lam-envs-export-"))
        try:
            result: Future[tuple[Path, list[str]]] = Future()
            self._inputs.send(Command("export", (name, folder, result)))
            try:
                path, losses = await asyncio.wrap_future(result)
            except Exception as error:  # Formats document several.
                return web.Response(status=409, text=f"{error}", headers=HEADERS)
            for line in losses:
                self._hub.send({"type": "notice", "text": line, "error": False})
            return await _sent_file(request, path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _end() -> None:
    raise web.GracefulExit


def _choices() -> JsonObject:
    return {"all_cameras": list(CAMERAS), "formats": list(export_names()), "commands": list(COMMANDS)}


async def _sent_file(request: web.Request, path: Path) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            **HEADERS,
            "Content-Type": "application/octet-stream",
            "Content-Length": str(path.stat().st_size),
            "Content-Disposition": f'attachment; filename="{path.name}"',
        }
    )
    await response.prepare(request)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            await response.write(block)
    await response.write_eof()
    return response
