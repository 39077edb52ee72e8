"""Policy servers in threads of this process: ours, and faulty ones."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from websockets.sync.server import ServerConnection, serve

from agents.deployment.remote.connection import MAX_ANSWER
from agents.deployment.remote.messages import pack
from agents.deployment.remote.server import PolicyServer

Handler = Callable[[ServerConnection], None]
ACTIONS = np.zeros((1, 4), dtype=np.float32)
HANG_SECONDS = 30.0


@contextlib.contextmanager
def serving(handler: Handler, *, port: int = 0, **settings: Any) -> Iterator[str]:
    """Serve a handler of connections; yield the address."""

    def quiet(client: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed, OSError):
            handler(client)

    with serve(quiet, "127.0.0.1", port, compression=None, **settings) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()


def ours(server: PolicyServer) -> str:
    """Serve by our server until this process ends; return the address."""
    listening = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=server.run, args=(listening,), daemon=True).start()
    return f"ws://127.0.0.1:{listening.getsockname()[1]}"


def answering(answer: Callable[[ServerConnection], None], **metadata: Any) -> Handler:
    """Return a handler that sends metadata and then answers each observation."""

    def handler(client: ServerConnection) -> None:
        client.send(pack({"version": "faulty 1", **metadata}))
        for _ in client:
            answer(client)

    return handler


def actions(value: Any) -> Handler:
    """Return a handler that answers with these actions."""
    return answering(lambda client: client.send(pack({"actions": value})))


def _hang(client: ServerConnection) -> None:
    # Until the client gives up.
    until = time.monotonic() + HANG_SECONDS
    while client.state is not State.CLOSED and time.monotonic() < until:
        time.sleep(0.02)


DRIP_SECONDS = 0.1
"""Time between two bytes of a server that is too slow: each comes in time, the whole message does not."""


def _drip(client: ServerConnection) -> None:
    # The frame of an answer, byte by byte, until the client gives up.
    content = pack({"actions": ACTIONS})
    with contextlib.suppress(OSError):
        for byte in b"\x82" + bytes([len(content)]) + content:
            if client.state is State.CLOSED:
                return
            client.socket.sendall(bytes([byte]))
            time.sleep(DRIP_SECONDS)


def slow(seconds: float) -> Handler:
    """Return a handler that answers each observation after some seconds, in time for each of them."""

    def answer(client: ServerConnection) -> None:
        time.sleep(seconds)
        client.send(pack({"actions": ACTIONS}))

    return answering(answer)


def _half_message(client: ServerConnection) -> None:
    # A frame of 256 bytes whose connection ends after 4 of them.
    client.socket.sendall(b"\x82\x7e\x01\x00half")
    client.socket.shutdown(socket.SHUT_RDWR)


def _crash(client: ServerConnection) -> None:
    # As openpi's server does.
    client.send("Traceback (most recent call last):\nKeyError: 'observation/image'")
    client.close(1011)


def _objects(client: ServerConnection) -> None:
    pickled = {b"nd": True, b"type": "|O", b"kind": b"O", b"shape": [4], b"data": b"\x80\x04N."}
    client.send(msgpack.packb({"actions": pickled}))


def _refuse(connection: ServerConnection, request: Any) -> Any:
    return connection.respond(401, "unknown key\n")


FAULTS: dict[str, tuple[Handler, dict[str, Any], type[Exception], str]] = {
    "hangs": (answering(_hang), {}, TimeoutError, r"did not send an action within 0\.5 s; the setting seconds"),
    "slow": (answering(_drip), {}, TimeoutError, r"did not send an action within 0\.5 s; the setting seconds"),
    "hangs at once": (_hang, {}, TimeoutError, r"did not send its metadata within 0\.5 s"),
    "crashes": (answering(_crash), {}, RuntimeError, r"reports: .*KeyError: 'observation/image'"),
    "closes": (answering(lambda client: client.close()), {}, ConnectionError, "closed the connection before it sent"),
    "NaN": (actions(ACTIONS * np.nan), {}, ValueError, "'actions' has values that are not finite: nan"),
    "wrong shape": (
        actions(np.zeros((2, 7))), {}, ValueError, r"shape \(2, 7\); expected \(4,\), or \(N, 4\) for N actions"
    ),
    "wrong dtype": (
        actions(ACTIONS.astype(np.int64)), {}, ValueError, "type int64; expected an array of floating-point numbers"
    ),
    "no array": (actions([0.0] * 4), {}, ValueError, "'actions' has type list; expected an array"),
    "no actions": (
        answering(lambda client: client.send(pack({"action": ACTIONS}))), {}, ValueError, "a map with action;"
    ),
    "huge": (
        answering(lambda client: client.send(b"\0" * (MAX_ANSWER + 1))), {}, ConnectionError, "a message above 16777"
    ),
    "half a message": (answering(_half_message), {}, ConnectionError, "closed the connection before it sent"),
    "garbage": (
        answering(lambda client: client.send(b"\xc1garbage")), {}, ValueError, r"begins with b'\\xc1garbage'"
    ),
    "objects": (answering(_objects), {}, ValueError, r"type of an array is '\|O'; expected one of"),
    "wrong key": (actions(ACTIONS), {"process_request": _refuse}, PermissionError, "refuses the key"),
    "other version": (
        answering(lambda client: client.send(pack({"actions": ACTIONS})), lam_envs_protocol=2),
        {}, ValueError, "has version 2 of the protocol; expected 1",
    ),
    "other spaces": (
        answering(
            lambda client: client.send(pack({"actions": ACTIONS})), lam_envs_protocol=1, observation_space="Box(3)"
        ),
        {}, ValueError, r"a policy for observation space Box\(3\); this environment has Box",
    ),
}  # fmt: skip
"""Handler, settings of its server, exception, and what its text says."""
