"""Deadline: limit to the wall time of code that may hang, such as an episode of an agent."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any

REPEAT_SECONDS = 0.5
"""Time between two interruptions, as code may catch the first."""
GRACE_SECONDS = 3.0
"""Time after which the process of a block that cannot be interrupted is ended."""


class Interrupted(BaseException):
    """Raised in a block whose time is over; not an Exception, which the block might catch."""


class Deadline:
    """Limit to the wall time of a ``with`` block.

    When the time is over, the block is interrupted wherever it is, and raises TimeoutError. In the main thread a
    signal does that, so that sleeping and waiting end too. In other threads and on Windows, only Python code can be
    interrupted. A block that still runs some seconds later (compiled code that hangs, code that catches all
    exceptions) cannot be interrupted: its process writes to stderr where it hangs, and ends with exit code 1.

    Args:
        seconds: Wall time of the block.
        what: Name of the block in errors, such as "the episode with seed 3".

    Raises:
        TimeoutError: The block took longer.
    """

    def __init__(self, seconds: float, what: str) -> None:
        # Beyond this, Python cannot wait: centuries on Linux, 49 days on Windows.
        self._seconds = min(seconds, threading.TIMEOUT_MAX / 2)
        self._what = what
        self._ended = threading.Condition()
        self._has_ended = False
        self._until = 0.0
        self._thread = 0
        self._previous: Any = None
        self._by_signal = False

    def __enter__(self) -> Deadline:
        self._thread = threading.get_ident()
        self._previous = None
        if hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread():
            self._previous = signal.getsignal(signal.SIGALRM)
        # None: a handler that was not installed from Python could not be restored.
        self._by_signal = self._previous is not None
        self._until = time.monotonic() + self._seconds
        if self._by_signal:
            signal.signal(signal.SIGALRM, self._on_signal)
        self._watch = threading.Thread(target=self._run, name=f"deadline of {self._what}", daemon=True)
        self._watch.start()
        if sys.__stderr__ is not None:
            # The last resort: it runs no Python code, which compiled code can block.
            last = self._seconds + 2.0 * GRACE_SECONDS
            faulthandler.dump_traceback_later(last, exit=True, file=sys.__stderr__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._ended:
                self._has_ended = True
                self._ended.notify()
            self._watch.join()
        finally:
            faulthandler.cancel_dump_traceback_later()
            if self._by_signal:
                signal.signal(signal.SIGALRM, self._previous)
            else:
                # Cancel an interruption that was not raised yet.
                _raise_in(self._thread, None)
        if kind is Interrupted and self._is_over:
            raise TimeoutError(f"{self._what} took longer than {self._seconds:g} s") from error

    @property
    def _is_over(self) -> bool:
        return time.monotonic() >= self._until

    def _run(self) -> None:
        with self._ended:
            while not self._has_ended:
                left = self._until - time.monotonic()
                if left > 0.0:
                    self._ended.wait(left)
                    continue
                if left < -GRACE_SECONDS:
                    self._end_process()
                if self._by_signal:
                    signal.pthread_kill(self._thread, signal.SIGALRM)
                else:
                    _raise_in(self._thread, Interrupted)
                self._ended.wait(REPEAT_SECONDS)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._is_over and not self._has_ended:
            raise Interrupted
        if callable(self._previous):
            # The alarm belongs to code around the block, such as pytest-timeout.
            self._previous(number, frame)

    def _end_process(self) -> None:
        if sys.__stderr__ is not None:
            sys.__stderr__.write(
                f"error: {self._what} took longer than {self._seconds:g} s and cannot be interrupted, so its process "
                "ends. It hangs here:\n"
            )
            sys.__stderr__.flush()
            faulthandler.dump_traceback(file=sys.__stderr__)
        os._exit(1)


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Raise an error in a thread as soon as it runs Python code; None cancels one that was not raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error)
    )
