"""Points as lists for PyBullet, which keeps every list of coordinates that it gets."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt


class PointLists(threading.local):
    """Lists of coordinates that all calls of a thread share.

    PyBullet 3.2.7 never releases the points of ``vertices`` and ``normals``: with new lists for each shape, memory
    would grow by about 130 bytes a point.
    """

    def __init__(self) -> None:
        self._lists: list[list[float]] = []

    def fill(self, points: npt.NDArray[np.float64]) -> list[list[float]]:
        """Return points as lists, which are valid until the next call.

        Args:
            points: Points or directions, shape (n, 3).
        """
        self._lists.extend([] for _ in range(len(points) - len(self._lists)))
        lists = self._lists[: len(points)]
        for coordinates, point in zip(lists, points.tolist(), strict=True):
            coordinates[:] = point
        return lists


VERTICES, NORMALS = PointLists(), PointLists()
