"""Remote policies: agents that act in another process, by the protocol of openpi's policy server.

A client connects by a websocket. The server sends its metadata, a map. Then each message of the client is one
observation, a map with arrays. The server answers with a map with the entry ``actions``: one action, or a chunk of
several. A server that fails sends a text and closes the connection. All maps are msgpack
(https://github.com/Physical-Intelligence/openpi, ``packages/openpi-client``).
"""

from __future__ import annotations

import importlib.util

INSTALL = "pip install 'lam-envs[remote]'"
"""Command that installs what remote policies need."""
API_KEY = "LAM_ENVS_API_KEY"
"""Environment variable with the key that a server requires. Settings are stored in results; a key must not be."""
PROTOCOL_VERSION = 1
"""Version of what our server adds to openpi's protocol: the metadata. A client refuses another version."""

for _name in ("websockets", "msgpack"):
    if importlib.util.find_spec(_name) is None:
        raise ModuleNotFoundError(f"remote policies need {_name}, which is not installed: {INSTALL}", name=_name)
