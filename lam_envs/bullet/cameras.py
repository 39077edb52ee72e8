"""Cameras of the scene, and the images that they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lam_envs.bullet.client import pybullet
from lam_envs.bullet.geometry import IDENTITY, Frame, Vector3


class CameraMatrices(NamedTuple):
    """Intrinsics and pose of a camera, in OpenCV's convention: x points right in the image, y down, z forward."""

    intrinsics: npt.NDArray[np.float64]
    """Shape (3, 3), pixels. The center of the pixel in column ``u`` and row ``v`` is at ``(u, v)``."""
    pose: npt.NDArray[np.float64]
    """Shape (4, 4), meters: transforms points from the camera's frame to the world's."""


@dataclass(frozen=True)
class Camera:
    """Camera that is fixed in the world or mounted on the hand.

    Attributes:
        eye: Position, meters.
        target: Point in the middle of the image, meters.
        up: Direction that is up in the image.
        on_hand: True if these are in the frame of the tool: origin between the fingertips, z in pointing direction.
        field_of_view: Vertical field of view, degrees.
        near: Distance of the near clipping plane, meters.
        far: Distance of the far clipping plane, meters.
    """

    eye: Vector3
    target: Vector3
    up: Vector3 = (0.0, 0.0, 1.0)
    on_hand: bool = False
    field_of_view: float = 40.0
    near: float = 0.05
    far: float = 5.0

    def shifted(self, position: Sequence[float], target: Sequence[float]) -> Camera:
        """Return a copy of the camera with displaced position and target.

        A camera on the hand is displaced by half of it.

        Args:
            position: Displacement of the position, shape (3,), meters.
            target: Displacement of the target, shape (3,), meters.
        """
        share = 0.5 if self.on_hand else 1.0
        (ex, ey, ez), (tx, ty, tz) = self.eye, self.target
        (dx, dy, dz), (ux, uy, uz) = position, target
        return replace(
            self,
            eye=(ex + share * dx, ey + share * dy, ez + share * dz),
            target=(tx + share * ux, ty + share * uy, tz + share * uz),
        )

    def matrices(self, tool: Frame, aspect: float) -> tuple[list[float], list[float]]:
        """Return OpenGL's view and projection matrices.

        Args:
            tool: Pose of the tool.
            aspect: Width of the image divided by its height.
        """
        eye, target, up = self.eye, self.target, self.up
        if self.on_hand:
            eye, target = (pybullet.multiplyTransforms(*tool, point, IDENTITY)[0] for point in (eye, target))
            up = pybullet.multiplyTransforms((0.0, 0.0, 0.0), tool.orientation, up, IDENTITY)[0]
        view = pybullet.computeViewMatrix(eye, target, up)
        projection = pybullet.computeProjectionMatrixFOV(self.field_of_view, aspect, self.near, self.far)
        return view, projection

    def opencv_matrices(
        self, tool: Frame, width: int, height: int, pixel_center: tuple[float, float]
    ) -> CameraMatrices:
        """Return intrinsics and pose.

        Args:
            tool: Pose of the tool.
            width: Width of the image, pixels.
            height: Height of the image, pixels.
            pixel_center: Point of the first pixel that the renderer draws: its distance from the left and the upper
                edge of the image, pixels.
        """
        view, projection = (np.reshape(matrix, (4, 4)).T for matrix in self.matrices(tool, width / height))
        column, row = pixel_center
        intrinsics = np.array(
            [
                [projection[0, 0] * width / 2, 0.0, width / 2 - column],
                [0.0, projection[1, 1] * height / 2, height / 2 - row],
                [0.0, 0.0, 1.0],
            ]
        )
        # In OpenGL's camera frame y points up and z backward.
        return CameraMatrices(intrinsics, np.linalg.inv(view) @ np.diag([1.0, -1.0, -1.0, 1.0]))


CAMERAS = {
    # For agents: the workspace fills the image.
    "front": Camera(eye=(1.54, -0.47, 0.92), target=(0.57, -0.02, 0.24), field_of_view=32.0),
    # For videos: every arm is visible as a whole.
    "overview": Camera(eye=(1.75, -0.94, 0.9), target=(0.44, -0.05, 0.41)),
    "side": Camera(eye=(0.3, -1.75, 0.6), target=(0.3, 0.0, 0.4)),
    # Beside the hand; it sees the fingers and the object between them.
    "wrist": Camera(
        eye=(0.1, 0.0, -0.06),
        target=(0.03, 0.0, 0.05),
        up=(1.0, 0.0, 0.0),
        on_hand=True,
        field_of_view=85.0,
        near=0.01,
    ),
}


@dataclass(frozen=True)
class CameraImage:
    """Image of a camera.

    Attributes:
        rgba: Red, green, blue, opacity; shape (height, width, 4).
        depth_buffer: OpenGL's depth buffer, shape (height, width).
        near: Distance of the near clipping plane, meters.
        far: Distance of the far clipping plane, meters.
    """

    rgba: npt.NDArray[np.uint8]
    depth_buffer: npt.NDArray[np.float32]
    near: float
    far: float

    @property
    def rgb(self) -> npt.NDArray[np.uint8]:
        """Red, green, blue; shape (height, width, 3)."""
        rgb = np.empty((*self.depth_buffer.shape, 3), dtype=np.uint8)
        # Copying channel by channel takes a quarter of the time of copying the slice.
        for channel in range(3):
            rgb[..., channel] = self.rgba[..., channel]
        return rgb

    @property
    def depth(self) -> npt.NDArray[np.float32]:
        """Depth in meters along the view axis, shape (height, width); ``far`` where nothing is visible."""
        # OpenGL's depth buffer is not linear in distance; this inverts its projection.
        depth_buffer = self.depth_buffer.astype(np.float64)
        meters = self.far * self.near / (self.far - (self.far - self.near) * depth_buffer)
        return meters.astype(np.float32)
