"""BVH motion capture, with fingers or with wrists alone."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from demos.human.readers.reader import ReadOptions, Recording, RecordingError, parse_table
from demos.human.track import FINGERS, HANDS, MAX_FRAMES, POINTS, Floats, HandTrack, make_track

MAX_JOINTS = 2000
MAX_POSITIONS = 20_000_000
"""Most frames times joints: in memory, each position and its rotation take 96 bytes. A text file of real recordings
has fewer."""
CHANNELS = ("Xposition", "Yposition", "Zposition", "Xrotation", "Yrotation", "Zrotation")
UNITS = (1.0, 0.01, 0.001, 0.0254)
"""Lengths of a unit, meters: the format does not say, a forearm's or a hand's length does."""
UNIT_TOLERANCE = 1.4
"""Largest factor between the length of a forearm and ``FOREARM`` at which one of ``UNITS`` is accepted."""
FOREARM = 0.26
"""Length of a forearm, meters; a hand is 0.19, wrist to middle finger's tip."""


@dataclass
class Joint:
    """Joint of the skeleton."""

    name: str
    parent: int | None
    offset: Floats
    channels: list[tuple[str, int]] = field(default_factory=list)
    """Name and column of each channel, in the order in which they are applied."""


class Header(NamedTuple):
    """Skeleton and timing of a file."""

    joints: list[Joint]
    columns: int
    frames: int
    period: float
    first_line: int
    """Number of the first line of motion, from 1."""


class BvhReader:
    """BVH file of a skeleton that has a left or a right hand."""

    name = "BVH motion capture"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        return recording.head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"HIERARCHY")

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        lines = recording.text.splitlines()
        header = _parse_header(recording, lines)
        table = parse_table(recording, lines[header.first_line - 1 :], header.first_line, str.split, header.columns)
        if len(table) != header.frames or np.isnan(table).any():
            recording.fail(
                f"line {header.first_line}", f"{len(table)} complete frames; the header has {header.frames}"
            )
        positions = _positions(header.joints, table)
        unit, assumed = (options.unit, "") if options.unit else _unit(header.joints)
        times = options.frame_times(len(table), 1.0 / header.period)
        result = []
        for hand in HANDS:
            joints = _hand_joints(header.joints, hand)
            if 0 not in joints:
                continue
            points = np.full((len(table), POINTS, 3), np.nan)
            for point, joint in joints.items():
                points[:, point] = positions[:, joint] * unit
            with recording.checking(f"{hand} hand"):
                result.append(
                    make_track(
                        times,
                        points,
                        "world",
                        hand,
                        up=(0.0, 1.0, 0.0),
                        source=f"BVH, unit {unit:g} m{assumed}",
                    )
                )
        if not result:
            recording.fail("HIERARCHY", "no joint named as a left or right hand or wrist")
        return result


def _parse_header(recording: Recording, lines: list[str]) -> Header:
    joints: list[Joint] = []
    stack: list[int | None] = []
    current: int | None = None
    columns = 0
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        with recording.checking(f"line {number}"):
            if words[0] in ("ROOT", "JOINT", "End"):
                name = " ".join(words[1:]) if words[0] != "End" else f"{joints[_index(current)].name} end"
                joints.append(Joint(name, current, np.zeros(3)))
                if len(joints) > MAX_JOINTS:
                    raise ValueError(f"more than {MAX_JOINTS} joints")
            elif words[0] == "{":
                stack.append(current)
                current = len(joints) - 1
            elif words[0] == "}":
                current = stack.pop()
            elif words[0] == "OFFSET":
                x, y, z = (float(word) for word in words[1:])
                if not math.isfinite(x + y + z):
                    raise ValueError("an offset that is not finite")
                joints[_index(current)].offset = np.array([x, y, z])
            elif words[0] == "CHANNELS":
                names = words[2:]
                if len(names) != int(words[1]) or not set(names) <= set(CHANNELS):
                    raise ValueError(f"channels {' '.join(words[1:])[:80]}")
                joints[_index(current)].channels = [(name, columns + rank) for rank, name in enumerate(names)]
                columns += len(names)
            elif words[0] == "MOTION":
                return _parse_timing(recording, lines, number, joints, columns)
            elif words[0] != "HIERARCHY":
                raise ValueError(f"{words[0][:40]!r}; expected ROOT, JOINT, OFFSET, CHANNELS or MOTION")
    raise RecordingError(recording.path, f"line {len(lines)}", "no MOTION")


def _index(joint: int | None) -> int:
    if joint is None:
        raise ValueError("outside of a joint")
    return joint


