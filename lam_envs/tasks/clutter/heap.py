"""Heaps of objects that were poured on the table and came to rest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lam_envs.bullet.geometry import Motion, Quaternion, Vector3
from lam_envs.bullet.shapes.fall import Fall
from lam_envs.tasks.clutter.shapes import Shape

MASS = 0.1
"""Kilograms."""
FRICTION = 1.0
POUR_FRICTION = 0.84
"""The same for objects and table while they are poured. With 1.0 an object moved by over 4 mm in the first 5 steps
of 6 of 80 episodes: the plain rigid bodies of a fall stick better than those of an episode. With 0.84 in one."""
INSIDE = 0.15
"""Inner edge of the box without a bottom in which the objects fall, meters."""
WALL = 0.04
"""Thickness of its walls, meters: a fast object does not pass through them."""
HEIGHT = 0.6
QUARTER = 0.032
"""Distance along each axis from the center to the four positions at which objects are released, meters."""
FALL_STEPS = 120
"""Physics steps in the box."""
REST_STEPS, MAX_REST_STEPS = 24, 288
"""Physics steps between two checks whether the objects are at rest, and their largest number."""
REST_SPEED, REST_TURN = 0.01, 0.3
"""Largest speed (m/s) and angular velocity (rad/s) at rest."""


def pour(
    shapes: Sequence[Shape], turns: Sequence[Quaternion], center: tuple[float, float], scale: float
) -> list[Motion] | None:
    """Pour objects on the table, and return their poses at rest, or None if they do not come to rest.

    They fall in a box without a bottom, which is then removed. The result depends on the arguments
    alone.

    Args:
        shapes: Shapes of the objects.
        turns: Initial orientation of each object.
        center: Center of the heap, x and y in meters.
        scale: Factor on the edges of the objects.
    """
    with Fall() as fall:
        fall.add_box((1.2, 1.4, 0.4), (0.4, 0.0, -0.2), POUR_FRICTION)
        walls = _add_walls(fall, center)
        for shape, turn, position in zip(shapes, turns, _places(shapes, center, scale), strict=True):
            fall.add_hull(scale * np.array(shape.hull.vertices), position, turn, mass=MASS, friction=POUR_FRICTION)
        fall.step(FALL_STEPS)
        for wall in walls:
            fall.move_box(wall, (0.0, 0.0, -5.0))
        for _ in range(0, MAX_REST_STEPS, REST_STEPS):
            fall.step(REST_STEPS)
            motions = fall.motions()
            if all(_is_at_rest(motion) for motion in motions):
                return [Motion(*motion[:2], (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)) for motion in motions]
    return None


def _add_walls(fall: Fall, center: tuple[float, float]) -> list[int]:
    """Add the walls of the box, and return their numbers."""
    shift = (INSIDE + WALL) / 2
    numbers = []
    for dx, dy in ((shift, 0.0), (-shift, 0.0), (0.0, shift), (0.0, -shift)):
        size = (WALL if dx else INSIDE + 2 * WALL, WALL if dy else INSIDE + 2 * WALL, HEIGHT)
        numbers.append(fall.add_box(size, (center[0] + dx, center[1] + dy, HEIGHT / 2), 0.1))
    return numbers


def _places(shapes: Sequence[Shape], center: tuple[float, float], scale: float) -> list[Vector3]:
    """Return the positions from which the objects fall: as low as their bounding spheres allow."""
    places: list[Vector3] = []
    radii = [scale * float(np.linalg.norm(shape.hull.vertices, axis=1).max()) for shape in shapes]
    for number, radius in enumerate(radii):
        x = center[0] + (QUARTER if number % 4 in (0, 1) else -QUARTER)
        y = center[1] + (QUARTER if number % 4 in (0, 2) else -QUARTER)
        z = radius
        for (other_x, other_y, other_z), other in zip(places, radii, strict=False):
            gap = (radius + other) ** 2 - (x - other_x) ** 2 - (y - other_y) ** 2
            if gap > 0.0:
                z = max(z, other_z + math.sqrt(gap))
        places.append((x, y, z))
    return places


def _is_at_rest(motion: Motion) -> bool:
    return math.hypot(*motion.velocity) <= REST_SPEED and math.hypot(*motion.angular_velocity) <= REST_TURN
