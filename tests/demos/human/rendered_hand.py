"""A right hand of capsules that PyBullet draws: what a camera sees of a synthetic recording.

Bones have the lengths of a man's hand (Buryanov and Kotiuk 2010). The fingers bend until the tips of thumb and index
finger are as far apart as in the recording, and the hand is placed so that the middle of both is on its path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pybullet
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from benchmarks.recordings.synthetic import Scene
from demos.human.calibration.camera import Camera
from demos.human.video import VideoFrame

Array = np.ndarray[Any, Any]
KNUCKLES = np.array([[-0.027, 0.024, -0.008], [-0.026, 0.092, 0.0], [-0.003, 0.096, 0.003], [0.018, 0.09, 0.001],
                     [0.037, 0.08, -0.004]])  # fmt: skip
"""First joints of thumb to pinky, seen from the back of a right hand: x right, y to the fingers, z to the eye."""
BONES = np.array([[0.046, 0.033, 0.027], [0.043, 0.026, 0.022], [0.047, 0.030, 0.023], [0.044, 0.028, 0.023],
                  [0.034, 0.021, 0.020]])  # fmt: skip
RADII = np.array([[0.0135, 0.0115, 0.0105, 0.0095], [0.0105, 0.0095, 0.0085, 0.0078], [0.0105, 0.0095, 0.0088, 0.008],
                  [0.0100, 0.0090, 0.0083, 0.0076], [0.0090, 0.0080, 0.0073, 0.0067]])  # fmt: skip
"""Radii at the joints and at the tips, meters."""
SKIN, SLEEVE, TABLE, BOX = (0.87, 0.66, 0.54, 1), (0.2, 0.25, 0.4, 1), (0.55, 0.57, 0.6, 1), (0.2, 0.45, 0.3, 1)
REST = np.array([0.9, 0.25, 0.35, 0.25, 0.0, 0.35, 0.45])
"""Thumb: angle to the side, angle to the palm, bends; index finger: angle to the side, bends. Radians."""
TILT = 0.3
"""Angle by which the hand points down, radians."""
NOISE = 4.0
"""Standard deviation of the noise of an image, of 255."""


def finger(number: int, side: float, bends: Array) -> Array:
    """Return the four points of a finger in the hand's frame."""
    points = [KNUCKLES[number]]
    angle = 0.0
    for length, bend in zip(BONES[number], bends, strict=True):
        angle += bend
        direction = np.array([np.sin(side) * np.cos(angle), np.cos(side) * np.cos(angle), -np.sin(angle)])
        points.append(points[-1] + length * direction)
    return np.array(points)


def hand_pose(pose: Array) -> Array:
    """Return the 21 points of a pose in the hand's frame."""
    thumb_side, thumb_down, thumb_1, thumb_2, index_side, index_1, index_2 = pose
    # The thumb bends toward the fingers, in the plane of the palm rather than out of it.
    thumb = [KNUCKLES[0]]
    angle = -thumb_side
    for length, bend in zip(BONES[0], (0.0, thumb_1, thumb_2), strict=True):
        angle += bend
        flat = np.cos(thumb_down) * np.array([np.sin(angle), np.cos(angle)])
        thumb.append(thumb[-1] + length * np.append(flat, -np.sin(thumb_down)))
    fingers = [
        np.array(thumb),
        finger(1, index_side, np.array([index_1, index_2, 0.6 * index_2])),
        # The other fingers stay nearly straight.
        *(finger(n, 0.1 * (n - 1.7), np.array([0.25 + 0.06 * (n - 2), 0.3, 0.2])) for n in (2, 3, 4)),
    ]
    return np.concatenate([[np.zeros(3)], *fingers])


def with_aperture(aperture: float, start: Array) -> Array:
    """Return the pose near another one whose tips of thumb and index finger are so far apart."""

    def error(pose: Array) -> Array:
        points = hand_pose(pose)
        return np.append(0.02 * (pose - REST), 20 * (np.linalg.norm(points[4] - points[8]) - aperture))

    low, high = [0.0, 0.0, -0.2, -0.2, -0.2, 0.0, 0.1], [1.3, 0.9, 0.9, 0.9, 0.2, 1.1, 1.2]
    return np.asarray(least_squares(error, start, bounds=(low, high)).x)


