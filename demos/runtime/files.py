"""Write files atomically: a file is complete or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path


def write_atomically(path: Path, content: bytes | str) -> Path:
    """Write a file atomically: an interrupted call leaves either the old or the new content.

    Characters that UTF-8 cannot encode are escaped.

    Returns:
        The path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        temporary.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_json(path: Path, content: Mapping[str, object]) -> Path:
    """Write a JSON file atomically."""
    return write_atomically(path, json.dumps(content, indent=1) + "\n")
