"""Table and floor behind what PyBullet's software renderer drew.

The software renderer spends most of its time on faces that fill the picture, and those are ground: level planes of
one colour, whose pictures are polygons of one colour. Painting them behind the rest takes a tenth of the time and
gives the pixels that it would have drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SPECULAR_LIGHT = 0.05
"""The renderer's share of light that is mirrored."""
SKY = 1.0
"""OpenGL's depth where nothing is drawn."""


class Plate:
    """A level rectangle along the world's axes, seen from above.

    Args:
        low: Least x and y, metres.
        high: Largest x and y, metres.
        height: Metres.
        color: Red, green, blue in [0, 1].
    """

    def __init__(
        self, low: tuple[float, float], high: tuple[float, float], height: float, color: Sequence[float]
    ) -> None:
        self.color = color
        self.points = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, height], [0.0, 0.0, 1.0]])
        """Turns (x, y, 1) into a point (x, y, height, 1)."""
        self.edges = np.array([[1.0, 0.0, -low[0]], [-1.0, 0.0, high[0]], [0.0, 1.0, -low[1]], [0.0, -1.0, high[1]]])
        """Turn (x, y, 1) into how far inside of each edge it is."""


def brightness_of_level(light: Sequence[float], ambient: float, diffuse: float) -> float:
    """How bright the renderer draws what faces up.

    Args:
        light: Where the light comes from.
        ambient: Share of light from everywhere.
        diffuse: Share of light from there.
    """
    upward = max(light[2], 0.0) / math.hypot(*light)
    return ambient + diffuse * upward + SPECULAR_LIGHT * upward * upward


def paint(
    pixels: npt.NDArray[np.uint8],
    depth: npt.NDArray[np.float32],
    plates: Sequence[Plate],
    view: Sequence[float],
    projection: Sequence[float],
    brightness: float,
) -> None:
    """Paints plates behind what is nearer.

    Args:
        pixels: What was drawn, red, green, blue, opacity; shape (height, width, 4), contiguous; is changed.
        depth: OpenGL's depth buffer of it, shape (height, width); is changed.
        plates: What to paint; the highest first.
        view: OpenGL's view matrix, column by column.
        projection: OpenGL's projection matrix, column by column.
        brightness: Of :func:`brightness_of_level`.
    """
    rows, columns = depth.shape
    to_clip = np.reshape(projection, (4, 4)).T @ np.reshape(view, (4, 4)).T
    # The renderer's pixels are at whole coordinates, and its first row is the last.
    across = np.arange(columns, dtype=np.float32) * (2.0 / columns) - 1.0
    up = np.arange(rows - 1, -1, -1, dtype=np.float32) * (2.0 / rows) - 1.0
    for plate in plates:
        if depth.max() < SKY:
            return
        # A point (x, y, 1) of the plane is seen at clip coordinates to_screen @ (x, y, 1), divided by their w. Turned
        # round: x / w, y / w and 1 / w are linear in the picture, and so are the distances from the edges over w
        # and the depth z / w. Each is a share of the column, a share of the row and a constant.
        to_screen = to_clip @ plate.points
        to_plane = np.linalg.inv(to_screen[[0, 1, 3]])
        shares = np.concatenate([to_screen[2:3], plate.edges]) @ to_plane
        # Clip coordinates go from -1 to 1, the depth buffer from 0 to 1.
        shares[0] = shares[0] / 2.0 + (0.0, 0.0, 0.5)
        right, upward, constant = shares.T.astype(np.float32)[:, :, None]
        images = (upward * up + constant)[:, :, None] + (right * across)[:, None, :]
        seen = (np.minimum.reduce(images[1:]) >= 0.0) & (images[0] < depth)
        red, green, blue = (min(int(255.0 * channel * brightness), 255) for channel in plate.color)
        color = np.array([red, green, blue, 255], dtype=np.uint8)
        # Four bytes at once.
        np.copyto(pixels.view(np.uint32)[..., 0], color.view(np.uint32), where=seen)
        np.copyto(depth, images[0], where=seen)
