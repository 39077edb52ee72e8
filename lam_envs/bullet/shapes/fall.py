"""Fall of convex bodies among fixed boxes, in a simulation of its own that runs once.

Its bodies are plain rigid bodies: a step takes two thirds of the time of one of :class:`Simulation`, whose bodies can
be set to a pose.
"""

from __future__ import annotations

import os
from types import TracebackType

import numpy as np
import numpy.typing as npt

from lam_envs.bullet import solver
from lam_envs.bullet.client import pybullet
from lam_envs.bullet.connection import connect_physics, release
from lam_envs.bullet.geometry import IDENTITY, Motion, Quaternion, Vector3
from lam_envs.bullet.shapes.points import VERTICES


class Fall:
    """Simulation of a fall. Use it as a context manager; its results depend only on the calls."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._client = connect_physics(is_simple=False)
        solver.configure(self._client)
        solver.set_substeps(self._client, 1)
        self._bodies: list[int] = []

    def __enter__(self) -> Fall:
        """Return the simulation."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the simulation."""
        release(self._client, self._pid)

    def add_box(self, size: Vector3, position: Vector3, friction: float) -> int:
        """Add a fixed box, and return its number.

        Args:
            size: Edge lengths, meters.
            position: Position of the center, meters.
            friction: Lateral friction coefficient.
        """
        shape = pybullet.createCollisionShape(
            pybullet.GEOM_BOX, halfExtents=[edge / 2 for edge in size], physicsClientId=self._client
        )
        return self._add(shape, 0.0, position, IDENTITY, friction)

    def add_hull(
        self,
        vertices: npt.NDArray[np.float64],
        position: Vector3,
        orientation: Quaternion,
        *,
        mass: float,
        friction: float,
    ) -> None:
        """Add a convex body that falls.

        Args:
            vertices: Its vertices in its frame, meters, shape (n, 3). The origin is its center of mass.
            position: Position, meters.
            orientation: Orientation.
            mass: Mass, kilograms.
            friction: Lateral friction coefficient.
        """
        shape = pybullet.createCollisionShape(
            pybullet.GEOM_MESH, vertices=VERTICES.fill(vertices), physicsClientId=self._client
        )
        body = self._add(shape, mass, position, orientation, friction)
        self._bodies.append(body)

    def _add(self, shape: int, mass: float, position: Vector3, orientation: Quaternion, friction: float) -> int:
        body: int = pybullet.createMultiBody(
            mass,
            shape,
            basePosition=position,
            baseOrientation=orientation,
            useMaximalCoordinates=True,
            physicsClientId=self._client,
        )
        pybullet.changeDynamics(body, -1, lateralFriction=friction, physicsClientId=self._client)
        return body

    def move_box(self, number: int, position: Vector3) -> None:
        """Move a fixed box to a position, meters."""
        pybullet.resetBasePositionAndOrientation(number, position, IDENTITY, self._client)

    def step(self, count: int) -> None:
        """Advance by a number of physics steps."""
        for _ in range(count):
            pybullet.stepSimulation(self._client)

    def motions(self) -> list[Motion]:
        """Return pose and velocity of each convex body, in the order in which they were added."""
        return [
            Motion(
                *pybullet.getBasePositionAndOrientation(body, self._client),
                *pybullet.getBaseVelocity(body, self._client),
            )
            for body in self._bodies
        ]
