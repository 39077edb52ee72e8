"""Bodies with joints, such as drawers, doors and levers, whose base is fixed to the world."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from typing_extensions import override

from lam_envs.bullet.bodies import RGB, Body, Part, box_shapes, shifted_color
from lam_envs.bullet.client import pybullet
from lam_envs.bullet.geometry import IDENTITY, Frame, Quaternion, Vector3, check_orientation
from lam_envs.randomization import PhysicsScale

JointKind = Literal["prismatic", "revolute"]
BULLET_KINDS: dict[JointKind, int] = {
    "prismatic": pybullet.JOINT_PRISMATIC,
    "revolute": pybullet.JOINT_REVOLUTE,
}
POSE_SIZE = 7
"""Numbers of the pose of a base: position 3, quaternion 4."""
MAX_PARAMETER = 100.0
"""Largest friction, damping and stiffness of a joint. Larger ones may be unstable for light links."""
LIMIT_TOLERANCE = 0.01
"""Largest distance of a joint beyond its limits in a state that is set, meters or radians."""


@dataclass(frozen=True)
class Joint:
    """Joint of an articulated body, and the link of boxes that it moves.

    Attributes:
        name: Name of the joint.
        kind: ``"prismatic"`` slides along the axis, ``"revolute"`` turns about it.
        axis: Unit vector in the frame of the link.
        low: Lowest position, meters or radians.
        high: Highest position, meters or radians.
        parts: Boxes of the link, in its frame; at most 16.
        mass: Mass of the link, kilograms.
        origin: Origin of the link's frame in the frame of its parent at position 0, meters. A revolute joint turns
            about the axis through it.
        parent: Name of the joint whose link carries this one; None for the base.
        rest: Position at which the spring of the joint is relaxed, meters or radians.
        color: Red, green, blue in [0, 1].
        surface_friction: Lateral friction coefficient of the link.
    """

    name: str
    kind: JointKind
    axis: Vector3
    low: float
    high: float
    parts: tuple[Part, ...]
    mass: float
    origin: Vector3 = (0.0, 0.0, 0.0)
    parent: str | None = None
    rest: float = 0.0
    color: RGB = (0.7, 0.7, 0.7)
    surface_friction: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers of the joint.

        Raises:
            ValueError: The kind is unknown, the limits are not ordered, the axis is no unit vector, or the mass is
                not above 0.
        """
        if self.kind not in BULLET_KINDS:
            raise ValueError(f"joint {self.name!r} is {self.kind!r}; expected {' or '.join(BULLET_KINDS)}")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"joint {self.name!r} has the limits {self.low} and {self.high}; expected low < high")
        if not math.isclose(math.hypot(*self.axis), 1.0, abs_tol=1e-6):
            raise ValueError(f"joint {self.name!r} has the axis {self.axis}; expected a unit vector")
        if not self.mass > 0.0:
            raise ValueError(f"joint {self.name!r} has the mass {self.mass}; expected a number above 0")

    @property
    def center(self) -> Vector3:
        """Center of mass in the frame of the link, for boxes of equal density."""
        volumes = [math.prod(part.size) for part in self.parts]
        x, y, z = (
            sum(volume * part.position[axis] for volume, part in zip(volumes, self.parts, strict=True)) / sum(volumes)
            for axis in range(3)
        )
        return (x, y, z)

    @property
    def reach(self) -> float:
        """Largest distance of a point of the link from the axis of a revolute joint, meters; an upper bound."""
        return max(math.hypot(*part.position) + math.hypot(*part.size) / 2 for part in self.parts)


class JointState(NamedTuple):
    """Position, velocity and resistance of a joint. Units are those of a prismatic joint (of a revolute joint)."""

    position: float
    """Meters (radians)."""
    velocity: float = 0.0
    """Meters (radians) per second."""
    friction: float = 0.0
    """Dry friction, newtons (newton meters): the joint stays at rest under smaller forces."""
    damping: float = 0.0
    """Force per velocity, newton seconds per meter (newton meter seconds per radian)."""
    stiffness: float = 0.0
    """Force of a spring per distance from ``Joint.rest``, newtons per meter (newton meters per radian)."""


class Articulation(NamedTuple):
    """State of an articulated body: pose of its base, and its joints in order."""

    position: Vector3
    """Position of the base, meters."""
    orientation: Quaternion
    """Orientation of the base, quaternion x, y, z, w."""
    joints: tuple[JointState, ...]

    def to_numbers(self) -> list[float]:
        """Return the state as :func:`articulation_size` numbers of a state vector."""
        return [*self.position, *self.orientation, *(number for joint in self.joints for number in joint)]


