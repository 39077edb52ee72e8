"""Synthetic recordings: a hand that grasps a box, carries and releases it, in space and as seen by a camera."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from demos.human.calibration.camera import Camera
from demos.human.track import Floats, HandTrack, make_track

FPS = 30.0
"""Frames per second."""
NOISE = 4.0
"""Standard deviation of each point in images, pixels."""
MISSING = 0.1
"""Fraction of frames without a hand, in bursts of 1 to 5."""


class Scene(NamedTuple):
    """Motion of a hand in the frame of the table."""

    times: Floats
    """Seconds, shape (T,)."""
    points: Floats
    """Meters, shape (T, 21, 3)."""
    grasp: float
    """Time at which the fingers have closed, seconds."""
    release: float
    """Time at which they begin to open, seconds."""
    start: Floats
    """Position of the grip at the grasp, meters."""
    end: Floats
    """Position of the grip at the release, meters."""


def min_jerk(phase: Floats) -> Floats:
    """Return the fraction of a movement of least jerk at fractions of its time (Flash and Hogan 1985)."""
    phase = np.clip(phase, 0.0, 1.0)
    return np.asarray(phase**3 * (10 - 15 * phase + 6 * phase**2))


def carry_box(rng: np.random.Generator, fps: float = FPS) -> Scene:
    """Return a hand that reaches for a box, closes, carries it in an arc and opens.

    Args:
        rng: Samples positions, durations, heights and apertures.
        fps: Frames per second.
    """
    reach, close, carry, opening, leave = rng.uniform((0.7, 0.2, 0.8, 0.2, 0.5), (1.2, 0.4, 1.6, 0.4, 0.9))
    before = rng.uniform(0.2, 0.6)
    marks = np.cumsum([before, reach, close, 0.1, carry, 0.1, opening, leave])
    times = np.arange(0, marks[-1] + 0.2, 1 / fps)
    home = np.array([rng.uniform(-0.1, 0.1), rng.uniform(-0.3, -0.2), rng.uniform(0.1, 0.2)])
    start = np.array([rng.uniform(-0.15, -0.05), rng.uniform(-0.1, 0.1), 0.02])
    end = np.array([rng.uniform(0.05, 0.2), rng.uniform(-0.1, 0.1), 0.02])
    reached = min_jerk((times - marks[0]) / reach)[:, None]
    carried = min_jerk((times - marks[3]) / carry)[:, None]
    left = min_jerk((times - marks[6]) / leave)[:, None]
    pinch = home + (start - home) * reached + (end - start) * carried + np.array([0.0, -0.15, 0.15]) * left
    pinch[:, 2] += (0.06 * np.sin(np.pi * reached) + rng.uniform(0.08, 0.15) * np.sin(np.pi * carried))[:, 0]
    pinch[:, 1] += (rng.uniform(-0.05, 0.05) * np.sin(np.pi * carried))[:, 0]
    box, wide = rng.uniform(0.03, 0.05), rng.uniform(0.08, 0.11)
    closing = min_jerk((times - marks[1]) / close) - min_jerk((times - marks[5]) / opening)
    aperture = wide - (wide - box) * closing
    return Scene(times, hand(pinch, aperture), float(marks[2]), float(marks[5]), start, end)


def hand(pinch: Floats, aperture: Floats) -> Floats:
    """Return the points of a right hand in front of a grip: fingers forward (y) and down, thumb to the left."""
    points = np.zeros((len(pinch), 21, 3))
    palm = np.array([[0.02, -0.14, 0.09], [-0.01, -0.06, 0.075], [0.012, -0.055, 0.08], [0.033, -0.06, 0.078],
                     [0.052, -0.07, 0.07]])  # fmt: skip
    points[:, 0] = palm[0]
    sides = np.stack([aperture / 2, np.zeros_like(aperture), np.zeros_like(aperture)], axis=1)
    for finger in range(5):
        tip = sides if finger else -sides
        base = palm[finger] if finger else np.array([-0.02, -0.11, 0.07])
        tip = tip + (np.array([0.018, 0.006, 0.012]) * (finger - 1) if finger > 1 else 0.0)
        for joint in range(4):
            points[:, 1 + 4 * finger + joint] = base + (tip - base) * joint / 3
    return np.asarray(points + pinch[:, None])


def motion_capture(scene: Scene) -> HandTrack:
    """Return the scene as tracked without a camera, z up."""
    return make_track(scene.times, scene.points, "world", "right", up=(0.0, 0.0, 1.0), source="synthetic")


def front_camera() -> Camera:
    """Return a camera in front of the table that looks down by 35 degrees."""
    return look_at(np.array([0.05, 0.75, 0.55]), np.array([0.05, -0.03, 0.03]))


def top_camera() -> Camera:
    """Return a camera above the table."""
    return look_at(np.array([0.05, 0.02, 1.0]), np.array([0.05, 0.0, 0.0]))


def side_camera() -> Camera:
    """Return a camera at the right of the table, for which thumb and index finger are behind one another."""
    return look_at(np.array([0.9, -0.05, 0.45]), np.array([0.05, -0.03, 0.03]))


VIEWS = {"front": front_camera, "top": top_camera, "side": side_camera}
"""Functions that return a camera, by name of the view."""


def look_at(eye: Floats, target: Floats, focal: float = 1000.0, size: tuple[int, int] = (1280, 720)) -> Camera:
    """Return a camera at a point that looks at another one, both in the frame of the table, meters.

    Args:
        eye: Position of the camera.
        target: Point in the center of the image.
        focal: Focal length, pixels.
        size: Width and height of the image, pixels.
    """
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0] if abs(forward[2]) < 0.99 else [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = eye
    intrinsics = np.array([[focal, 0.0, size[0] / 2], [0.0, focal, size[1] / 2], [0.0, 0.0, 1.0]])
    return Camera(intrinsics, pose, size)


def seen_by(
    camera: Camera, scene: Scene, rng: np.random.Generator, noise: float = NOISE, missing: float = MISSING
) -> HandTrack:
    """Return the scene in images.

    Args:
        camera: Camera.
        scene: Motion of the hand.
        rng: Samples noise and missing frames.
        noise: Standard deviation of the noise, pixels.
        missing: Fraction of frames without a hand.
    """
    image = camera.project(scene.points.reshape(-1, 3)).reshape(*scene.points.shape[:2], 2)
    image = image + noise * rng.standard_normal(image.shape)
    certain = np.full(len(scene.times), 0.9)
    while missing and (certain == 0).mean() < missing:
        first = int(rng.integers(len(certain)))
        certain[first : first + int(rng.integers(1, 6))] = 0.0
    return make_track(
        scene.times, image, "image", "right", confidence=certain, image_size=camera.image_size, source="synthetic"
    )
