"""Camera calibration, and the frames of tables.

The frame of a table has its origin on the table, z up and meters. A camera's frame is OpenCV's: x right in the image,
y down, z forward.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from demos.human.track import Floats
from demos.runtime.files import write_json

FORMAT = "lam-envs camera 1"
MAX_ERROR = 0.02
"""Largest distance between a corner and its reprojection, as a fraction of the image's width."""


@dataclass(frozen=True)
class Camera:
    """Camera above a table.

    Attributes:
        intrinsics: Focal lengths and principal point, pixels, shape (3, 3).
        pose: Transform from the camera's frame to the table's, shape (4, 4), meters.
        image_size: Width and height, pixels.
    """

    intrinsics: Floats
    pose: Floats
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        """Check the arrays."""
        if self.intrinsics.shape != (3, 3) or self.pose.shape != (4, 4):
            raise ValueError(
                f"intrinsics and pose have the shapes {self.intrinsics.shape} and {self.pose.shape}; expected (3, 3) "
                "and (4, 4)"
            )
        if not (np.isfinite(self.intrinsics).all() and np.isfinite(self.pose).all() and self.intrinsics[0, 0] > 0):
            raise ValueError("intrinsics or pose are not finite")
        rotation = self.pose[:3, :3]
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-5) or np.linalg.det(rotation) < 0:
            raise ValueError("the pose is not a rotation and a translation")

    def project(self, points: Floats) -> Floats:
        """Return the pixels, shape (N, 2), of points in the table's frame, shape (N, 3)."""
        local = (points - self.pose[:3, 3]) @ self.pose[:3, :3]
        image = local @ self.intrinsics.T
        return np.asarray(image[:, :2] / image[:, 2:])

    def rays(self, pixels: Floats) -> Floats:
        """Return directions in the table's frame, shape (N, 3), with length 1 along the optical axis."""
        homogeneous = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1)
        return np.asarray(homogeneous @ np.linalg.inv(self.intrinsics).T @ self.pose[:3, :3].T)

    def depth_at_height(self, pixels: Floats, height: float) -> Floats:
        """Return the depth along the optical axis, shape (N,), where rays meet a horizontal plane; NaN if never."""
        down = self.rays(pixels)[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = (height - self.pose[2, 3]) / down
        return np.where((depth > 0) & np.isfinite(depth), depth, np.nan)

    def at_depth(self, pixels: Floats, depth: Floats) -> Floats:
        """Return the points in the table's frame, shape (N, 3), that are at depths along the optical axis."""
        return np.asarray(self.pose[:3, 3] + depth[:, None] * self.rays(pixels))


def save_camera(camera: Camera, path: str | Path) -> Path:
    """Write a camera to a JSON file."""
    content = {
        "format": FORMAT,
        "intrinsics": camera.intrinsics.tolist(),
        "pose": camera.pose.tolist(),
        "image_size": list(camera.image_size),
    }
    return write_json(Path(path), content)


def load_camera(path: str | Path) -> Camera:
    """Read a camera from a JSON file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no camera file {path}; expected the JSON file of a camera: write it with "
            "python -m demos human calibrate"
        )
    if path.stat().st_size > 100_000:
        raise ValueError(f"{path}: {path.stat().st_size:,} bytes; expected at most 100,000 for a camera")
    try:
        content: Any = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise ValueError(f"format is {content['format']!r}; expected {FORMAT!r}")
        width, height = content["image_size"]
        return Camera(
            np.array(content["intrinsics"], dtype=np.float64),
            np.array(content["pose"], dtype=np.float64),
            (int(width), int(height)),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        problem = f"lacks {error}" if isinstance(error, KeyError) else error
        raise ValueError(
            f"{path} is not the file of a camera ({problem}); expected the file that python -m demos human calibrate "
            "writes"
        ) from None


def calibrate_rectangle(
    corners: npt.ArrayLike,
    size: tuple[float, float],
    image_size: tuple[int, int],
    *,
    focal: float | None = None,
) -> Camera:
    """Return the camera that sees the four corners of a rectangle on the table.

    The origin is the rectangle's center; x points along the first side, and z up.
    Without a focal length, the perspective of the rectangle gives it (Zhang 2000, section 3.1, with square pixels and
    the principal point in the image's center).

    Args:
        corners: Pixels of the corners, in order around the rectangle, shape (4, 2).
        size: Length of its first side (from corner 1 to 2) and of its second side, meters.
        image_size: Width and height of the image, pixels.
        focal: Focal length in pixels, if it is known.

    Raises:
        ValueError: The corners are no rectangle in perspective, or do not give the focal length.
    """
    pixels = np.array(corners, dtype=np.float64)
    width, height = size
    if pixels.shape != (4, 2) or not np.isfinite(pixels).all():
        raise ValueError(f"corners have the shape {pixels.shape}; expected four points of the image")
    if not (0 < width < 100 and 0 < height < 100):
        raise ValueError(f"a rectangle of {width} x {height} m; expected positive lengths in meters")
    turns = [_cross(pixels[(i + 1) % 4] - pixels[i], pixels[(i + 2) % 4] - pixels[(i + 1) % 4]) for i in range(4)]
    if not (all(turn > 0 for turn in turns) or all(turn < 0 for turn in turns)):
        raise ValueError("the corners do not go around a convex quadrilateral; give them in order")
    plane = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]) * np.array([width, height]) / 2
    if turns[0] > 0:
        # Seen from above, corners that go clockwise in the image go clockwise on the table.
        plane[:, 1] *= -1
    center = np.array(image_size, dtype=np.float64) / 2
    mapping = homography(plane, pixels - center)
    length = focal or _focal_length(mapping, center)
    intrinsics = np.array([[length, 0.0, center[0]], [0.0, length, center[1]], [0.0, 0.0, 1.0]])
    pose = _pose_of(mapping, length)
    camera = _refine(Camera(intrinsics, pose, image_size), plane, pixels, fixed_focal=focal is not None)
    error = float(np.abs(camera.project(np.c_[plane, np.zeros(4)]) - pixels).max())
    if error > MAX_ERROR * image_size[0]:
        raise ValueError(
            f"no camera sees a rectangle of {width:g} x {height:g} m there (off by {error:.0f} pixels); check the "
            "order of the corners, the size and the focal length"
        )
    return camera


def _cross(one: Floats, two: Floats) -> float:
    return float(one[0] * two[1] - one[1] * two[0])


def homography(plane: Floats, pixels: Floats) -> Floats:
    """Return the homography from four points of a plane to four centered pixels, shape (3, 3)."""
    rows = []
    for (x, y), (u, v) in zip(plane, pixels, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y, -u], [0, 0, 0, x, y, 1, -v * x, -v * y, -v]]
    return np.asarray(np.linalg.svd(np.array(rows))[2][-1].reshape(3, 3))


def _focal_length(mapping: Floats, center: Floats) -> float:
    """Return the focal length for which the plane's axes are orthogonal and of one length.

    Raises:
        ValueError: The perspective is too weak.
    """
    (a, b, _), (c, d, _), (g, h, _) = mapping
    # With w = 1 / f^2: (a b + c d) w + g h = 0, and (a a + c c - b b - d d) w + g g - h h = 0.
    factors = np.array([a * b + c * d, (a * a + c * c - b * b - d * d) / 2])
    constants = np.array([g * h, (g * g - h * h) / 2])
    squared = -float(factors @ constants) / float(factors @ factors) if factors.any() else 0.0
    # Between a fisheye and a telescope.
    if not (0.3 < math.sqrt(max(squared, 1e-12)) * float(center[0]) * 2 < 10):
        inverse = 1.0 / math.sqrt(squared) if squared > 0 else 0.0
        if not 0.2 * center[0] < inverse < 20 * center[0]:
            raise ValueError(
                "the corners do not give the focal length: the camera looks straight down, or a side is parallel to "
                "the image; give --focal in pixels, or --field-of-view in degrees"
            )
    return 1.0 / math.sqrt(squared)


def _pose_of(mapping: Floats, focal: float) -> Floats:
    """Return the transform from the camera's frame to the plane's."""
    columns = np.diag([1 / focal, 1 / focal, 1.0]) @ mapping
    columns /= (np.linalg.norm(columns[:, 0]) + np.linalg.norm(columns[:, 1])) / 2
    if columns[2, 2] < 0:
        columns = -columns
    u, _, vt = np.linalg.svd(np.stack([columns[:, 0], columns[:, 1], np.cross(columns[:, 0], columns[:, 1])], axis=1))
    rotation = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    pose = np.eye(4)
    pose[:3, :3] = rotation.T
    pose[:3, 3] = -rotation.T @ columns[:, 2]
    return pose


def _refine(camera: Camera, plane: Floats, pixels: Floats, *, fixed_focal: bool) -> Camera:
    """Return the camera near another one that has the smallest reprojection errors."""
    from scipy.optimize import least_squares

    points = np.c_[plane, np.zeros(len(plane))]
    inverse = np.linalg.inv(camera.pose)

    def adjusted(change: Floats) -> Camera:
        pose = np.eye(4)
        pose[:3, :3] = _rotation(change[:3]) @ inverse[:3, :3]
        pose[:3, 3] = inverse[:3, 3] + change[3:6]
        intrinsics = camera.intrinsics.copy()
        if not fixed_focal:
            intrinsics[0, 0] = intrinsics[1, 1] = camera.intrinsics[0, 0] * math.exp(min(max(change[6], -2.0), 2.0))
        return Camera(intrinsics, np.asarray(np.linalg.inv(pose), dtype=np.float64), camera.image_size)

    def errors(change: Floats) -> Floats:
        return np.asarray((adjusted(change).project(points) - pixels).ravel())

    found = least_squares(errors, np.zeros(6 if fixed_focal else 7), x_scale="jac")
    return adjusted(found.x)


def _rotation(vector: Floats) -> Floats:
    """Return the matrix of a rotation vector (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross)


def frame_of_points(origin: npt.ArrayLike, ahead: npt.ArrayLike, side: npt.ArrayLike) -> Floats:
    """Return the transform to the frame of a table from a metric frame in which three of its points are known.

    Args:
        origin: Point that becomes the origin, meters.
        ahead: Point on the x axis.
        side: Point on the side of positive y; z then points up.

    Raises:
        ValueError: The points are on a line.
    """
    start, x_point, y_point = (np.array(point, dtype=np.float64) for point in (origin, ahead, side))
    x = x_point - start
    normal = np.cross(x, y_point - start)
    if not np.linalg.norm(normal) > 1e-3 * np.linalg.norm(x) * np.linalg.norm(y_point - start):
        raise ValueError("the three points are on a line, or two are the same; expected three corners of the table")
    x, z = x / np.linalg.norm(x), normal / np.linalg.norm(normal)
    return _inverse(np.stack([x, np.cross(z, x), z], axis=1), start)


def frame_of_up(up: npt.ArrayLike) -> Floats:
    """Return the rotation to a frame with z up from a metric frame, given the direction up, shape (4, 4)."""
    z = np.array(up, dtype=np.float64)
    z = z / np.linalg.norm(z)
    # The axis of the frame that is most horizontal stays the x axis.
    axis = np.eye(3)[int(np.argmin(np.abs(z)))]
    x = axis - z * (axis @ z)
    x /= np.linalg.norm(x)
    return _inverse(np.stack([x, np.cross(z, x), z], axis=1), np.zeros(3))


def _inverse(rotation: Floats, origin: Floats) -> Floats:
    transform = np.eye(4)
    transform[:3, :3] = rotation.T
    transform[:3, 3] = -rotation.T @ origin
    return transform
