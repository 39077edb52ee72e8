"""Synthetic motion capture of a laboratory: a person who moves a box, as a C3D file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import c3d
import numpy as np

from benchmarks.recordings.synthetic import carry_box

RATE = 120.0
ORIGIN = np.array([1.4, -0.6, 0.82])
"""Center of the table in the laboratory, meters."""
HAND = {"wrist_out": 0, "wrist_in": 0, "thumb": 4, "index": 8}
CORNERS = np.array([[-0.04, -0.03, 0.03], [0.04, -0.03, 0.03], [0.04, 0.03, 0.03], [-0.04, 0.03, 0.03]])
BODY = {"C7": (1.4, -1.2, 1.35), "CLAV": (1.4, -1.0, 1.3), "LASI": (1.3, -1.0, 0.95), "LFIN": (1.1, -0.8, 0.9)}


def markers(seed: int = 5) -> tuple[dict[str, Any], float, float]:
    """Return positions in meters by marker, and the times of grasp and release."""
    rng = np.random.default_rng(seed)
    scene = carry_box(rng, RATE)
    held = (scene.times >= scene.grasp) & (scene.times <= scene.release)
    pinch = scene.points[:, [4, 8]].mean(axis=1)
    box = np.where(held[:, None], pinch, np.where((scene.times < scene.grasp)[:, None], scene.start, scene.end))
    angle = np.where(held, 0.6 * np.sin(np.pi * (scene.times - scene.grasp) / (scene.release - scene.grasp)), 0.0)
    cos, sin, zero = np.cos(angle), np.sin(angle), np.zeros_like(angle)
    turn = np.stack(
        [np.stack([cos, -sin, zero], 1), np.stack([sin, cos, zero], 1), np.stack([zero, zero, zero + 1], 1)], 1
    )
    found = {name: scene.points[:, point].copy() for name, point in HAND.items()}
    found["wrist_in"] += (0.05, 0.0, 0.0)
    for number, corner in enumerate(CORNERS, start=1):
        found[f"box{number}"] = box + turn @ corner
    found |= {name: np.repeat(np.array([place]) - ORIGIN, len(box), axis=0) for name, place in BODY.items()}
    found = {name: path + ORIGIN + 0.0003 * rng.standard_normal(path.shape) for name, path in found.items()}
    return found, scene.grasp, scene.release


def write_c3d(
    path: Path,
    names: dict[str, str],
    *,
    unit: str = "mm",
    values_in: float = 0.001,
    up: str | None = "+Z",
    gaps: Sequence[tuple[str, int, int]] = (),
    seed: int = 5,
) -> tuple[float, float]:
    """Write a C3D file; return the times of grasp and release.

    Args:
        path: File to write.
        names: Label of each marker of :func:`markers` that the file has.
        unit: Unit that the file names.
        values_in: Unit in which its values are, meters.
        up: Axis that the file names as up; None for none.
        gaps: Marker, first frame and end of each gap.
        seed: Seed of the motion.
    """
    found, grasp, release = markers(seed)
    chosen = list(names)
    positions = np.stack([found[name] for name in chosen], axis=1) / values_in
    if up == "+Y" or up is None:
        positions = positions[:, :, [1, 2, 0]]
    residuals = np.zeros(positions.shape[:2])
    for name, start, end in gaps:
        positions[start:end, chosen.index(name)] = 0.0
        residuals[start:end, chosen.index(name)] = -1.0
    writer = c3d.Writer(point_rate=RATE, point_units=f"{unit:<4}")
    writer.set_point_labels([names[name] for name in chosen])
    if up is not None:
        writer.set_screen_axis("+X", up)
    for frame, residual in zip(positions, residuals, strict=True):
        values = np.zeros((len(chosen), 5), dtype=np.float32)
        values[:, :3] = frame
        values[:, 3] = residual
        writer.add_frames([(values, np.zeros((0, 0)))])
    with path.open("wb") as file:
        writer.write(file)
    return grasp, release
