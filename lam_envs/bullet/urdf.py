"""Loading of robot descriptions (URDF)."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, SubElement
from xml.sax.saxutils import escape

import pybullet_data

from lam_envs.bullet.client import pybullet
from lam_envs.bullet.geometry import Vector3

PACKAGE = "package://"
DATA_PACKAGE = "package://pybullet_data"
EXTENSION_THICKNESS = 0.015
"""Edge of the cross-section of a finger extension, meters: the thickness of our fingers."""


def load_urdf(client: int, path: Path, base: Vector3, lengthened: Mapping[str, float], *, visible: bool) -> int:
    """Load a robot with its base fixed to the world, and return its PyBullet body id.

    Args:
        client: PyBullet's id of the client (``physicsClientId``).
        path: The description. Meshes named ``package://pybullet_data/...`` are those of the installed PyBullet.
        base: Position of the base, meters.
        lengthened: Lengths by which fingers are longer, meters, by names of their joints; see :func:`_lengthen`.
        visible: False in a client that renders nothing: half of the time to load a robot is for visual shapes.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: Bullet cannot read the file as a robot description.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no robot description at {path}")
    flags = 0 if visible else pybullet.URDF_IGNORE_VISUAL_SHAPES
    text = path.read_text(encoding="utf-8")
    if DATA_PACKAGE not in text and not lengthened:
        return _load(client, path, base, flags)
    text = text.replace(DATA_PACKAGE, escape(pybullet_data.getDataPath()))
    if lengthened:
        text = _lengthen(text, path, lengthened)
    # Bullet searches meshes only in the folders above the description, whatever search path is set.
    with tempfile.TemporaryDirectory() as folder:
        resolved = Path(folder) / path.name
        resolved.write_text(text, encoding="utf-8")
        return _load(client, resolved, base, flags)


def _load(client: int, path: Path, base: Vector3, flags: int) -> int:
    try:
        return int(
            pybullet.loadURDF(str(path), basePosition=base, useFixedBase=True, flags=flags, physicsClientId=client)
        )
    except pybullet.error as error:
        raise ValueError(f"{path.name} is no robot description that Bullet can read: {error}") from None


def _lengthen(text: str, path: Path, lengthened: Mapping[str, float]) -> str:
    """Return a description whose fingers reach further.

    Each finger moves along the z axis of its link. A box without mass of its own ends at the origin of this link and
    fills the gap, with one face in the plane in which the pads of two closed fingers meet.

    Args:
        text: The description.
        path: Its file, to which the names of meshes are relative.
        lengthened: Lengths, meters, by names of the fingers' joints.

    Raises:
        ValueError: The text is not XML, or lacks a joint or its parts.
    """
    try:
        robot = ET.fromstring(text)  # noqa: S314  (Bullet parses the same files)
    except ET.ParseError as error:
        raise ValueError(f"{path.name} is no robot description: {error}") from None
    for mesh in robot.iter("mesh"):
        mesh.set("filename", _mesh_path(mesh.get("filename", ""), path))
    for name, length in lengthened.items():
        link, axis, origin = _finger(robot, name, path)
        z_axis = _z_axis(_numbers(origin, "rpy"))
        moved = [at + length * along for at, along in zip(_numbers(origin, "xyz"), z_axis, strict=True)]
        origin.set("xyz", _written(moved))
        _add_extension(link, _numbers(axis, "xyz"), length)
    return ET.tostring(robot, encoding="unicode")


def _add_extension(link: Element, axis: Vector3, length: float) -> None:
    """Add a box above the origin of a finger's link, on the side to which the finger opens."""
    half = EXTENSION_THICKNESS / 2
    center = (half * axis[0], half * axis[1], half * axis[2] - length / 2)
    for kind in ("visual", "collision"):
        shape = SubElement(link, kind)
        SubElement(shape, "origin", xyz=_written(center))
        size = _written((EXTENSION_THICKNESS, EXTENSION_THICKNESS, length))
        SubElement(SubElement(shape, "geometry"), "box", size=size)
        if kind == "visual":
            SubElement(SubElement(shape, "material", name="extension"), "color", rgba="0.22 0.23 0.25 1")


def _finger(robot: Element, name: str, path: Path) -> tuple[Element, Element, Element]:
    """Return the link that a finger's joint moves, the axis of the joint and its origin."""
    joint = next((one for one in robot.iter("joint") if one.get("name") == name), Element("joint"))
    child, axis, origin = joint.find("child"), joint.find("axis"), joint.find("origin")
    moved = None if child is None else child.get("link")
    link = next((one for one in robot.iter("link") if one.get("name") == moved), None)
    if link is None or axis is None:
        raise ValueError(
            f"{path.name} has no joint {name!r} with a child link and an axis; expected one for each finger that a "
            "tool_length_offset makes longer"
        )
    return link, axis, SubElement(joint, "origin") if origin is None else origin


def _mesh_path(name: str, path: Path) -> str:
    """Return the absolute path of a mesh, which Bullet searches in the folder of the description and those above."""
    relative = name.removeprefix(PACKAGE)
    found = (folder / relative for folder in path.absolute().parents)
    return str(next((mesh for mesh in found if mesh.is_file()), name))


def _numbers(element: Element, attribute: str) -> Vector3:
    x, y, z = map(float, element.get(attribute, "0 0 0").split())
    return (x, y, z)


def _written(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:.12g}" for number in numbers)


def _z_axis(rpy: Vector3) -> Vector3:
    """Return the z axis of a frame that is rotated by roll, pitch and yaw: the last column of Rz Ry Rx."""
    (sr, cr), (sp, cp), (sy, cy) = ((math.sin(angle), math.cos(angle)) for angle in rpy)
    return (cy * sp * cr + sy * sr, sy * sp * cr - cy * sr, cp * cr)
