"""Run what may crash, hang or ask for all memory in a process of its own, and read what it tells.

Both sides speak JSON, a line a message: nothing that comes from there is unpickled here. The process is started with
its function's name, and not through ``multiprocessing``, which would run the caller's own script again.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

SILENCE_SECONDS = 60.0
"""So long may one array take to be read; a disk delivers gigabytes meanwhile."""
START = "import sys; sys.path[:] = sys.argv[2:]; from demos.check.isolation import main; main(sys.argv[1])"
READY = {"ready": True}

Tell = Callable[[dict[str, Any]], None]


class DiedError(Exception):
    """A process ended before it was done."""


def messages_of(
    function: str, settings: dict[str, Any], silence: float = SILENCE_SECONDS
) -> Iterator[dict[str, Any]]:
    """Run a function in a process of its own; yields what it tells.

    Args:
        function: ``module:name``, called with the settings and a function that sends a message.
        settings: Plain data, as JSON.
        silence: Seconds from one message to the next before it is taken for hanging, and ended.

    Raises:
        DiedError: It crashed, hung or failed.
        RuntimeError: It could not even be started.
    """
    command = [sys.executable, "-c", START, function, *sys.path]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(  # noqa: S603  (our own interpreter and a constant)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints
        )
        assert process.stdin is not None  # noqa: S101  (it is a pipe)
        assert process.stdout is not None  # noqa: S101  (it is a pipe)
        try:
            started = False
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps({**settings, "silence": silence}).encode())
                process.stdin.close()
            for line in _lines(process.stdout, silence):
                message = json.loads(line)
                if message == READY:
                    started = True
                else:
                    yield message
            if process.wait() != 0:
                cause = _cause(process.returncode, complaints)
                if started:
                    raise DiedError(cause)
                raise RuntimeError(f"no process could be started to read in: {cause}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _lines(stream: IO[bytes], silence: float) -> Iterator[bytes]:
    """Yield the lines of a pipe; a thread waits for them, as not every system can wait for a pipe with a limit."""
    arrived: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def forward() -> None:
        # The pipe is closed under it when the process is ended early.
        with contextlib.suppress(ValueError, OSError):
            for line in stream:
                arrived.put(line)
        arrived.put(None)

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    # The first line comes when everything is imported, which takes as long as it takes.
    patience = max(silence, SILENCE_SECONDS)
    while True:
        try:
            line = arrived.get(timeout=patience)
        except queue.Empty:
            raise DiedError(f"hung: nothing came for {patience:g} s") from None
        patience = silence
        if line is None:
            thread.join()
            return
        yield line


def _cause(code: int, complaints: IO[bytes]) -> str:
    if code < 0:
        return f"crashed by {signal.Signals(-code).name}"
    complaints.seek(0)
    last = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
    return f"ended with exit status {code} ({last})"


def main(function: str) -> None:
    """The other side: calls the function, whose messages go where the output would."""
    settings = json.load(sys.stdin)
    # What libraries print must not come between the messages.
    with os.fdopen(os.dup(1), "w") as channel:
        os.dup2(2, 1)

        def tell(message: dict[str, Any]) -> None:
            _limit_processor_time(2 * settings["silence"])
            channel.write(json.dumps(message) + "\n")
            channel.flush()

        module, _, name = function.partition(":")
        called = getattr(importlib.import_module(module), name)
        tell(READY)
        called(settings, tell)


def limit_memory(spare: int) -> None:
    """Let this process use no more memory than it has now and so many bytes; without effect where unsupported."""
    statistics = Path("/proc/self/statm")
    if statistics.exists():
        import resource

        used = int(statistics.read_text().split()[0]) * resource.getpagesize()
        _set_limit(resource.RLIMIT_AS, used + spare)
        _set_limit(resource.RLIMIT_CORE, 0)


def _limit_processor_time(seconds: float) -> None:
    """End this process if it computes for so long from now: one that hangs must not outlive a killed parent."""
    if os.name == "posix":
        import resource

        _set_limit(resource.RLIMIT_CPU, int(time.process_time() + seconds) + 1)


def _set_limit(which: int, value: int) -> None:
    import resource

    hard = resource.getrlimit(which)[1]
    resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
