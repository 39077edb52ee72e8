"""Web server of a page that controls a robot: one page at a time, and a session in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import NamedTuple, Protocol

from aiohttp import WSMsgType, web

from demos.runtime.types import JsonObject
from demos.runtime.web.access import TOKEN, Access
from demos.runtime.web.hub import Hub
from demos.runtime.web.messages import MAX_MESSAGE_BYTES

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def page_headers(script_sources: str = "'self'") -> dict[str, str]:
    """Return the headers of every answer.

    Args:
        script_sources: Sources of scripts that the page's content security policy allows.
    """
    return {
        "Content-Security-Policy": f"default-src 'none'; script-src {script_sources}; style-src 'self'; "
        "img-src 'self' data: blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


HEADERS = page_headers()
HEARTBEAT_SECONDS = 5.0
"""Time between two signs of life of the connection; without an answer to one, another page may connect."""
MAX_FAULTS = 20
"""Invalid messages of a connection, after which it is closed."""
REFUSED, FAULTY = 4009, 4000
"""Codes of closed connections: another page controls the robot; too many invalid messages."""


class PageFile(NamedTuple):
    """File of a page.

    Attributes:
        package: Package whose folder ``page`` has the file.
        name: Name of the file.
        content_type: Type of its content.
    """

    package: str
    name: str
    content_type: str


SHARED_FILES = {
    "base.css": PageFile("demos.runtime.web", "base.css", "text/css"),
    "connection.js": PageFile("demos.runtime.web", "connection.js", "text/javascript"),
    "icon.svg": PageFile("demos.runtime.web", "icon.svg", "image/svg+xml"),
}
"""Files that every page has, by path."""


class Session(Protocol):
    """Program behind a page. :meth:`run` is called in a thread of its own, and the others in that of the server."""

    def run(self) -> None:
        """Run until :meth:`close` is called."""

    def connect(self) -> None:
        """Handle a new page."""

    def receive(self, message: object) -> None:
        """Handle a message of the page: a text, or something else that is no message.

        Raises:
            ValueError: The message is invalid.
        """

    def disconnect(self) -> None:
        """Stop the robot: the page is gone."""

    def close(self) -> None:
        """End the session."""


@dataclass(frozen=True)
class Page:
    """Page and what its server offers.

    Attributes:
        files: File of each path, besides :data:`SHARED_FILES`; no other file is served.
        about: Facts that the page gets first.
        routes: Handler of each other path.
        headers: Headers of every answer.
    """

    files: Mapping[str, PageFile]
    about: JsonObject
    routes: Mapping[str, Handler] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=page_headers)


class PageServer:
    """Web application of a session.

    Args:
        access: Rules of access.
        hub: Messages to the page, which the session writes.
        session: The session.
        page: The page.
    """

    def __init__(self, access: Access, hub: Hub, session: Session, page: Page) -> None:
        self._access, self._hub, self._session, self._page = access, hub, session, page
        self._files = {**SHARED_FILES, **page.files}
        self._error: BaseException | None = None

    def run(self, listening: socket.socket) -> None:
        """Serve until the program is interrupted; raise the error that ended the session, if there is one.

        Args:
            listening: Bound socket.
        """
        web.run_app(self._app(), sock=listening, print=lambda *_: None, access_log=None, shutdown_timeout=1.0)
        if self._error is not None:
            raise self._error

    def _app(self) -> web.Application:
        """Return the application; the session runs while it does."""
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_MESSAGE_BYTES)
        app.router.add_get("/ws", self._connect)
        for path, handler in self._page.routes.items():
            app.router.add_get(path, handler)
        for path in self._files:
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
                self._error = error
                loop.call_soon_threadsafe(_end)

        thread = threading.Thread(target=run_session, name="session")
        thread.start()
        yield
        self._session.close()
        await asyncio.to_thread(thread.join)

    async def _disconnect(self, app: web.Application) -> None:
        if self._hub.socket is not None:
            await self._hub.socket.close(code=1001, message=b"the program ends")

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests of other pages, and those without the token."""
        fault = self._access.fault(request.headers, request.path)
        if fault is not None:
            return web.Response(status=403, text=fault, headers=self._page.headers)
        given = request.query.get(TOKEN)
        if not self._access.allows(request.cookies.get(self._access.cookie), given):
            text = "wrong or missing token: open the address that the program printed"
            return web.Response(status=401, text=text, headers=self._page.headers)
        try:
            answer = await handler(request)
            if given is not None and request.path == "/":
                # The page then removes the token from its address. A redirection would lose the cookie where a link
                # on another page opened the address.
                answer.set_cookie(self._access.cookie, given, httponly=True, samesite="Strict")
            return answer
        except web.HTTPException as error:
            return web.Response(status=error.status, text=error.reason, headers=self._page.headers)

    async def _file(self, request: web.Request) -> web.Response:
        file = self._files[request.path[1:]]
        content = (files(file.package) / "page" / file.name).read_bytes()
        return web.Response(body=content, content_type=file.content_type, charset="utf-8", headers=self._page.headers)

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        """Serve the page that controls the robot; refuse any other at the same time."""
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE_BYTES, heartbeat=HEARTBEAT_SECONDS, compress=False)
        if self._hub.socket is not None:
            await socket.prepare(request)
            await socket.send_json({"type": "refused", "text": "another page controls the robot; close it first"})
            await socket.close(code=REFUSED, message=b"another page controls the robot")
            return socket
        self._hub.attach(socket)
        try:
            await socket.prepare(request)
            await socket.send_json({"type": "about", **self._page.about})
            self._session.connect()
            await self._read(socket)
        finally:
            # At once, before the connection is closed in an orderly way: the robot stops.
            self._session.disconnect()
            self._hub.detach()
        return socket

    async def _read(self, socket: web.WebSocketResponse) -> None:
        faults = 0
        async for message in socket:
            try:
                self._session.receive(message.data if message.type == WSMsgType.TEXT else None)
            except ValueError as error:
                faults += 1
                try:
                    await socket.send_json({"type": "notice", "text": str(error), "error": True})
                except ConnectionError:
                    return  # the page is gone
                if faults >= MAX_FAULTS:
                    await socket.close(code=FAULTY, message=b"too many invalid messages")


def _end() -> None:
    raise web.GracefulExit
