"""Keep C libraries from writing to the terminal."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys


class Silenced:
    """While entered, what C code writes to standard output and error goes nowhere; Python's errors still rise."""

    def __enter__(self) -> None:
        _flush()
        self._saved: dict[int, int] = {}
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            # Services may run with either closed.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
            with contextlib.suppress(OSError):
                self._saved[descriptor] = os.dup(descriptor)
                os.dup2(nowhere, descriptor)
        os.close(nowhere)

    def __exit__(self, *exception: object) -> None:
        _flush()
        for descriptor, saved in self._saved.items():
            os.dup2(saved, descriptor)
            os.close(saved)


def _flush() -> None:
    """Empties C's own buffers, which it would otherwise write when the process ends if nobody reads along."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # Windows has no such library
        ctypes.CDLL(None).fflush(None)
