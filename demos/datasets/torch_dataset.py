"""Windows of a dataset for PyTorch."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any

if importlib.util.find_spec("torch") is None:
    raise ModuleNotFoundError(
        "demos.datasets.torch_dataset needs PyTorch: pip install 'lam-envs[agents]'", name="torch"
    )

import minari
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from demos.datasets.tree import tree_map
from demos.datasets.windows import Windows


class WindowDataset(Dataset[dict[str, Any]]):
    """A dataset of demonstrations whose items are windows, read from the file when they are asked for.

    Args:
        dataset: Any dataset of Minari.
        history: How many observations, at least 1.
        chunk: How many actions, at least 1.

    Raises:
        ValueError: See :class:`demos.datasets.windows.Windows`.
    """

    def __init__(self, dataset: minari.MinariDataset, *, history: int = 1, chunk: int = 1) -> None:
        self.windows = Windows(dataset, history=history, chunk=chunk)

    def __len__(self) -> int:
        """Steps of the dataset."""
        return len(self.windows)

    def __getitem__(self, index: int | Sequence[int] | npt.NDArray[np.int64]) -> dict[str, Any]:
        """Read one window, or a batch at once; see :meth:`demos.datasets.windows.Windows.__getitem__`.

        Returns:
            Tensors.
        """
        tensors: dict[str, Any] = tree_map(torch.as_tensor, self.windows[index])
        return tensors

    def loader(
        self,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        workers: int = 0,
    ) -> DataLoader[dict[str, Any]]:
        """Return batches, each read at once.

        Args:
            batch_size: Windows in a batch.
            shuffle: Draw windows in random order, every one once an epoch.
            seed: Of the order; it goes on from epoch to epoch.
            drop_last: Leave out a last batch that is smaller.
            workers: Processes that read; 0 is enough for states.
        """
        batches: Any = _Batches(len(self), batch_size, seed if shuffle else None, drop_last=drop_last)
        return DataLoader(self, sampler=batches, batch_size=None, num_workers=workers)


class _Batches(Sampler[npt.NDArray[np.int64]]):
    """Numbers of windows, a batch at a time.

    Args:
        count: How many windows there are.
        size: Of a batch.
        seed: Of the order; None for that of the dataset.
        drop_last: Leave out a last batch that is smaller.

    Raises:
        ValueError: A batch of fewer than one.
    """

    def __init__(self, count: int, size: int, seed: int | None, *, drop_last: bool) -> None:
        if size < 1:
            raise ValueError(f"batch_size is {size}; expected at least 1")
        self._count = count
        self._size = size
        self._rng = None if seed is None else np.random.default_rng(seed)
        self._batches = count // size if drop_last else -(-count // size)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._batches

    def __iter__(self) -> Iterator[npt.NDArray[np.int64]]:
        """An epoch."""
        order = np.arange(self._count) if self._rng is None else self._rng.permutation(self._count)
        for number in range(self._batches):
            yield order[number * self._size : (number + 1) * self._size]
