"""Keep C libraries from writing to the terminal."""

from __future__ import annotations

import os
import sys


class Silenced:
    """While entered, what C code writes to standard output and error goes nowhere; Python's errors still rise."""

    def __enter__(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._saved = [os.dup(descriptor) for descriptor in (1, 2)]
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)
        os.close(nowhere)

    def __exit__(self, *exception: object) -> None:
        for descriptor, saved in zip((1, 2), self._saved, strict=True):
            os.dup2(saved, descriptor)
            os.close(saved)
