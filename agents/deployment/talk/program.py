"""Program of the web page on which a person gives instructions; it runs until it is interrupted."""

from __future__ import annotations

from collections.abc import Callable

from agents.deployment.talk.conversation import Conversation
from agents.deployment.talk.session import TalkSession, TalkSettings
from agents.types import Env
from demos.runtime.web.access import Address
from demos.runtime.web.hub import Hub
from demos.runtime.web.server import Page, PageFile, PageServer
from lam_envs.bullet.cameras import CAMERAS

PACKAGE = "agents.deployment.talk"
PAGE = {
    "": PageFile(PACKAGE, "index.html", "text/html"),
    "talk.css": PageFile(PACKAGE, "talk.css", "text/css"),
    "talk.js": PageFile(PACKAGE, "talk.js", "text/javascript"),
}
"""File of each path."""


def serve(
    conversation: Conversation,
    env: Env,
    title: str,
    settings: TalkSettings,
    address: Address,
    on_start: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve the page until the program is interrupted.

    Args:
        conversation: The conversation, in its first scene.
        env: Its environment, which is closed at the end.
        title: Title of the page.
        settings: Settings of the session.
        address: Address of the server.
        on_start: Called with the address of the page.

    Raises:
        OSError: The address is in use.
    """
    with address.listen() as listening:
        access, hub = address.access(listening), Hub()
        session = TalkSession(conversation, env, settings, hub)
        about = {"title": title, "all_cameras": list(CAMERAS)}
        on_start(access.url)
        PageServer(access, hub, session, Page(PAGE, about)).run(listening)
