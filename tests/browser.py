"""Drives a headless Chromium by its own protocol, over pipes: what a page looks like, and what it complains of."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READ, WRITE = 3, 4
"""File descriptors that Chromium's remote debugging uses."""
KEYS = {"Space": " "}
"""Names of keys that do not follow from their codes."""
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)


class Browser:
    """One page in Chromium. Use :func:`browsing`."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self._touches = False
        self.complaints: list[str] = []
        """Errors and warnings of the console, uncaught exceptions, and what the page's policy forbade."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, page: Path | str, *, width: int, height: int = 900, scheme: str = "light") -> None:
        """Open a file or an address, and wait until it and its images are loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=min(width, height) < 600,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=min(width, height) < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=page if isinstance(page, str) else page.absolute().as_uri())
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, script: str) -> Any:
        """The value of an expression, waited for."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def key(self, code: str, *, down: bool) -> None:
        """Press or release a key, such as KeyW, Space or Enter, as the operating system reports it."""
        is_letter = code.startswith(("Key", "Digit"))
        name = KEYS.get(code, code.removeprefix("Key").removeprefix("Digit").lower() if is_letter else code)
        self.call("Input.dispatchKeyEvent", type="rawKeyDown" if down else "keyUp", code=code, key=name)

    def press(self, code: str) -> None:
        """Press a key for a moment."""
        self.key(code, down=True)
        self.key(code, down=False)

    def touch(self, *points: tuple[float, float]) -> None:
        """Puts fingers on the screen, moves those that are there, or lifts all if there are no points."""
        kind = "touchEnd" if not points else "touchMove" if self._touches else "touchStart"
        self._touches = bool(points)
        self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y} for x, y in points])

    def screenshot(self, path: Path) -> None:
        """Writes a PNG of the whole page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            block = os.read(self._from, 1 << 16)
            assert block, "Chromium ended"
            self._rest += block
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        details = message.get("params", {})
        if message.get("method") == "Log.entryAdded" and details["entry"]["level"] in ("error", "warning"):
            self.complaints.append(details["entry"]["text"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(details["exceptionDetails"]))
        elif message.get("method") == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning"):
            self.complaints.append(json.dumps(details["args"]))
        return message


@contextmanager
def browsing(profile: Path, *flags: str) -> Iterator[Browser]:
    """Starts Chromium with a new profile and further flags, and ends it."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program is not None, "this test opens a page in Chromium, and there is none: install chromium"
    to_browser, from_browser = os.pipe(), os.pipe()
    # Out of the way of the numbers that Chromium expects.
    reads, writes = fcntl.fcntl(to_browser[0], fcntl.F_DUPFD, 10), fcntl.fcntl(from_browser[1], fcntl.F_DUPFD, 10)

    def place_pipes() -> None:
        os.dup2(reads, READ)
        os.dup2(writes, WRITE)

    process = subprocess.Popen(
        [program, *FLAGS, *flags, f"--user-data-dir={profile}"],
        preexec_fn=place_pipes,
        close_fds=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for descriptor in (reads, writes, to_browser[0], from_browser[1]):
        os.close(descriptor)
    try:
        yield Browser(to_browser[1], from_browser[0])
    finally:
        process.terminate()
        process.wait(20)
        os.close(to_browser[1])
        os.close(from_browser[0])
