"""Rigid object in a Bullet client: its pose, velocity and appearance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from lam_envs.bullet.client import pybullet
from lam_envs.bullet.geometry import IDENTITY, Motion, Quaternion, Vector3

Color = tuple[float, float, float, float]
"""Red, green, blue, opacity in [0, 1]."""
RGB = tuple[float, float, float]
"""Red, green, blue in [0, 1]."""
MarkerShape = Literal["box", "ball", "cylinder"]

ABSENT = Motion((0.0, 0.0, 0.0), IDENTITY, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
"""Motion of an absent object."""


class Part(NamedTuple):
    """Box of a body that consists of several boxes."""

    size: Vector3
    """Edge lengths, meters."""
    position: Vector3
    """Center in the frame of the body, meters."""
    orientation: Quaternion = IDENTITY
    """Orientation in the frame of the body."""


def box_shapes(client: int, parts: Sequence[Part], color: RGB, *, visible: bool) -> tuple[int, int]:
    """Create the shapes of at most 16 boxes.

    Args:
        client: PyBullet's id of the client.
        parts: The boxes.
        color: Color of all boxes.
        visible: True in a client that renders.

    Returns:
        PyBullet's ids of the collision shape, and of the visual shape or -1.
    """
    shapes: dict[str, Any] = {
        "shapeTypes": [pybullet.GEOM_BOX] * len(parts),
        "halfExtents": [[edge / 2 for edge in part.size] for part in parts],
    }
    positions, turns = [part.position for part in parts], [part.orientation for part in parts]
    collision = pybullet.createCollisionShapeArray(
        **shapes, collisionFramePositions=positions, collisionFrameOrientations=turns, physicsClientId=client
    )
    visual = -1
    if visible:
        visual = pybullet.createVisualShapeArray(
            **shapes,
            rgbaColors=[[*color, 1.0]] * len(parts),
            visualFramePositions=positions,
            visualFrameOrientations=turns,
            physicsClientId=client,
        )
    return collision, visual


def marker_shape(client: int, size: Vector3, color: Color, shape: MarkerShape) -> int:
    """Create the visual shape of a marker, see ``Simulation.add_marker``, and return PyBullet's id of it."""
    kinds: dict[str, dict[str, object]] = {
        "box": {"shapeType": pybullet.GEOM_BOX, "halfExtents": [edge / 2 for edge in size]},
        "ball": {"shapeType": pybullet.GEOM_SPHERE, "radius": size[0] / 2},
        "cylinder": {"shapeType": pybullet.GEOM_CYLINDER, "radius": size[0] / 2, "length": size[2]},
    }
    visual: int = pybullet.createVisualShape(**kinds[shape], rgbaColor=color, physicsClientId=client)
    return visual


def shifted_color(color: Sequence[float], offset: Sequence[float]) -> RGB:
    """Return red, green and blue with an offset, limited to [0, 1]."""
    red, green, blue = (min(max(own + more, 0.0), 1.0) for own, more in zip(color, offset, strict=True))
    return red, green, blue


@dataclass
class Body:
    """Rigid object of the scene.

    Attributes:
        id: PyBullet's id of the body; -1 for a marker in a client that renders nothing, for painted ground, and for
            an absent object, whose motion is always :data:`ABSENT`.
        size: Edge lengths, meters.
        color: Red, green, blue, opacity in [0, 1].
        vertices: Corners of a convex body in its frame, meters, shape (n, 3); no rows for other bodies.
        marker_position: Position of a marker, meters. Markers are visual only.
    """

    client: int
    id: int
    size: Vector3 = (0.0, 0.0, 0.0)
    color: Color = (0.7, 0.7, 0.7, 1.0)
    vertices: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)), repr=False, compare=False)
    marker_position: Vector3 = field(default=(0.0, 0.0, 0.0))
    _motion: Motion | None = field(default=None, repr=False, compare=False)

    def motion(self) -> Motion:
        """Return pose and velocity. Bullet is asked only once per step."""
        if self._motion is None:
            if self.id < 0:
                return ABSENT
            position, orientation = pybullet.getBasePositionAndOrientation(self.id, self.client)
            velocity, angular_velocity = pybullet.getBaseVelocity(self.id, self.client)
            self._motion = Motion(position, orientation, velocity, angular_velocity)
        return self._motion

    def velocity(self) -> Vector3:
        """Return the current velocity, also within a control step."""
        velocity: Vector3 = pybullet.getBaseVelocity(self.id, self.client)[0]
        return velocity

    def set_motion(self, motion: Motion) -> None:
        """Set pose and velocity."""
        if self.id < 0:
            return
        self.invalidate()
        pybullet.resetBasePositionAndOrientation(self.id, motion.position, motion.orientation, self.client)
        pybullet.resetBaseVelocity(self.id, motion.velocity, motion.angular_velocity, physicsClientId=self.client)

    def copy_pose(self, original: Body) -> None:
        """Set the pose to that of the same object or marker in another client."""
        if original.id < 0:
            position, orientation = original.marker_position, IDENTITY
        else:
            position, orientation = pybullet.getBasePositionAndOrientation(original.id, original.client)
        pybullet.resetBasePositionAndOrientation(self.id, position, orientation, self.client)

    def set_color_offset(self, offset: Sequence[float]) -> None:
        """Add an offset in red, green and blue to the color."""
        rgba = [*shifted_color(self.color[:3], offset), self.color[3]]
        pybullet.changeVisualShape(self.id, -1, rgbaColor=rgba, physicsClientId=self.client)

    def invalidate(self) -> None:
        """Discard the cached motion: the next :meth:`motion` asks Bullet again."""
        self._motion = None


@dataclass
class MovingSurface(Body):
    """Fixed box that drags what touches it, as a conveyor belt does.

    Bullet has no velocity of a surface. In contacts it uses the velocity of a body without mass, and then moves the
    body, by less than a millimeter in a physics step: :meth:`hold` moves it back.

    Attributes:
        home: Position of the center of its upper face, meters.
        surface_velocity: Velocity with which it drags objects, meters per second.
    """

    home: Vector3 = (0.0, 0.0, 0.0)
    surface_velocity: Vector3 = (0.0, 0.0, 0.0)

    def hold(self) -> None:
        """Move the box back to its position. Call it before the first physics step and after each one."""
        # Setting the pose sets the velocity to zero.
        pybullet.resetBasePositionAndOrientation(self.id, self.home, IDENTITY, self.client)
        pybullet.resetBaseVelocity(self.id, self.surface_velocity, physicsClientId=self.client)

    def set_surface_velocity(self, velocity: Vector3) -> None:
        """Set the velocity with which it drags objects, meters per second."""
        self.surface_velocity = velocity
        self.hold()
