"""Files that are whole or absent, and fingerprints of code."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import itertools
import json
import os
import tokenize
from pathlib import Path
from typing import Any

CODE_SUFFIXES = (".py", ".yaml", ".urdf")


def write_atomically(path: Path, content: bytes | str) -> Path:
    """Writes a file at once: a kill leaves the old content or the new, and no mixture.

    What is no text in UTF-8 is written as an escape.

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


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Writes JSON at once or not at all."""
    return write_atomically(path, json.dumps(content, indent=1) + "\n")


def code_fingerprint(*modules: str, settings: Any = None) -> str:
    """Returns a hash of the source of packages or modules: it tells whether a result is of this code.

    Comments and docstrings do not count: they change no result.

    Args:
        modules: Importable names; of a package, every file of code and settings below it counts.
        settings: Plain data that counts too.
    """
    digest = hashlib.sha256(b"" if settings is None else json.dumps(settings, sort_keys=True).encode())
    for name in modules:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ValueError(f"module {name!r} has no source to take a fingerprint of")
        origin = Path(spec.origin)
        folder = origin.parent
        files = [origin]
        if spec.submodule_search_locations is not None:
            files = sorted(file for file in folder.rglob("*") if file.suffix in CODE_SUFFIXES)
        for file in files:
            digest.update(f"{name}/{file.relative_to(folder).as_posix()}\0".encode())
            digest.update(_statements(file.read_bytes()) if file.suffix == ".py" else file.read_bytes())
    return digest.hexdigest()[:16]


def _statements(source: bytes) -> bytes:
    """Returns what Python code does: without comments, blank lines and strings that stand alone."""
    tokens = [
        token
        for token in tokenize.tokenize(io.BytesIO(source).readline)
        if token.type not in (tokenize.ENCODING, tokenize.COMMENT, tokenize.NL)
    ]
    kept = []
    begins, alone = True, False
    for token, following in itertools.pairwise(tokens):
        was_alone, alone = alone, begins and token.type == tokenize.STRING and following.type == tokenize.NEWLINE
        if not alone and not was_alone:
            kept.append(token.string)
        begins = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    return "\0".join(kept).encode()