class RenderedHand:
    """Renderer of the frames of a scene. Close it after use.

    Args:
        camera: Camera in the frame of the table.
    """

    def __init__(self, camera: Camera) -> None:
        self.client = pybullet.connect(pybullet.DIRECT)
        self.camera = camera
        self._parts: dict[tuple[int, int], list[int]] = {}
        self._body(pybullet.GEOM_BOX, TABLE, halfExtents=[1.5, 1.5, 0.01], position=(0.0, 0.0, -0.01))
        self.box = self._body(pybullet.GEOM_BOX, BOX, halfExtents=[0.015, 0.02, 0.02])

    def close(self) -> None:
        pybullet.disconnect(self.client)

    def frames(self, scene: Scene, rng: np.random.Generator) -> Iterator[VideoFrame]:
        tips = scene.points[:, [4, 8]]
        pinches, apertures = tips.mean(axis=1), np.linalg.norm(tips[:, 0] - tips[:, 1], axis=1)
        turn = Rotation.from_euler("x", -TILT).as_matrix()
        pose = REST
        for time, pinch, aperture in zip(scene.times, pinches, apertures, strict=True):
            pose = with_aperture(float(aperture), pose)
            points = hand_pose(pose) @ turn.T
            points += pinch - points[[4, 8]].mean(axis=0)
            self._place_hand(points)
            held = scene.grasp <= time <= scene.release
            place = pinch if held else scene.start if time < scene.grasp else scene.end
            pybullet.resetBasePositionAndOrientation(self.box, place, (0, 0, 0, 1), physicsClientId=self.client)
            image = self._image().astype(float)
            image += NOISE * rng.standard_normal(image.shape)
            yield VideoFrame(float(time), image.clip(0, 255).astype(np.uint8))

    def _place_hand(self, points: Array) -> None:
        wrist = points[0]
        middle = points[9] - wrist
        for number in range(5):
            chain = points[1 + 4 * number : 5 + 4 * number]
            for joint in range(3):
                radius = float(RADII[number][joint : joint + 2].mean())
                self._capsule((number, joint), chain[joint], chain[joint + 1], radius, SKIN)
            self._capsule((number, 3), wrist + 0.12 * (chain[0] - wrist), chain[0], 0.0145, SKIN)
        for number in (1, 2, 3):
            # Flesh between the fingers' first joints.
            ends = points[1 + 4 * number], points[5 + 4 * number]
            self._capsule((5, number), *ends, 0.0125, SKIN)
            self._capsule((6, number), wrist + 0.5 * (ends[0] - wrist), wrist + 0.5 * (ends[1] - wrist), 0.0155, SKIN)
        self._capsule((7, 0), points[1], wrist + 0.6 * (points[5] - wrist), 0.0135, SKIN)
        self._capsule((7, 1), points[2], wrist + 0.75 * (points[5] - wrist), 0.0085, SKIN)
        arm = wrist - 0.06 * middle / np.linalg.norm(middle)
        self._capsule((8, 0), wrist, arm, 0.025, SKIN)
        self._capsule((8, 1), arm, arm + np.array([0.0, -0.25, 0.06]), 0.036, SLEEVE)

    def _capsule(
        self, key: tuple[int, int], start: Array, end: Array, radius: float, color: tuple[float, ...]
    ) -> None:
        length = float(np.linalg.norm(end - start))
        if key not in self._parts:
            balls = [self._body(pybullet.GEOM_SPHERE, color, radius=radius) for _ in range(2)]
            tube = self._body(pybullet.GEOM_CYLINDER, color, radius=radius, length=length)
            self._parts[key] = [*balls, tube]
        direction = (end - start) / length
        turned, _ = Rotation.align_vectors([direction], [[0.0, 0.0, 1.0]])
        first, second, tube = self._parts[key]
        for body, position in ((first, start), (second, end), (tube, (start + end) / 2)):
            pybullet.resetBasePositionAndOrientation(body, position, turned.as_quat(), physicsClientId=self.client)

    def _body(self, shape: int, color: tuple[float, ...], position: Any = (0.0, 0.0, -1.0), **size: Any) -> int:
        visual = pybullet.createVisualShape(
            shape, rgbaColor=color, specularColor=[0, 0, 0], physicsClientId=self.client, **size
        )
        return int(
            pybullet.createMultiBody(baseVisualShapeIndex=visual, basePosition=position, physicsClientId=self.client)
        )

    def _image(self) -> Array:
        width, height = self.camera.image_size
        focal = self.camera.intrinsics[0, 0]
        near, far = 0.05, 5.0
        projection = np.zeros((4, 4))
        projection[0, 0], projection[1, 1] = 2 * focal / width, 2 * focal / height
        projection[2, 2:] = (near + far) / (near - far), 2 * near * far / (near - far)
        projection[3, 2] = -1.0
        # OpenGL looks along -z, with y up.
        view = np.diag([1.0, -1.0, -1.0, 1.0]) @ np.linalg.inv(self.camera.pose)
        _, _, image, _, _ = pybullet.getCameraImage(
            width, height, view.T.ravel().tolist(), projection.T.ravel().tolist(),
            lightDirection=[0.4, 0.6, 1.5], shadow=0, renderer=pybullet.ER_TINY_RENDERER, physicsClientId=self.client,
        )  # fmt: skip
        return np.asarray(image, dtype=np.uint8).reshape(height, width, 4)[:, :, :3]
