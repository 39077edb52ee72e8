"""Run functions that may crash, hang or exhaust the memory in a separate process, and read their messages.

Messages are lines of JSON, so nothing is unpickled. The process is started by the name of its function, not through
``multiprocessing``, which would run the caller's script again.
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
from typing import IO

from demos.runtime.types import JsonObject

READ_TIMEOUT_SECONDS = 60.0
"""Largest time to read one array, seconds."""
START = "import sys; sys.path[:] = sys.argv[2:]; from demos.check.isolation import main; main(sys.argv[1])"
READY = {"ready": True}

Send = Callable[[JsonObject], None]


class ProcessError(Exception):
    """A process ended before it finished."""


def messages_of(function: str, settings: JsonObject, timeout: float = READ_TIMEOUT_SECONDS) -> Iterator[JsonObject]:
    """Run a function in a separate process; yield its messages.

    Args:
        function: ``module:name`` of the function, which is called with the settings and a function that sends
            messages.
        settings: Settings as JSON data.
        timeout: Time without a message after which the process counts as hanging, seconds.

    Raises:
        ProcessError: The process crashed, hung or failed.
        RuntimeError: The process could not be started.
    """
    command = [sys.executable, "-c", START, function, *sys.path]
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(  # noqa: S603  (our own interpreter and a constant)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        )
        assert process.stdin is not None  # noqa: S101  (it is a pipe)
        assert process.stdout is not None  # noqa: S101  (it is a pipe)
        try:
            started = False
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps({**settings, "timeout": timeout}).encode())
                process.stdin.close()
            for line in _lines(process.stdout, timeout):
                message = json.loads(line)
                if message == READY:
                    started = True
                else:
                    yield message
            if process.wait() != 0:
                cause = _cause(process.returncode, stderr)
                if started:
                    raise ProcessError(cause)
                raise RuntimeError(f"cannot start a process that reads the file: {cause}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _lines(stream: IO[bytes], timeout: float) -> Iterator[bytes]:
    """Yield the lines of a pipe; a thread reads them, because not every system can read a pipe with a timeout."""
    arrived: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def forward() -> None:
        # The pipe is closed while this thread reads, if the process is ended early.
        with contextlib.suppress(ValueError, OSError):
            for line in stream:
                arrived.put(line)
        arrived.put(None)

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    # The first line comes after all imports, which may be slow.
    wait = max(timeout, READ_TIMEOUT_SECONDS)
    while True:
        try:
            line = arrived.get(timeout=wait)
        except queue.Empty:
            raise ProcessError(f"hung: no message for {wait:g} s") from None
        wait = timeout
        if line is None:
            thread.join()
            return
        yield line


def _cause(code: int, stderr: IO[bytes]) -> str:
    if code < 0:
        return f"crashed by {signal.Signals(-code).name}"
    stderr.seek(0)
    last = stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
    return f"ended with exit status {code} ({last})"


def main(function: str) -> None:
    """Run the function in the separate process; its messages go to standard output."""
    settings = json.load(sys.stdin)
    # Output of libraries must not mix with the messages.
    with os.fdopen(os.dup(1), "w") as channel:
        os.dup2(2, 1)

        def send(message: JsonObject) -> None:
            _limit_cpu_time(2 * settings["timeout"])
            channel.write(json.dumps(message) + "\n")
            channel.flush()

        module, _, name = function.partition(":")
        called = getattr(importlib.import_module(module), name)
        send(READY)
        called(settings, send)


def limit_memory(spare: int) -> None:
    """Limit the memory of this process to its current memory and ``spare`` bytes, where the system supports it."""
    statistics = Path("/proc/self/statm")
    if statistics.exists():
        import resource

        used = int(statistics.read_text().split()[0]) * resource.getpagesize()
        _set_limit(resource.RLIMIT_AS, used + spare)
        _set_limit(resource.RLIMIT_CORE, 0)


def _limit_cpu_time(seconds: float) -> None:
    """Limit the remaining processor time of this process, so that it cannot hang after its parent is killed."""
    if os.name == "posix":
        import resource

        _set_limit(resource.RLIMIT_CPU, int(time.process_time() + seconds) + 1)


def _set_limit(which: int, value: int) -> None:
    import resource

    hard = resource.getrlimit(which)[1]
    resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
