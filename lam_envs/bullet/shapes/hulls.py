"""Convex bodies in a Bullet client."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pybullet_data

from lam_envs.bullet.bodies import Body
from lam_envs.bullet.client import pybullet
from lam_envs.bullet.geometry import Vector3
from lam_envs.bullet.shapes.points import NORMALS, VERTICES
from lam_envs.bullet.simulation import Simulation

RANDOM_SHAPES = 1000
"""Number of pybullet_data's random shapes, ``random_urdfs/000`` to ``999``."""


class Hull(NamedTuple):
    """Convex polyhedron."""

    vertices: tuple[Vector3, ...]
    """Meters. The origin is the center of mass."""
    faces: tuple[tuple[int, ...], ...]
    """Triangles: three numbers of vertices, counterclockwise from outside."""


def random_shape(number: int) -> npt.NDArray[np.float64]:
    """Return the vertices of one of pybullet_data's random shapes, in units of its file, shape (n, 3)."""
    name = f"{number:03d}"
    path = Path(pybullet_data.getDataPath()) / "random_urdfs" / name / f"{name}.obj"
    lines = path.read_text(encoding="utf-8").splitlines()
    return np.array([[float(number) for number in line.split()[1:4]] for line in lines if line.startswith("v ")])


def add_hull(
    simulation: Simulation,
    name: str,
    hull: Hull,
    *,
    scale: float,
    position: Vector3,
    mass: float,
    friction: float,
    color: tuple[float, float, float],
) -> Body:
    """Add a convex body, see ``Simulation.add_box``. Its size is that of its bounding box.

    Args:
        simulation: The simulation.
        name: Name of the body.
        hull: Its shape.
        scale: Factor on its edges.
        position: Position of its center of mass, meters.
        mass: Mass, kilograms, before scaling.
        friction: Lateral friction coefficient.
        color: Red, green, blue in [0, 1].
    """
    vertices = np.array(hull.vertices) * scale
    client = simulation.client
    collision = pybullet.createCollisionShape(
        pybullet.GEOM_MESH, vertices=VERTICES.fill(vertices), physicsClientId=client
    )
    visual = -1
    with simulation.opengl:
        if simulation.detail != "physics":
            # Corners are not shared between faces, so that edges are sharp.
            corners = vertices[np.array(hull.faces)]
            normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            normals /= np.linalg.norm(normals, axis=1, keepdims=True)
            visual = pybullet.createVisualShape(
                pybullet.GEOM_MESH,
                vertices=VERTICES.fill(corners.reshape(-1, 3)),
                indices=list(range(3 * len(corners))),
                normals=NORMALS.fill(np.repeat(normals, 3, axis=0)),
                uvs=[[0.0, 0.0]] * (3 * len(corners)),
                rgbaColor=[*color, 1.0],
                physicsClientId=client,
            )
        length, width, height = np.ptp(vertices, axis=0).tolist()
        body = simulation.add_body(
            name,
            collision,
            visual,
            position=position,
            mass=mass,
            friction=friction,
            color=color,
            size=(length, width, height),
        )
    body.vertices = vertices
    return body
