"""Printed board: a black frame of known size with a dot in one corner, found in an image of the table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from demos.human.calibration.camera import Camera, calibrate_rectangle, homography
from demos.human.track import Floats
from demos.runtime.files import write_atomically

WIDTH, HEIGHT = 0.24, 0.16
"""Outer size of the frame, meters; it fits on A4 and on Letter."""
BORDER = 0.02
"""Width of the frame, meters."""
DOT = 0.03
"""Diameter of the dot, meters."""
DOT_CENTER = 0.045
"""Distance of the dot's center from the two outer sides of its corner, meters."""
MIN_AREA = 0.002
"""Smallest area of the board, as a fraction of the image."""
CONTRAST = 0.85
"""Brightness below which a pixel is dark, as a fraction of its neighborhood's."""
MIN_FILL = 0.96
"""Least area of the frame's hull that the best quadrilateral covers; also the largest ratio the other way around."""

PAGE = """<svg xmlns="http://www.w3.org/2000/svg" width="297mm" height="210mm" viewBox="0 0 297 210">
<rect width="297" height="210" fill="white"/>
<path fill="black" fill-rule="evenodd" d="M{x} {y}h{w}v{h}h-{w}zM{ix} {iy}h{iw}v{ih}h-{iw}z"/>
<circle cx="{cx}" cy="{cy}" r="{r}" fill="black"/>
<text x="{x}" y="203" font-family="sans-serif" font-size="5">Print at 100%: the frame must be {w} x {h} mm.</text>
</svg>
"""


def write_board(path: str | Path) -> Path:
    """Write the board as an SVG of A4 size, to print at 100%.

    Raises:
        ValueError: The path has another suffix.
    """
    path = Path(path)
    if path.suffix != ".svg":
        raise ValueError(f"cannot write {path}: expected a name that ends in .svg")
    w, h, b = 1000 * WIDTH, 1000 * HEIGHT, 1000 * BORDER
    x, y = (297 - w) / 2, (210 - h) / 2
    values = {
        "x": x, "y": y, "w": w, "h": h, "ix": x + b, "iy": y + b, "iw": w - 2 * b, "ih": h - 2 * b,
        "cx": x + 1000 * DOT_CENTER, "cy": y + 1000 * DOT_CENTER, "r": 500 * DOT,
    }  # fmt: skip
    return write_atomically(path, PAGE.format(**{name: f"{value:g}" for name, value in values.items()}))


def calibrate_board(image: npt.NDArray[Any], *, focal: float | None = None) -> Camera:
    """Return the camera that sees the printed board on the table.

    The origin is the board's center, x points along its long side away from the dot, and z up.

    Args:
        image: RGB or gray, shape (height, width, 3) or (height, width).
        focal: Focal length in pixels, if it is known.

    Raises:
        ValueError: The board is not found.
    """
    corners = find_board(image)
    return calibrate_rectangle(corners, (WIDTH, HEIGHT), (image.shape[1], image.shape[0]), focal=focal)


def find_board(image: npt.NDArray[Any]) -> Floats:
    """Return the corners of the frame, shape (4, 2), clockwise from the one with the dot.

    Raises:
        ValueError: The board is not found.
    """
    from scipy.ndimage import binary_fill_holes, find_objects, label, uniform_filter

    gray = np.asarray(image, dtype=np.float64)
    gray = gray.mean(axis=2) if gray.ndim == 3 else gray
    size = max(gray.shape) // 8
    dark = gray < CONTRAST * uniform_filter(gray, size)
    labels, _ = label(dark)
    best: tuple[float, Floats] | None = None
    for number, part in enumerate(find_objects(labels), start=1):
        if (part[0].stop - part[0].start) * (part[1].stop - part[1].start) < MIN_AREA * gray.size:
            continue
        region = labels[part] == number
        filled = binary_fill_holes(region)
        # A frame has a hole of about half of its area.
        if not 0.2 < (filled.sum() - region.sum()) / max(filled.sum(), 1) < 0.8:
            continue
        corners = _quadrilateral(filled)
        if corners is not None and (best is None or filled.sum() > best[0]):
            best = (float(filled.sum()), corners + np.array([part[1].start, part[0].start]))
    if best is None:
        raise ValueError("the board is not found; expected the whole black frame in view, flat, sharp and evenly lit")
    return _from_dot(gray, best[1])


