"""One rigid object in a Bullet client: where it is, how it moves, what it looks like."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from lam_envs.bullet.client import pybullet
from lam_envs.bullet.geometry import IDENTITY, Motion, Quaternion, Vector3

Color = tuple[float, float, float, float]
"""Red, green, blue, opacity in [0, 1]."""


class Part(NamedTuple):
    """One box of a body that consists of several."""

    size: Vector3
    """Edge lengths, metres."""
    position: Vector3
    """Its centre in the body's frame, metres."""
    orientation: Quaternion = IDENTITY
    """Its turn in the body's frame."""


@dataclass
class Body:
    """A rigid object of the scene.

    Attributes:
        id: Bullet's number of the body; -1 for a marker in a client that draws nothing, and for painted ground.
        size: Edge lengths, metres.
        color: Red, green, blue, opacity in [0, 1].
        marker_position: Where a marker is, metres. Markers exist for the eye only.
    """

    client: int
    id: int
    size: Vector3 = (0.0, 0.0, 0.0)
    color: Color = (0.7, 0.7, 0.7, 1.0)
    marker_position: Vector3 = field(default=(0.0, 0.0, 0.0))
    _motion: Motion | None = field(default=None, repr=False, compare=False)

    def motion(self) -> Motion:
        """Reads pose and velocity; from Bullet only once a step."""
        if self._motion is None:
            position, orientation = pybullet.getBasePositionAndOrientation(self.id, self.client)
            velocity, angular_velocity = pybullet.getBaseVelocity(self.id, self.client)
            self._motion = Motion(position, orientation, velocity, angular_velocity)
        return self._motion

    def velocity(self) -> Vector3:
        """Reads how it moves at this moment, also within a step."""
        velocity: Vector3 = pybullet.getBaseVelocity(self.id, self.client)[0]
        return velocity

    def place(self, motion: Motion) -> None:
        """Writes pose and velocity."""
        self.forget()
        pybullet.resetBasePositionAndOrientation(self.id, motion.position, motion.orientation, self.client)
        pybullet.resetBaseVelocity(self.id, motion.velocity, motion.angular_velocity, physicsClientId=self.client)

    def forget(self) -> None:
        """Has the next :meth:`motion` read it again."""
        self._motion = None
