"""Track of a gripper that a person moved, and the logs of a simulated Panda."""

from __future__ import annotations

import math

import numpy as np

from demos.human.readers.reader import ReadOptions, Recording
from demos.human.track import INDEX_TIP, MAX_FRAMES, POINTS, THUMB_TIP, Floats, Hand, HandTrack, make_track

MAX_EPISODES = 1000
"""Most episodes of a dataset."""
PANDA_FPS = 100.0
PANDA_SIZE = 16
"""Numbers of a position: 7 joints, 2 fingers, position and quaternion of the object."""
PANDA_LINKS = (
    (0.0, 0.333, 0.0), (0.0, 0.0, -math.pi / 2), (0.0, 0.316, math.pi / 2), (0.0825, 0.0, math.pi / 2),
    (-0.0825, 0.384, -math.pi / 2), (0.0, 0.0, math.pi / 2), (0.088, 0.0, math.pi / 2),
)  # fmt: skip
"""a (m), d (m) and alpha of each joint of the Panda: modified Denavit-Hartenberg parameters (Franka's manual)."""
PANDA_TOOL = 0.107 + 0.1034
"""Distance from the last joint to the point between the fingertips, meters."""


def gripper_track(
    times: Floats,
    positions: Floats,
    widths: Floats,
    axes: Floats | None,
    source: str,
    *,
    hand: Hand = "right",
    objects: dict[str, Floats] | None = None,
) -> HandTrack:
    """Return the track of a gripper: its fingertips are thumb and index finger.

    Args:
        times: Seconds, shape (T,).
        positions: Points between the fingertips, meters, shape (T, 3).
        widths: Openings, meters, shape (T,).
        axes: Unit vectors from one finger to the other, shape (T, 3); y by default.
        source: Description of the origin.
        hand: Hand that holds the gripper.
        objects: Positions of objects by name.

    Raises:
        ValueError: A shape or a value is invalid.
    """
    points = np.full((len(times), POINTS, 3), np.nan)
    half = np.asarray(widths)[:, None] / 2 * (np.array([0.0, 1.0, 0.0]) if axes is None else axes)
    points[:, THUMB_TIP], points[:, INDEX_TIP] = positions - half, positions + half
    return make_track(times, points, "world", hand, up=(0.0, 0.0, 1.0), source=source, objects=objects)


class PandaLogReader:
    """NPZ log of a simulated Panda: ``qpos``, shape (T, 16), as in VisionProTeleop's MuJoCo demonstrations."""

    name = "log of a Panda"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        return "qpos" in recording.array_names

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        qpos = recording.arrays(["qpos"])["qpos"]
        if qpos.dtype.kind != "f" or qpos.shape[1:] != (PANDA_SIZE,) or not 2 <= len(qpos) <= MAX_FRAMES:
            recording.fail("array qpos", f"{qpos.dtype} {qpos.shape}; expected numbers of shape (T, {PANDA_SIZE})")
        qpos = qpos.astype(np.float64)
        if not np.isfinite(qpos).all():
            recording.fail("array qpos", "numbers that are not finite")
        position, axis = _panda_tool(qpos[:, :7])
        times = options.frame_times(len(qpos), PANDA_FPS)
        with recording.checking("array qpos"):
            widths = np.maximum(qpos[:, 7] + qpos[:, 8], 0.0)
            objects = {"object": qpos[:, 9:12]}
            return [gripper_track(times, position, widths, axis, "Panda log", objects=objects)]


def _panda_tool(joints: Floats) -> tuple[Floats, Floats]:
    """Return the position between the fingertips and the axis of the fingers, each of shape (T, 3)."""
    pose = np.broadcast_to(np.eye(4), (len(joints), 4, 4))
    for index, (a, d, alpha) in enumerate(PANDA_LINKS):
        link = np.zeros((len(joints), 4, 4))
        cos, sin = np.cos(joints[:, index]), np.sin(joints[:, index])
        ca, sa = math.cos(alpha), math.sin(alpha)
        link[:, 0, 0], link[:, 0, 1], link[:, 0, 3] = cos, -sin, a
        link[:, 1, 0], link[:, 1, 1], link[:, 1, 2], link[:, 1, 3] = sin * ca, cos * ca, -sa, -d * sa
        link[:, 2, 0], link[:, 2, 1], link[:, 2, 2], link[:, 2, 3] = sin * sa, cos * sa, ca, d * ca
        link[:, 3, 3] = 1.0
        pose = pose @ link
    # The hand is turned by -45 degrees on the flange; its fingers move along its y axis.
    axis = (pose[:, :3, 0] + pose[:, :3, 1]) / math.sqrt(2.0)
    return pose[:, :3, 3] + PANDA_TOOL * pose[:, :3, 2], axis