def _parse_timing(recording: Recording, lines: list[str], number: int, joints: list[Joint], columns: int) -> Header:
    head = [line.split(":") for line in lines[number : number + 2]]
    with recording.checking(f"line {number + 1}"):
        if [part[0].strip() for part in head] != ["Frames", "Frame Time"]:
            raise ValueError("expected Frames: and Frame Time:")
        frames, period = int(head[0][1]), float(head[1][1])
        if not 2 <= frames <= MAX_FRAMES or not 1e-4 <= period <= 10:
            raise ValueError(f"{frames} frames of {period} s; expected 2 to {MAX_FRAMES:,} of 0.0001 to 10 s")
        if not joints or not columns:
            raise ValueError("no joints before MOTION")
        if frames * len(joints) > MAX_POSITIONS:
            raise ValueError(
                f"{frames:,} frames of {len(joints):,} joints; expected at most {MAX_POSITIONS:,} positions: cut the "
                "recording into parts, or leave out joints"
            )
    return Header(joints, columns, frames, period, number + 3)


def _positions(joints: list[Joint], table: Floats) -> Floats:
    """Return the world positions of all joints, shape (T, joints, 3)."""
    positions = np.zeros((len(table), len(joints), 3))
    rotations = np.zeros((len(table), len(joints), 3, 3))
    for index, joint in enumerate(joints):
        shift = np.broadcast_to(joint.offset, (len(table), 3)).copy()
        local = np.broadcast_to(np.eye(3), (len(table), 3, 3))
        positioned = [(name, column) for name, column in joint.channels if name.endswith("position")]
        if positioned:
            # Positions replace the offset; most files have them at the root alone.
            for name, column in positioned:
                shift[:, "XYZ".index(name[0])] = table[:, column]
        for name, column in joint.channels:
            if name.endswith("rotation"):
                local = local @ _rotation("XYZ".index(name[0]), np.radians(table[:, column]))
        if joint.parent is None:
            positions[:, index], rotations[:, index] = shift, local
        else:
            parent = rotations[:, joint.parent]
            positions[:, index] = positions[:, joint.parent] + np.einsum("tij,tj->ti", parent, shift)
            rotations[:, index] = parent @ local
    return positions


def _rotation(axis: int, angles: Floats) -> Floats:
    """Return rotations about an axis, shape (T, 3, 3)."""
    one, two = (axis + 1) % 3, (axis + 2) % 3
    matrices = np.zeros((len(angles), 3, 3))
    matrices[:, axis, axis] = 1.0
    matrices[:, one, one] = matrices[:, two, two] = np.cos(angles)
    matrices[:, one, two] = -np.sin(angles)
    matrices[:, two, one] = np.sin(angles)
    return matrices


def _plain(name: str) -> str:
    """Return a name without prefixes and separators, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.rpartition(":")[2].lower())


def _side(name: str, hand: str) -> str | None:
    """Return the rest of the name of a joint of a side; None if it is of another one."""
    plain = _plain(name)
    for prefix in (hand, hand[0]):
        if plain.startswith(prefix):
            return plain[len(prefix) :]
        if plain.endswith(prefix) and prefix == hand:
            return plain[: -len(prefix)]
    return None


def _hand_joints(joints: list[Joint], hand: str) -> dict[int, int]:
    """Return the joint of each hand point that the skeleton has; without a hand, nothing."""
    rests = [_side(joint.name, hand) for joint in joints]
    wrist = next((index for index, rest in enumerate(rests) if rest in ("hand", "wrist", "handjoint")), None)
    if wrist is None:
        return {}
    found = {0: wrist}
    for rank, finger in enumerate(FINGERS):
        names = (finger, "little") if finger == "pinky" else (finger,)
        chain = [
            index
            for index, joint in enumerate(joints)
            if any(name in _plain(joint.name) for name in names) and _descends(joints, index, wrist)
        ]
        # The last four: some skeletons have a metacarpal before, and the end of the last bone is the tip.
        for number, index in zip(range(4 * rank + 4, 4 * rank, -1), reversed(chain), strict=False):
            found[number] = index
    return found


def _descends(joints: list[Joint], index: int, ancestor: int) -> bool:
    parent: int | None = index
    while parent is not None:
        if parent == ancestor:
            return True
        parent = joints[parent].parent
    return False


def _unit(joints: list[Joint]) -> tuple[float, str]:
    """Return the unit in meters that gives forearms a person's length, and " assumed" if none of ``UNITS`` does."""
    lengths = []
    for hand in HANDS:
        wrist = _hand_joints(joints, hand).get(0)
        # A helper joint may stand between: take the longest bone within two joints of the wrist.
        bones = []
        for _ in range(2):
            if wrist is not None:
                bones.append(float(np.linalg.norm(joints[wrist].offset)))
                wrist = joints[wrist].parent
        lengths += [max(bones)] if bones and max(bones) > 0 else []
    if not lengths:
        return 1.0, " assumed"
    length = max(lengths)
    unit = min(UNITS, key=lambda unit: abs(math.log(length * unit / FOREARM)))
    if abs(math.log(length * unit / FOREARM)) <= math.log(UNIT_TOLERANCE):
        return unit, ""
    return float(f"{FOREARM / length:.3g}"), " assumed"
