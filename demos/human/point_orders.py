"""Orders of hand points in other formats, as indices for the order of OpenPose and MediaPipe."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from demos.human.track import Floats

ABSENT = -1
"""Index of a point that an order does not have."""


class PointOrder(NamedTuple):
    """Order of the points of a format."""

    size: int
    """Number of points."""
    indices: tuple[int, ...]
    """Index in the format of each of the 21 points; ``ABSENT`` where it has none."""


POINT_ORDERS = {
    "mediapipe": PointOrder(21, tuple(range(21))),
    # 16 joints of the model (wrist, index, middle, pinky, ring, thumb), then the tips from thumb to pinky.
    "mano": PointOrder(21, (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)),
    # Tips from thumb to pinky, wrist, then the joints; 20 is the center of the palm, and the thumb lacks its first.
    "aria": PointOrder(21, (5, ABSENT, 6, 7, 0, 8, 9, 10, 1, 11, 12, 13, 2, 14, 15, 16, 3, 17, 18, 19, 4)),
    # W3C WebXR Hand Input: fingers other than the thumb have a metacarpal more. ARKit's hand has the same order.
    "webxr": PointOrder(25, (0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 24)),
}
"""Orders by name."""


def reorder(points: Floats, order: str) -> Floats:
    """Return points in our order, shape (T, 21, dimensions); NaN where the format has none.

    Args:
        points: Shape (T, points of the order, dimensions).
        order: Name in ``POINT_ORDERS``.

    Raises:
        ValueError: The order is unknown, or has another number of points.
    """
    if order not in POINT_ORDERS:
        raise ValueError(f"unknown point order {order!r}; expected one of {', '.join(POINT_ORDERS)}")
    size, indices = POINT_ORDERS[order]
    if points.shape[1] != size:
        raise ValueError(f"{points.shape[1]} points a frame; the order {order} has {size}")
    padded = np.concatenate([points, np.full((len(points), 1, points.shape[2]), np.nan)], axis=1)
    return padded[:, list(indices)]
