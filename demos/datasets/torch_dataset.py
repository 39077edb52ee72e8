"""PyTorch dataset of windows."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

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


class TensorWindow(TypedDict):
    """Window, or a batch of windows with the number N of windows as first axis of every tensor."""

    observation: torch.Tensor | dict[str, torch.Tensor]
    """Shape ([N,] obs_horizon, ...), or a dict of such."""
    action: torch.Tensor
    """Shape ([N,] action_horizon, ...)."""
    is_pad: torch.Tensor
    """Bool, shape ([N,] action_horizon): True for repeated actions."""


class WindowDataset(Dataset[TensorWindow]):
    """PyTorch dataset whose items are windows, read from the file on demand.

    Args:
        dataset: Minari dataset.
        obs_horizon: Number of observations, at least 1.
        action_horizon: Number of actions, at least 1.

    Raises:
        ValueError: See :class:`demos.datasets.windows.Windows`.
    """

    def __init__(self, dataset: minari.MinariDataset, *, obs_horizon: int = 1, action_horizon: int = 1) -> None:
        self.windows = Windows(dataset, obs_horizon=obs_horizon, action_horizon=action_horizon)

    def __len__(self) -> int:
        """Number of steps of the dataset."""
        return len(self.windows)

    def __getitem__(self, index: int | Sequence[int] | npt.NDArray[np.int64]) -> TensorWindow:
        """Return one window, or a batch of windows; see :meth:`demos.datasets.windows.Windows.__getitem__`.

        Returns:
            The window as tensors.
        """
        tensors: TensorWindow = tree_map(torch.as_tensor, self.windows[index])
        return tensors

    def loader(
        self,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        workers: int = 0,
    ) -> DataLoader[TensorWindow]:
        """Return a data loader that reads a batch at a time.

        Args:
            batch_size: Number of windows in a batch.
            shuffle: Use a random order in each epoch.
            seed: Seeds the random order.
            drop_last: Leave out the last batch if it is smaller.
            workers: Number of processes that read; 0 is fast enough for states.
        """
        batches: Any = _Batches(len(self), batch_size, seed if shuffle else None, drop_last=drop_last)
        return DataLoader(self, sampler=batches, batch_size=None, num_workers=workers)


class _Batches(Sampler[npt.NDArray[np.int64]]):
    """Sampler of batches of indices of windows.

    Args:
        count: Number of windows.
        size: Batch size.
        seed: Seeds the random order; None for the order of the dataset.
        drop_last: Leave out the last batch if it is smaller.

    Raises:
        ValueError: The batch size is below 1.
    """

    def __init__(self, count: int, size: int, seed: int | None, *, drop_last: bool) -> None:
        if size < 1:
            raise ValueError(f"batch_size is {size}; expected at least 1")
        self._count = count
        self._size = size
        self._rng = None if seed is None else np.random.default_rng(seed)
        self._batches = count // size if drop_last else -(-count // size)

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return self._batches

    def __iter__(self) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the batches of an epoch."""
        order = np.arange(self._count) if self._rng is None else self._rng.permutation(self._count)
        for number in range(self._batches):
            yield order[number * self._size : (number + 1) * self._size]
