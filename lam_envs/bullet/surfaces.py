"""Moving surfaces of a simulation, such as conveyor belts."""

from __future__ import annotations

from lam_envs.bullet.bodies import MovingSurface
from lam_envs.bullet.client import pybullet
from lam_envs.bullet.geometry import Vector3
from lam_envs.bullet.simulation import Simulation


def add_moving_surface(
    simulation: Simulation,
    name: str,
    *,
    size: Vector3,
    position: Vector3,
    friction: float = 1.0,
    color: tuple[float, float, float] = (0.3, 0.3, 0.3),
) -> MovingSurface:
    """Add a fixed box with a moving surface. An initial state sets its velocity.

    Args:
        simulation: The simulation.
        name: Name of the body in ``simulation.bodies``.
        size: Edge lengths, meters.
        position: Position of the center, meters.
        friction: Lateral friction coefficient.
        color: Red, green, blue in [0, 1].
    """
    client, rgba = simulation.client, (*color, 1.0)
    half = [edge / 2 for edge in size]
    with simulation.opengl:
        visual = -1
        if simulation.detail != "physics":
            visual = pybullet.createVisualShape(
                pybullet.GEOM_BOX, halfExtents=half, rgbaColor=rgba, physicsClientId=client
            )
        shape = pybullet.createCollisionShape(pybullet.GEOM_BOX, halfExtents=half, physicsClientId=client)
        # Not in maximal coordinates, as other fixed bodies: Bullet would ignore its velocity.
        number = pybullet.createMultiBody(0.0, shape, visual, basePosition=position, physicsClientId=client)
    pybullet.changeDynamics(number, -1, lateralFriction=friction, physicsClientId=client)
    surface = MovingSurface(client, number, size, rgba, home=position)
    simulation.bodies[name] = surface
    simulation.moving_surfaces.append(surface)
    return surface
