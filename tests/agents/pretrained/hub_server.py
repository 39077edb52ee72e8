"""A Hub on this machine: the requests of huggingface_hub for one commit of each repository, kept in a folder."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789" * 4
"""Id of the commit of each repository."""


class Handler(BaseHTTPRequestHandler):
    root: Path
    downloaded: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = urlsplit(self.path).path.split("/")
        if parts[1:] == ["api", "repos", "create"]:
            asked = json.loads(body)
            (self.root / asked.get("organization", "owner") / asked["name"]).mkdir(parents=True, exist_ok=True)
            return self._answer({"url": f"{self._address}/{asked.get('organization', 'owner')}/{asked['name']}"})
        if parts[-2] == "preupload":
            files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            return self._answer({"files": [{**file, "shouldIgnore": False} for file in files]})
        if parts[-2] == "commit":
            repository = "/".join(parts[3:5])
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    (self.root / repository / line["value"]["path"]).write_bytes(content)
            return self._answer({"commitUrl": f"{self._address}/{repository}/commit/{COMMIT}", "commitOid": COMMIT})
        return self._answer({"errors": [], "warnings": []})  # validate-yaml

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/models/"):
            repository = "/".join(path.split("/")[3:5])
            if not (self.root / repository).is_dir():
                return self._answer({"error": "Repository not found"}, 404)
            files = sorted((self.root / repository).iterdir())
            siblings = [{"rfilename": file.name, "size": file.stat().st_size} for file in files]
            return self._answer({"id": repository, "sha": COMMIT, "siblings": siblings})
        owner, name, _, _, file = path.lstrip("/").split("/", 4)
        content = (self.root / owner / name / file).read_bytes()
        if self.command == "GET":
            self.downloaded.append(file)
        etag = hashlib.sha256(content).hexdigest()
        return self._send(content, 200, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    def do_HEAD(self) -> None:
        self.do_GET()

    @property
    def _address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def _answer(self, content: Any, status: int = 200) -> None:
        headers = {"X-Error-Code": "RepoNotFound"} if status == 404 else {}
        self._send(json.dumps(content).encode(), status, {"Content-Type": "application/json", **headers})

    def _send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def hub_server(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve repositories in a folder; yields the address, and the list of files that are downloaded."""
    handler = type("Bound", (Handler,), {"root": root, "downloaded": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.downloaded
    finally:
        server.shutdown()
        server.server_close()
