"""Convex shapes of the objects: the hulls of pybullet_data's random shapes."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lam_envs.bullet.shapes.hulls import Hull, random_shape

Points = npt.NDArray[np.float64]
"""Points or directions, shape (n, 3)."""

HELD_OUT_DIGIT = 9
"""Last digit of the numbers of held-out shapes: 100 of 1,000. The others are for training."""
SCALE = 0.0075
"""Meters per unit of a file: half the scale of ``random_urdfs``, so that typical shapes fit between the fingers."""
MIN_EXTENT, MAX_EXTENT = 0.012, 0.085
"""Limits of the edges of a shape's bounding box, meters. A thinner shape lies too low for the fingers. A few shapes
are needles, sheets, or larger than the hand."""
DIRECTIONS = 32
"""Number of directions in which the farthest point of a file is a vertex of the hull: about 20 remain."""
SURFACE_POINTS = 200
"""Number of points that represent the surface of a shape."""
JITTER = 1e-6
"""Displacement of vertices, meters, so that no four are in a plane: then every face is a triangle."""


class Shape(NamedTuple):
    """Convex shape in the frame of its center of mass and principal axes."""

    hull: Hull
    """Vertices and faces, meters."""
    size: tuple[float, float, float]
    """Edges of the bounding box, meters; the first one is the longest."""
    points: Points
    """Points on the surface, evenly distributed, meters."""
    normals: Points
    """Outward normals at the points."""


def is_held_out(number: int) -> bool:
    """Return True if a shape is never in a training episode."""
    return number % 10 == HELD_OUT_DIGIT


@cache
def load_shape(number: int) -> Shape | None:
    """Return a shape, or None if its size is beyond the limits or its file has invalid numbers.

    Args:
        number: Number of the shape, 0 to 999.
    """
    vertices = SCALE * random_shape(number)
    if not np.isfinite(vertices).all():
        return None
    extreme = vertices[np.unique((vertices @ _directions(DIRECTIONS).T).argmax(axis=0))]
    extreme += np.random.default_rng(number).uniform(-JITTER, JITTER, extreme.shape)
    if np.ptp(extreme, axis=0).min() < MIN_EXTENT / 2:
        return None
    faces = _faces(extreme)
    center, axes = _principal_frame(extreme, faces)
    # Rounded, so that all processors simulate the same shape.
    aligned = np.round((extreme - center) @ axes, 7)
    length, width, height = np.ptp(aligned, axis=0).tolist()
    if height < MIN_EXTENT or length > MAX_EXTENT:
        return None
    points, normals = _surface(aligned, faces)
    corners = tuple((x, y, z) for x, y, z in aligned.tolist())
    return Shape(Hull(corners, tuple(map(tuple, faces.tolist()))), (length, width, height), points, normals)


def _directions(count: int) -> Points:
    """Return evenly distributed unit vectors: a spiral from pole to pole with golden-angle steps."""
    steps = np.arange(count) + 0.5
    cosine = 1.0 - 2.0 * steps / count
    sine, turn = np.sqrt(1.0 - cosine**2), np.pi * (1.0 + np.sqrt(5.0)) * steps
    return np.stack([np.cos(turn) * sine, np.sin(turn) * sine, cosine], axis=1)


def _faces(vertices: Points) -> npt.NDArray[np.int64]:
    """Return the triangles of the hull of points of which no four are in a plane, counterclockwise from outside.

    A triangle of points is a face if all other points are on one side of it.
    """
    triples = np.array(list(combinations(range(len(vertices)), 3)))
    first, second, third = (vertices[triples[:, corner]] for corner in range(3))
    normals = np.cross(second - first, third - first)
    # A matrix product would depend on the processor.
    heights = (vertices[:, None] * normals).sum(axis=2) - (first * normals).sum(axis=1)
    for corner in range(3):
        heights[triples[:, corner], np.arange(len(triples))] = 0.0
    below, above = (heights <= 0.0).all(axis=0), (heights >= 0.0).all(axis=0)
    return np.concatenate([triples[below], triples[above][:, ::-1]])


def _principal_frame(vertices: Points, faces: npt.NDArray[np.int64]) -> tuple[Points, Points]:
    """Return the center of mass, and the principal axes as columns, the longest first."""
    corners = vertices[faces]
    volumes = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    # Tetrahedra of each face and the origin.
    center = (volumes[:, None] * corners.sum(axis=1)).sum(axis=0) / (4.0 * volumes.sum())
    corners = corners - center
    volumes = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    sums = corners.sum(axis=1)
    # Integral of x x^T over a tetrahedron with a corner at the origin.
    spread = np.einsum("i,ikj,ikl->jl", volumes, corners, corners) + np.einsum("i,ij,il->jl", volumes, sums, sums)
    axes = np.linalg.eigh(spread)[1][:, ::-1]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), range(3)])
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    return center, axes


def _surface(vertices: Points, faces: npt.NDArray[np.int64]) -> tuple[Points, Points]:
    """Return points on the surface, evenly distributed, and their normals."""
    corners = vertices[faces]
    crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(crosses, axis=1)
    ends = np.cumsum(areas) / areas.sum()
    rng = np.random.default_rng(0)
    chosen = np.searchsorted(ends, (np.arange(SURFACE_POINTS) + 0.5) / SURFACE_POINTS)
    one, two = rng.uniform(size=(2, SURFACE_POINTS))
    folded = one + two > 1.0
    one, two = np.where(folded, 1.0 - one, one)[:, None], np.where(folded, 1.0 - two, two)[:, None]
    first, second, third = (corners[chosen, corner] for corner in range(3))
    points = first + one * (second - first) + two * (third - first)
    return points, crosses[chosen] / areas[chosen, None]
