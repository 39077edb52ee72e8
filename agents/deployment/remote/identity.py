"""Identity of a remote policy: what shows that two results are those of the same policy."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from agents.deployment.remote import API_KEY
from agents.deployment.remote.connection import Connection
from agents.deployment.remote.names import read_names

VERSION = "version"
"""Entry of the metadata that changes with the policy."""
ASKING_SECONDS = 10.0
"""Wall time for asking a server for its metadata."""


@cache
def server_identity(address: str) -> str | None:
    """Return the hash of a server's metadata; it is asked once, so that a program plans with one answer.

    Args:
        address: Address of the server.

    Returns:
        The hash; None if the server cannot be reached, or if its metadata have no ``version``: they may then be those
        of any policy.
    """
    try:
        connection = Connection(address, ASKING_SECONDS, os.environ.get(API_KEY))
    except (OSError, RuntimeError, ValueError):
        return None
    connection.close()
    return _hash(connection.first_message) if VERSION in connection.metadata else None


def names_hash(settings: Mapping[str, object]) -> str | None:
    """Return the hash of the file of names in the settings of a remote policy; None without a file.

    Args:
        settings: Settings of the agent.
    """
    names = settings.get("names")
    if not isinstance(names, str) or not Path(names).is_file():
        return None
    return _hash(json.dumps(read_names(names)).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
