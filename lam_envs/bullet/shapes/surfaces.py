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
    half, below = [edge / 2 for edge in size], (0.0, 0.0, -size[2] / 2)
    home = (position[0], position[1], position[2] + size[2] / 2)
    box = {"shapeType": pybullet.GEOM_BOX, "halfExtents": half, "physicsClientId": client}
    with simulation.opengl:
        visual = -1
        if simulation.detail != "physics":
            visual = pybullet.createVisualShape(**box, rgbaColor=rgba, visualFramePosition=below)
        # The offset makes it a compound shape, for which Bullet discards the contacts of the last step before it adds
        # new ones. Otherwise old contacts of a moving object displace new ones, and the object jitters: a cube of
        # 4 cm at 0.17 m/s and more.
        shape = pybullet.createCollisionShape(**box, collisionFramePosition=below)
        # Not in maximal coordinates, as other fixed bodies are: Bullet would ignore its velocity.
        number = pybullet.createMultiBody(0.0, shape, visual, basePosition=home, physicsClientId=client)
    pybullet.changeDynamics(number, -1, lateralFriction=friction, physicsClientId=client)
    surface = MovingSurface(client, number, size, rgba, home=home)
    simulation.register(name, surface)
    simulation.moving_surfaces.append(surface)
    return surface