def articulation_size(joints: int) -> int:
    """Return the length of the state of a body with a number of joints."""
    return POSE_SIZE + len(JointState._fields) * joints


def articulation_from_numbers(numbers: Sequence[float]) -> Articulation:
    """Invert :meth:`Articulation.to_numbers`."""
    x, y, z, qx, qy, qz, qw = numbers[:POSE_SIZE]
    size = len(JointState._fields)
    rows = [numbers[start : start + size] for start in range(POSE_SIZE, len(numbers), size)]
    return Articulation((x, y, z), (qx, qy, qz, qw), tuple(JointState(*row) for row in rows))


@dataclass
class ArticulatedBody(Body):
    """Body with joints in a Bullet client.

    Attributes:
        joints: The joints in order; joint ``i`` moves link ``i`` of Bullet.
        friction_scale: Factor on the friction of joints.
    """

    joints: tuple[Joint, ...] = ()
    friction_scale: float = 1.0
    _set: Articulation = field(default=Articulation((0.0, 0.0, 0.0), IDENTITY, ()), repr=False, compare=False)
    """State that was set last: neither the base nor the resistance of joints changes by itself."""

    def index(self, joint: str) -> int:
        """Return the number of a joint.

        Raises:
            KeyError: There is no joint with this name.
        """
        for number, one in enumerate(self.joints):
            if one.name == joint:
                return number
        raise KeyError(joint)

    def state(self) -> Articulation:
        """Return the present state."""
        joints = tuple(
            joint._replace(position=position, velocity=velocity)
            for joint, (position, velocity) in zip(self._set.joints, self._positions(), strict=True)
        )
        return self._set._replace(joints=joints)

    def set_state(self, state: Articulation) -> None:
        """Set pose, joints and the resistance of joints."""
        self.invalidate()
        self._set = state
        self.set_pose(state)
        for number, joint in enumerate(state.joints):
            pybullet.changeDynamics(self.id, number, jointDamping=joint.damping, physicsClientId=self.client)
        self.set_friction()

    def set_pose(self, state: Articulation) -> None:
        """Set pose and joints without the resistance of joints, such as in a client that only renders."""
        pybullet.resetBasePositionAndOrientation(self.id, state.position, state.orientation, self.client)
        for number, joint in enumerate(state.joints):
            pybullet.resetJointState(self.id, number, joint.position, joint.velocity, self.client)

    @override
    def copy_pose(self, original: Body) -> None:
        """See :class:`Body`."""
        if isinstance(original, ArticulatedBody):
            self.set_pose(original.state())

    def set_friction(self) -> None:
        """Set the dry friction of the joints.

        Joints of a new body have a motor that holds them; its force is replaced by the friction. Bullet turns the
        force into an impulse at once: call this again when the duration of a physics step changes.
        """
        for number, joint in enumerate(self._set.joints):
            pybullet.setJointMotorControl2(
                self.id,
                number,
                pybullet.VELOCITY_CONTROL,
                targetVelocity=0.0,
                force=joint.friction * self.friction_scale,
                physicsClientId=self.client,
            )

    def apply_springs(self) -> None:
        """Apply the forces of the springs, which last for one physics step."""
        for number, (joint, resistance) in enumerate(zip(self.joints, self._set.joints, strict=True)):
            if resistance.stiffness == 0.0:
                continue
            position = pybullet.getJointState(self.id, number, self.client)[0]
            pybullet.setJointMotorControl2(
                self.id,
                number,
                pybullet.TORQUE_CONTROL,
                force=resistance.stiffness * (joint.rest - position),
                physicsClientId=self.client,
            )

    def speed(self) -> float:
        """Return an upper bound of the speed of the links relative to their parents, meters per second."""
        return max(
            abs(velocity) * (joint.reach if joint.kind == "revolute" else 1.0)
            for joint, (_, velocity) in zip(self.joints, self._positions(), strict=True)
        )

    def link_frame(self, joint: str) -> Frame:
        """Return the present frame of the link that a joint moves, in world coordinates."""
        link = pybullet.getLinkState(self.id, self.index(joint), 0, 1, self.client)
        return Frame(link[4], link[5])

    def point(self, joint: str, position: Vector3) -> Vector3:
        """Return the world coordinates of a point in the frame of the link that a joint moves, meters."""
        frame = self.link_frame(joint)
        point: Vector3 = pybullet.multiplyTransforms(*frame, position, IDENTITY)[0]
        return point

    def check(self, name: str, state: Articulation) -> None:
        """Check that the body can have a state.

        Args:
            name: Name of the body for error messages.
            state: The state.

        Raises:
            ValueError: The orientation is not a unit quaternion, a joint is beyond its limits, or a friction, damping
                or stiffness is out of range.
        """
        check_orientation(f"the orientation of {name}", state.orientation)
        for joint, one in zip(self.joints, state.joints, strict=True):
            if not joint.low - LIMIT_TOLERANCE <= one.position <= joint.high + LIMIT_TOLERANCE:
                raise ValueError(
                    f"the position of the joint {joint.name} of {name} is {one.position:g}; "
                    f"expected {joint.low:g} to {joint.high:g}"
                )
            for parameter in ("friction", "damping", "stiffness"):
                value = getattr(one, parameter)
                if not 0.0 <= value <= MAX_PARAMETER:
                    raise ValueError(
                        f"the {parameter} of the joint {joint.name} of {name} is {value:g}; "
                        f"expected 0 to {MAX_PARAMETER:g}"
                    )

    @override
    def set_color_offset(self, offset: Sequence[float]) -> None:
        """Add an offset in red, green and blue to the colors of base and links."""
        colors = [self.color[:3], *(joint.color for joint in self.joints)]
        for link, color in enumerate(colors, start=-1):
            rgba = [*shifted_color(color, offset), 1.0]
            pybullet.changeVisualShape(self.id, link, rgbaColor=rgba, physicsClientId=self.client)

    def _positions(self) -> list[tuple[float, float]]:
        """Return position and velocity of each joint."""
        states = pybullet.getJointStates(self.id, list(range(len(self.joints))), self.client)
        return [(state[0], state[1]) for state in states]


