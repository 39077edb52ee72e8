"""Isolated random numbers of a training run, although libraries draw from global generators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from agents.types import State


@contextmanager
def isolated_rng(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and PyTorch, and restore them afterward.

    Stable-Baselines3 and imitation draw from them. PyTorch uses one thread: more do not speed up networks this small,
    and the order of sums would depend on their number.

    Args:
        seed: Seed, at least 0.
    """
    before, threads = generators(), torch.get_num_threads()
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  (libraries draw from it)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        set_generators(before)
        torch.set_num_threads(threads)


def generators() -> State:
    """Return the states of the global generators; those of GPUs only where PyTorch uses one."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [name, [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        **({"cuda": torch.cuda.get_rng_state_all()} if _uses_gpu() else {}),
    }


def _uses_gpu() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def set_generators(state: State) -> None:
    """Set the global generators to a state of :func:`generators`."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    # A checkpoint of a GPU may be resumed where there are fewer of them, or none.
    for device, numbers in zip(range(torch.cuda.device_count()), state.get("cuda", ()), strict=False):
        torch.cuda.set_rng_state(numbers, device)
