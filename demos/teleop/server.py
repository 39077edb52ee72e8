"""Web server of the page that drives the robot."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from concurrent.futures import Future
from pathlib import Path

from aiohttp import web

from demos.runtime.types import JsonObject
from demos.runtime.web.access import Access
from demos.runtime.web.hub import Hub
from demos.runtime.web.server import HEADERS, Handler, Page, PageFile, PageServer, page_headers
from demos.teleop.export import export_names
from demos.teleop.hand_page import FILES, HandPage
from demos.teleop.inputs import Inputs
from demos.teleop.messages import COMMANDS, Command, Motion, Received, parse
from demos.teleop.session import Session
from lam_envs.bullet.cameras import CAMERAS

PAGE = {
    "": PageFile("demos.teleop", "index.html", "text/html"),
    "style.css": PageFile("demos.teleop", "style.css", "text/css"),
    "page.js": PageFile("demos.teleop", "page.js", "text/javascript"),
    "controls.js": PageFile("demos.teleop", "controls.js", "text/javascript"),
}
"""File of each path."""
HAND_PAGE = {
    name: PageFile("demos.teleop", name, "text/javascript")
    for name in ("hand.js", "hand_motion.js", "hand_worker.js")
}
"""Further files of a page with hand tracking, by path."""
WASM_SCRIPTS = "'self' 'wasm-unsafe-eval'"
"""Sources of scripts of a page with hand tracking, which is compiled to WebAssembly."""


class TeleopServer(PageServer):
    """Server of a session.

    Args:
        access: Rules of access.
        inputs: Inputs of the person, which the session reads.
        hub: Messages to the page, which the session writes.
        session: The session.
        about: Facts that the page shows: environment, dataset, folder, number of episodes.
        hand_page: Files of hand tracking; None for a page without it.
    """

    def __init__(
        self,
        access: Access,
        inputs: Inputs,
        hub: Hub,
        session: Session,
        about: JsonObject,
        hand_page: HandPage | None = None,
    ) -> None:
        about = {**about, **_choices(), "hand_tracking": hand_page is not None}
        routes: dict[str, Handler] = {"/export/{format}": _Exports(inputs, hub).send}
        if hand_page is None:
            page = Page(PAGE, about, routes)
        else:
            routes["/hand/{name}"] = _HandFiles(hand_page).send
            page = Page({**PAGE, **HAND_PAGE}, about, routes, page_headers(WASM_SCRIPTS))
        super().__init__(access, hub, _PageSession(session, inputs, hub), page)


class _PageSession:
    """Session whose inputs come from a page."""

    def __init__(self, session: Session, inputs: Inputs, hub: Hub) -> None:
        self._session, self._inputs, self._hub = session, inputs, hub

    def run(self) -> None:
        self._session.run()

    def connect(self) -> None:
        self._inputs.connect()
        self._inputs.send(Command("connected"))

    def receive(self, message: object) -> None:
        try:
            parsed = parse(message)
        except ValueError:
            self._inputs.move(Motion())
            raise
        if isinstance(parsed, Command):
            self._inputs.send(parsed)
            return
        if isinstance(parsed, Received):
            self._hub.confirm()
            parsed = parsed.motion
        self._inputs.move(parsed)

    def disconnect(self) -> None:
        self._inputs.disconnect()

    def close(self) -> None:
        self._inputs.send(Command("close"))


class _HandFiles:
    """Files of hand tracking, by name."""

    def __init__(self, hand_page: HandPage) -> None:
        self._hand_page = hand_page

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Send a file of the package; no other file of the folder."""
        name = request.match_info["name"]
        if name not in FILES:
            return web.Response(status=404, text="unknown file of hand tracking", headers=HEADERS)
        content = await asyncio.to_thread(self._hand_page.read, name)
        return web.Response(body=content, content_type=FILES[name], headers=HEADERS)


class _Exports:
    """Exports of the dataset as files."""

    def __init__(self, inputs: Inputs, hub: Hub) -> None:
        self._inputs, self._hub = inputs, hub

    async def send(self, request: web.Request) -> web.StreamResponse:
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