def create(
    client: int,
    base: Sequence[Part],
    joints: Sequence[Joint],
    scale: PhysicsScale,
    *,
    color: RGB,
    visible: bool,
) -> ArticulatedBody:
    """Create a body whose base is fixed to the world. Its links do not collide with each other and with the base.

    Args:
        client: PyBullet's id of the client.
        base: Boxes of the base, in its frame; at most 16.
        joints: The joints; a parent comes before its children.
        scale: Factors on the mass of links, and on the friction of joints and links.
        color: Color of the base: red, green, blue in [0, 1].
        visible: True in a client that renders.

    Raises:
        ValueError: There is no joint, two joints have the same name, or a parent does not come before its child.
    """
    names = [joint.name for joint in joints]
    if not joints or len(set(names)) < len(names):
        raise ValueError(f"the joints are {', '.join(names) or 'none'}; expected at least one, with different names")
    parents = []
    for number, joint in enumerate(joints):
        if joint.parent is not None and joint.parent not in names[:number]:
            raise ValueError(f"the parent of the joint {joint.name!r} is {joint.parent!r}; expected an earlier joint")
        # Bullet counts links from 1 here: 0 is the base.
        parents.append(0 if joint.parent is None else 1 + names.index(joint.parent))
    base_shapes = box_shapes(client, base, color, visible=visible)
    shapes = [box_shapes(client, joint.parts, joint.color, visible=visible) for joint in joints]
    links: dict[str, Any] = {
        "linkMasses": [joint.mass * scale.mass for joint in joints],
        "linkCollisionShapeIndices": [collision for collision, _ in shapes],
        "linkVisualShapeIndices": [visual for _, visual in shapes],
        "linkPositions": [joint.origin for joint in joints],
        "linkOrientations": [IDENTITY] * len(joints),
        "linkInertialFramePositions": [joint.center for joint in joints],
        "linkInertialFrameOrientations": [IDENTITY] * len(joints),
        "linkParentIndices": parents,
        "linkJointTypes": [BULLET_KINDS[joint.kind] for joint in joints],
        "linkJointAxis": [joint.axis for joint in joints],
    }
    number = pybullet.createMultiBody(0.0, *base_shapes, physicsClientId=client, **links)
    for link, joint in enumerate(joints):
        pybullet.changeDynamics(
            number,
            link,
            jointLowerLimit=joint.low,
            jointUpperLimit=joint.high,
            lateralFriction=joint.surface_friction * scale.friction,
            physicsClientId=client,
        )
    body = ArticulatedBody(
        client,
        number,
        base[0].size,
        (*color, 1.0),
        joints=tuple(joints),
        friction_scale=scale.friction,
    )
    initial = tuple(JointState(min(max(joint.rest, joint.low), joint.high)) for joint in joints)
    body.set_state(Articulation((0.0, 0.0, 0.0), IDENTITY, initial))
    return body
