"""Random numbers of a training: its own, whatever global generators the libraries draw from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def isolated_rng(seed: int) -> Iterator[None]:
    """Seeds the global generators of Python, NumPy and PyTorch, and gives them back as they were.

    Stable-Baselines3 and imitation draw from them. PyTorch computes in one thread: networks this small gain nothing
    from more, and the order of sums would depend on their number.

    Args:
        seed: At least 0.
    """
    before, threads = generators(), torch.get_num_threads()
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  (what the libraries draw from)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        set_generators(before)
        torch.set_num_threads(threads)


def generators() -> dict[str, Any]:
    """Returns the state of the global generators."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [name, [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
    }


def set_generators(state: dict[str, Any]) -> None:
    """Sets the global generators to a state of :func:`generators`."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
