"""Access to the server: only pages of this server, and only who has the token, control the robot."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
TOKEN = "token"  # noqa: S105  (name of the parameter)
COOKIE = "lam_envs_teleop"
MAX_PORT = 65535


def is_loopback(host: str) -> bool:
    """Return True if only this machine reaches a server that is bound to a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(16)


@dataclass(frozen=True)
class Address:
    """Address of a server.

    Attributes:
        host: Host to bind to.
        port: Port; 0 for any free one.
        token: Require a token on this machine, too; other hosts always need one.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: bool = False

    def __post_init__(self) -> None:
        """Check the port.

        Raises:
            ValueError: There is no such port.
        """
        if not 0 <= self.port <= MAX_PORT:
            raise ValueError(f"port is {self.port}; expected 0 to {MAX_PORT}")

    def listen(self) -> socket.socket:
        """Return a socket that is bound to the address.

        Raises:
            OSError: The address is in use.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        return socket.create_server((self.host, self.port), family=family)

    def access(self, listening: socket.socket) -> Access:
        """Return the rules of access of a socket, with a new token where one is required."""
        token = new_token() if self.token or not is_loopback(self.host) else None
        return Access(self.host, listening.getsockname()[1], token)


@dataclass(frozen=True)
class Access:
    """Rules of access.

    Attributes:
        host: Host that the server is bound to.
        port: Port of the server.
        token: Token that a page needs; None on this machine alone.
    """

    host: str
    port: int
    token: str | None = None

    @property
    def cookie(self) -> str:
        """Name of the cookie that holds the token; cookies are shared by all ports of a host."""
        return f"{COOKIE}_{self.port}"

    @property
    def url(self) -> str:
        """Address of the page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        token = "" if self.token is None else f"?{TOKEN}={self.token}"
        return f"http://{host}:{self.port}/{token}"

    def fault(self, headers: Mapping[str, str], path: str = "/") -> str | None:
        """Return why a request is not from a page of this server; None if it may be.

        Any page that a person opens can send requests to this machine. Its browser says so in the headers, and a page
        whose name was redirected to this machine has another name in ``Host``.

        Args:
            headers: Headers of the request.
            path: Path of the request; a link on any page may open the page itself.
        """
        host = headers.get("Host", "")
        if is_loopback(self.host) and host not in {f"{name}:{self.port}" for name in (*LOCAL_NAMES, self.host)}:
            return f"the request is for {host[:100]!r}; expected localhost:{self.port}"
        origin = headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return f"the request is from a page of {origin[:100]!r}; expected a page of this server"
        opens_page = path == "/" and headers.get("Sec-Fetch-Dest") == "document"
        if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none") and not opens_page:
            return "the request is from a page of another server"
        return None

    def allows(self, *tokens: str | None) -> bool:
        """Return True if one of the tokens is right, or none is needed."""
        wanted = self.token
        return wanted is None or any(
            token is not None and hmac.compare_digest(token.encode(errors="replace"), wanted.encode())
            for token in tokens
        )
