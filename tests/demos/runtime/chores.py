"""Jobs of the tests of engines."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from demos.runtime.engines import progress


def append(path: Path, text: str) -> list[str]:
    before = path.read_text().split() if path.is_file() else []
    path.write_text(" ".join([*before, text]))
    return before


def halfway(seconds: float) -> str:
    progress.report(0.5)
    time.sleep(seconds)
    return "done"


def hang(sleep: Callable[[float], object]) -> None:
    progress.limit("a nap", 0.2)
    sleep(600)


def in_time_of(limit: float) -> None:
    progress.limit("a nap", limit)
    time.sleep(0.1)


def in_time(seconds: float) -> None:
    progress.limit("a nap", 0.5)
    progress.no_limit()
    time.sleep(seconds)


def failing() -> None:
    raise ValueError("a mistake of mine")


remembered: list[str] = []


def remember(what: str) -> list[str]:
    remembered.append(what)
    return list(remembered)


def fork_and_die() -> None:
    if os.fork():
        os._exit(3)
    time.sleep(600)


def wait_for_ever() -> int:
    threading.Thread(target=time.sleep, args=(600,)).start()
    return subprocess.Popen(["sleep", "600"]).pid
