"""Suppress the output of C libraries on the terminal."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys


class SuppressOutput:
    """Context in which standard output and standard error of C code are discarded. Python errors still propagate."""

    def __enter__(self) -> None:
        _flush()
        self._saved: dict[int, int] = {}
        null = os.open(os.devnull, os.O_WRONLY)
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            # A service may run with either stream closed.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
            with contextlib.suppress(OSError):
                self._saved[descriptor] = os.dup(descriptor)
                os.dup2(null, descriptor)
        os.close(null)

    def __exit__(self, *exception: object) -> None:
        _flush()
        for descriptor, saved in self._saved.items():
            os.dup2(saved, descriptor)
            os.close(saved)


def _flush() -> None:
    """Flush the buffers of the C library, which otherwise writes them when the process ends."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # not available on Windows
        ctypes.CDLL(None).fflush(None)
