"""Examples of several sources, such as files and memory, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch

from agents.data.sequences import concatenate


class JoinedExamples:
    """Examples of several sources. A minibatch reads from each source what it needs.

    Args:
        parts: Sources, at least one. Indexing each with rows of shape (n,) gives a frozen dataclass of tensors of
            shape (n, ...) or dicts of such, the same dataclass for all sources.
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        self._parts = parts
        self._starts = np.array([0, *accumulate(len(part) for part in parts)])

    def __len__(self) -> int:
        """Return the number of examples."""
        return int(self._starts[-1])

    def __getitem__(self, rows: Any) -> Any:
        """Return some examples, at least one: those of a slice, or of row numbers of shape (n,)."""
        numbers = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else np.asarray(rows)
        # An empty part starts where the next one does, which is then found.
        sources = np.searchsorted(self._starts, numbers, side="right") - 1
        batches, positions = [], []
        for source in np.unique(sources):
            chosen = np.flatnonzero(sources == source)
            batches.append(self._parts[source][numbers[chosen] - self._starts[source]])
            positions.append(chosen)
        if len(batches) == 1:
            return batches[0]
        order = torch.from_numpy(np.argsort(np.concatenate(positions)))
        names = vars(batches[0])
        return type(batches[0])(**{name: _joined([vars(batch)[name] for batch in batches], order) for name in names})


def _joined(parts: Sequence[Any], order: torch.Tensor) -> Any:
    """Return tensors, or dicts of such, one after the other and then in another order."""
    if isinstance(parts[0], dict):
        return {name: _joined([part[name] for part in parts], order) for name in parts[0]}
    return concatenate(parts)[order]