def _quadrilateral(filled: npt.NDArray[np.bool_]) -> Floats | None:
    """Return the corners of a region if it is a quadrilateral, clockwise; None if it is not."""
    from scipy.spatial import ConvexHull

    rows, columns = np.nonzero(filled & ~_inner(filled))
    if len(rows) < 20:
        return None
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    hull = points[ConvexHull(points).vertices]
    corners = _four_corners(hull)
    if corners is None:
        return None
    lines = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        # Fit each side to the pixels of the border near it, away from the corners.
        along = (end - start) / np.linalg.norm(end - start)
        position = (points - start) @ along / np.linalg.norm(end - start)
        off = np.abs((points - start) @ np.array([-along[1], along[0]]))
        near = points[(position > 0.1) & (position < 0.9) & (off < 3)]
        if len(near) < 5:
            return None
        center = near.mean(axis=0)
        normal = np.linalg.svd(near - center)[2][1]
        # The border pixels are inside: the edge is half a pixel farther out.
        outward = normal if (center - points.mean(axis=0)) @ normal > 0 else -normal
        lines.append((outward, float(outward @ center) + 0.5))
    fitted = [
        np.linalg.solve(np.stack([before[0], after[0]]), [before[1], after[1]])
        for before, after in zip([lines[-1], *lines[:-1]], lines, strict=True)
    ]
    result = np.array(fitted)
    fill = float(filled.sum()) / max(_area(result), 1.0)
    return result if MIN_FILL < fill < 1 / MIN_FILL else None


def _inner(filled: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the pixels whose four neighbors are in a region."""
    padded = np.pad(filled, 1)
    inner: npt.NDArray[np.bool_] = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inner


def _area(corners: Floats) -> float:
    x, y = corners.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _four_corners(hull: Floats) -> Floats | None:
    """Return the hull's vertices of the largest quadrilateral, clockwise in the image."""
    hull = hull[:: max(len(hull) // 60, 1)]
    # The two farthest apart, then the farthest on each side of their line.
    distances = np.linalg.norm(hull[:, None] - hull[None], axis=2)
    first, third = np.unravel_index(int(distances.argmax()), distances.shape)
    line = hull[third] - hull[first]
    side = (hull - hull[first]) @ np.array([-line[1], line[0]])
    second, fourth = int(side.argmin()), int(side.argmax())
    if len({int(first), int(third), second, fourth}) < 4:
        return None
    corners = hull[[int(first), second, int(third), fourth]]
    center = corners.mean(axis=0)
    order = np.argsort([math.atan2(y, x) for x, y in corners - center])
    return corners[order]


def _from_dot(gray: Floats, corners: Floats) -> Floats:
    """Return the corners from the one with the dot on, whose second is along the long side.

    Raises:
        ValueError: There is no dot.
    """
    from scipy.ndimage import map_coordinates

    brightness = []
    for turn in range(4):
        turned = np.roll(corners, -turn, axis=0)
        plane = np.array([[0.0, 0.0], [WIDTH, 0.0], [WIDTH, HEIGHT], [0.0, HEIGHT]])
        center = np.array([DOT_CENTER, DOT_CENTER, 1.0])
        x, y, w = homography(plane, turned) @ center
        brightness.append(float(map_coordinates(gray, [[y / w], [x / w]], order=1, mode="nearest")[0]))
    order = np.argsort(brightness)
    # Turned by a quarter the long side would be a short one: only the dot's own corner fits all four places.
    if brightness[order[0]] > 0.7 * brightness[order[2]]:
        raise ValueError("the dot of the board is not found; expected the printed board, not covered")
    return np.asarray(np.roll(corners, -int(order[0]), axis=0))
