"""Suppress the output of C libraries on the terminal."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading

_lock = threading.RLock()  # a block may be entered by a finalizer, at any time
_blocks = 0
"""Number of blocks that threads are in. The output is one of the process: the first block discards it, and the last
one restores it."""
_saved: dict[int, int] = {}
"""Copies of the descriptors of standard output and standard error."""


class SuppressOutput:
    """Context in which standard output and standard error of C code are discarded. Python errors still propagate.

    Blocks may be nested, and several threads may be in one.
    """

    def __enter__(self) -> None:
        global _blocks
        null = os.open(os.devnull, os.O_WRONLY)
        with _lock:
            _blocks += 1
            if _blocks == 1:
                _discard(null)
        os.close(null)

    def __exit__(self, *exception: object) -> None:
        global _blocks
        with _lock:
            if _blocks == 1:
                _restore()
            _blocks -= 1


def _discard(null: int) -> None:
    _flush()
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        # A service may run with either stream closed.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
        with contextlib.suppress(OSError):
            _saved[descriptor] = os.dup(descriptor)
            os.dup2(null, descriptor)


def _restore() -> None:
    _flush()
    while _saved:
        descriptor, saved = _saved.popitem()
        os.dup2(saved, descriptor)
        os.close(saved)


def _flush() -> None:
    """Flush the buffers of the C library, which otherwise writes them when the process ends."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # not available on Windows
        ctypes.CDLL(None).fflush(None)
