"""A serial arm with a parallel gripper in one Bullet client: kinematics, motors, touch.

A robot is data (:class:`RobotModel`); what all robots share is here (:class:`Robot`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lam_envs.bullet.bodies import Body
from lam_envs.bullet.client import pybullet
from lam_envs.bullet.geometry import Frame, Quaternion, Vector3
from lam_envs.bullet.simulation import Simulation

# Share of the position error that a motor corrects in one physics step. At 0.3 a step's jerk asks for more than
# the arm's torque and the tool swings by 2 cm; at 0.1 the tool lags so much that grasps take longer.
POSITION_GAIN = 0.15
VELOCITY_GAIN = 1.0
# Bullet's default damping (0.5) needs 100 iterations of inverse kinematics; with 1e-3 two iterations stay
# within 0.1 mm (mean) of a target that moves 2 cm a step.
IK_DAMPING = 1e-3
IK_ITERATIONS = 2
IK_RESET_ITERATIONS = 50
# Each step the free joint gives back this share of its way from home, so that the arm's shape depends on where
# the tool is and not on how it came there.
REDUNDANCY_PULL = 0.1
# The stops that Bullet enforces lie this far inside a joint's limits, radians: an arm that hits the table bends a
# weak wrist past its stop by up to 0.014.
STOP_MARGIN = 0.02
SMALLEST = 1e-3
FINGER_FRICTION = 1.0
# Torsional friction of a pad, which Bullet's point contacts lack (coefficient times metres). Without it a held
# object turned in the hand on 13 of 120 grasps, with it on 7.
PAD_SPINNING_FRICTION = 0.1
# Contacts whose gap is below this count as touching, metres: the solver lets held objects tremble by as much.
TOUCH_GAP = 0.001
# A finger holds an object only with the inside of its pad: |cos| between the contact normal and the closing
# direction. 0.7 is 45 degrees; an object that lies on top of a finger has about 0.
MIN_GRIP_COSINE = 0.7


@dataclass(frozen=True)
class RobotModel:
    """What distinguishes one robot from another.

    Attributes:
        name: How ``gym.make(..., robot=name)`` calls it.
        physics_urdf: Description with primitive collision shapes, drawn as such in pixel observations; its links
            have no fixed joints.
        pictures_urdf: Description with full-detail meshes and the same joint names, for people.
        base: Where it stands, metres; z is the height of its plinth on the table. It faces x.
        arm_joints: Names from base to hand. The last one moves the link that carries the hand.
        finger_joints: Names of the two sliding joints; 0 is closed.
        home: Joint angles in radians from which every episode's kinematics start.
        redundant_joint: Index of the arm joint that a tool pose leaves free; None if there is none.
        joint_margin: How far commands stay from the ends of the joints, radians, at least 0.02: there the stops are.
        arm_forces: Largest motor torques, newton metres.
        tool_offset: From the last arm joint to the point between the fingertips, along z, metres.
        hand_yaw: From the last link's x axis to the tool's, about z, radians.
        max_width: Widest opening between the fingers, metres.
        finger_force: Largest force of one finger, newtons.
        interpolate_targets: Move the targets of all joints together, so that the hand stays upright and at its height
            while it moves fast: in three equal parts of a control step, and shortened by one factor for all joints
            where one would turn too fast. Without it a weak or a nearly straight arm touches the table from the
            lowest height. Recommended; False keeps the episodes of the Panda as they were published.
        version: Raise it when episodes with the robot change: results and datasets of it are then outdated.

    Raises:
        TypeError: A description is not named by a path.
        ValueError: There is not one home angle and one force for each joint of the arm, or a number cannot be.
    """

    name: str
    physics_urdf: Path
    pictures_urdf: Path
    base: Vector3
    arm_joints: tuple[str, ...]
    finger_joints: tuple[str, str]
    home: tuple[float, ...]
    redundant_joint: int | None
    joint_margin: float
    arm_forces: tuple[float, ...]
    tool_offset: float
    hand_yaw: float
    max_width: float
    finger_force: float
    interpolate_targets: bool = False
    version: int = 1

    def __post_init__(self) -> None:
        """Checks what can be checked without the descriptions."""
        for what, path in (("physics_urdf", self.physics_urdf), ("pictures_urdf", self.pictures_urdf)):
            if not isinstance(path, Path):
                raise TypeError(f"{what} of the robot {self.name!r} is {path!r}; expected a pathlib.Path")
        count = len(self.arm_joints)
        for what, numbers in (("home", self.home), ("arm_forces", self.arm_forces)):
            if len(numbers) != count:
                raise ValueError(
                    f"{what} of the robot {self.name!r} has {len(numbers)} numbers; expected {count}, one for each "
                    "joint of the arm"
                )
        if self.redundant_joint is not None and self.redundant_joint not in range(count):
            raise ValueError(
                f"redundant_joint of the robot {self.name!r} is {self.redundant_joint!r}; expected None or 0 to "
                f"{count - 1}"
            )
        for what, number, least in (
            ("joint_margin", self.joint_margin, STOP_MARGIN),
            ("max_width", self.max_width, SMALLEST),
            ("finger_force", self.finger_force, SMALLEST),
        ):
            if not least <= number < math.inf:
                raise ValueError(f"{what} of the robot {self.name!r} is {number!r}; expected at least {least:g}")


class ToolState(NamedTuple):
    """Where the point between the fingertips is and how it moves, in world coordinates."""

    position: Vector3
    """Metres."""
    orientation: Quaternion
    """Of the last link: the hand is mounted on it, turned by ``hand_yaw``."""
    velocity: Vector3
    """Metres a second."""
    angular_velocity: Vector3
    """Radians a second, of the hand."""


class GripperState(NamedTuple):
    """How far the gripper is open."""

    width: float
    """Metres between the fingers."""
    velocity: float
    """Metres a second; negative while closing."""


class Touch(NamedTuple):
    """How the robot touches a body."""

    left: bool
    """Whether the left finger presses it with the inside of its pad."""
    right: bool
    """The same of the right finger."""
    anywhere: bool
    """Whether any part of the robot touches it, from any side."""


UNTOUCHED = Touch(left=False, right=False, anywhere=False)


class Robot:
    """A robot loaded into a simulation.

    Args:
        model: Which robot.
        simulation: Where it is loaded.
    """

    def __init__(self, model: RobotModel, simulation: Simulation) -> None:
        self.model = model
        self._client = simulation.client
        path = model.pictures_urdf if simulation.detail == "full" else model.physics_urdf
        self._body = simulation.load_urdf(path, model.base)
        index: dict[str, int] = {}
        limits: dict[str, tuple[float, float]] = {}
        for joint in range(pybullet.getNumJoints(self._body, physicsClientId=self._client)):
            info = pybullet.getJointInfo(self._body, joint, physicsClientId=self._client)
            index[info[1].decode()] = joint
            limits[info[1].decode()] = (info[8], info[9])
        names = (*model.arm_joints, *model.finger_joints)
        for name in names:
            if name not in index:
                raise ValueError(
                    f"{path} has no joint {name!r} of the robot {model.name!r}; it has {', '.join(index)}"
                )
        self._joints = [index[name] for name in names]
        self._arm = [index[name] for name in model.arm_joints]
        self._fingers = [index[name] for name in model.finger_joints]
        self.limits = [limits[name] for name in model.arm_joints]
        """Lowest and highest angle of each arm joint, radians."""
        margin = model.joint_margin
        for name, (low, high) in zip(model.arm_joints, self.limits, strict=True):
            if high - low <= 2 * margin:
                raise ValueError(
                    f"joint {name!r} of {path} goes from {low:g} to {high:g} radians; expected more than twice the "
                    f"joint_margin {margin:g} of the robot {model.name!r}"
                )
        self.commanded_limits = [(low + margin, high - margin) for low, high in self.limits]
        """Lowest and highest angle that each arm joint may be told, radians."""
        self._hand = self._arm[-1]
        # The gear passes half of the first finger's force on to the second, which needs no motor of its own.
        self._forces = [*model.arm_forces, 2 * model.finger_force, 0.0]
        self._velocity_gains = [VELOCITY_GAIN] * len(names)
        self._damping = [IK_DAMPING] * len(names)
        if simulation.detail == "physics":
            self._couple_fingers()
            for joint, (low, high) in zip(self._arm, self.limits, strict=True):
                stops = {"jointLowerLimit": low + STOP_MARGIN, "jointUpperLimit": high - STOP_MARGIN}
                pybullet.changeDynamics(self._body, joint, **stops, physicsClientId=self._client)
        self.place((*model.home, model.max_width / 2, model.max_width / 2))

    def _couple_fingers(self) -> None:
        # Two independent fingers with equal forces drift sideways with what they hold; a gear keeps them
        # centred, as the real hand's mechanism does.
        gear = pybullet.createConstraint(
            self._body,
            self._fingers[0],
            self._body,
            self._fingers[1],
            pybullet.JOINT_GEAR,
            [0, 1, 0],
            [0, 0, 0],
            [0, 0, 0],
            physicsClientId=self._client,
        )
        pybullet.changeConstraint(
            gear, gearRatio=-1, erp=0.5, maxForce=2 * self.model.finger_force, physicsClientId=self._client
        )
        for finger in self._fingers:
            pybullet.changeDynamics(
                self._body,
                finger,
                lateralFriction=FINGER_FRICTION,
                spinningFriction=PAD_SPINNING_FRICTION,
                physicsClientId=self._client,
            )

    # Reading

    @property
    def joint_count(self) -> int:
        """Arm joints plus two fingers."""
        return len(self._joints)

    def joint_states(self) -> tuple[list[float], list[float]]:
        """Returns positions (rad, m) and velocities of the arm joints and the fingers."""
        states = pybullet.getJointStates(self._body, self._joints, self._client)
        return [state[0] for state in states], [state[1] for state in states]

    def tool_state(self) -> ToolState:
        """Reads the tool from the hand's link."""
        link = pybullet.getLinkState(self._body, self._hand, 1, 1, self._client)
        mass_x, mass_y, mass_z = link[0]
        x, y, z = link[4]
        qx, qy, qz, qw = link[5]
        offset = self.model.tool_offset
        x += 2.0 * (qx * qz + qw * qy) * offset
        y += 2.0 * (qy * qz - qw * qx) * offset
        z += (1.0 - 2.0 * (qx * qx + qy * qy)) * offset
        # Bullet gives the velocity of the link's centre of mass: v_tool = v + w x (tool - centre).
        vx, vy, vz = link[6]
        wx, wy, wz = link[7]
        rx, ry, rz = x - mass_x, y - mass_y, z - mass_z
        velocity = (vx + wy * rz - wz * ry, vy + wz * rx - wx * rz, vz + wx * ry - wy * rx)
        return ToolState((x, y, z), link[5], velocity, (wx, wy, wz))

    def tool_frame(self) -> Frame:
        """Position and orientation of the tool: origin between the fingertips, z the way the hand points."""
        tool = self.tool_state()
        return Frame(tool.position, self.tool_orientation(tool))

    def tool_orientation(self, tool: ToolState) -> Quaternion:
        """The hand's orientation: the last link's, turned back by the angle at which the hand is mounted."""
        x, y, z, w = tool.orientation
        half = -self.model.hand_yaw / 2
        sine, cosine = math.sin(half), math.cos(half)
        return (x * cosine + y * sine, y * cosine - x * sine, z * cosine + w * sine, w * cosine - z * sine)

    def yaw(self, tool: ToolState) -> float:
        """The hand's turn about the vertical, radians in [-pi, pi]: the direction of its x axis."""
        x, y, z, w = self.tool_orientation(tool)
        return math.atan2(2.0 * (x * y + w * z), 1.0 - 2.0 * (y * y + z * z))

    def gripper_state(self) -> GripperState:
        """Reads the opening of the gripper."""
        left, right = pybullet.getJointStates(self._body, self._fingers, self._client)
        return GripperState(left[0] + right[0], left[1] + right[1])

    @property
    def id(self) -> int:
        """Bullet's number of it."""
        return self._body

    def touch(self, body: Body) -> Touch:
        """Reads which parts of the robot touch a body."""
        points = pybullet.getContactPoints(self._body, body.id, physicsClientId=self._client)
        if not points:
            return UNTOUCHED
        closing = self._closing_axis()
        left, right = self._fingers
        by_left = by_right = anywhere = False
        for point in points:
            if point[8] > TOUCH_GAP:
                continue
            anywhere = True
            normal = point[7]
            cosine = normal[0] * closing[0] + normal[1] * closing[1] + normal[2] * closing[2]
            if abs(cosine) >= MIN_GRIP_COSINE:
                by_left |= point[3] == left
                by_right |= point[3] == right
        return Touch(by_left, by_right, anywhere)

    def push(self, enough: float = 0.0) -> float:
        """How hard the robot pushed in the last physics step what it pushed hardest, newtons.

        The length of the sum of all forces on one body along the normals of contacts: fingers that squeeze it cancel
        each other.

        Args:
            enough: Below this an upper bound will do.
        """
        points = pybullet.getContactPoints(self._body, physicsClientId=self._client)
        largest: float = sum([point[9] for point in points])
        if largest <= enough:
            return largest
        sums: dict[int, Vector3] = {}
        for point in points:
            body, (x, y, z), force = point[2], point[7], point[9]
            along_x, along_y, along_z = sums.get(body, (0.0, 0.0, 0.0))
            sums[body] = (along_x + x * force, along_y + y * force, along_z + z * force)
        return max(math.hypot(*along) for along in sums.values())

    def _closing_axis(self) -> Vector3:
        """The world direction along which the fingers slide: the y axis of their link."""
        qx, qy, qz, qw = pybullet.getLinkState(self._body, self._fingers[0], physicsClientId=self._client)[5]
        return (2.0 * (qx * qy - qw * qz), 1.0 - 2.0 * (qx * qx + qz * qz), 2.0 * (qy * qz + qw * qx))

    # Acting

    def solve(
        self, position: Vector3, yaw: float, seed: Sequence[float], iterations: int = IK_ITERATIONS
    ) -> list[float]:
        """Inverse kinematics: arm joint angles that bring the tool, pointing down, to a position.

        Damped least squares (Buss 2004) from ``seed``, clipped within the joint limits. A function of its arguments:
        where the arm is at the moment does not matter.

        Args:
            position: Where the tool should be, metres.
            yaw: Turn of the hand about the vertical, radians; at 0 its x axis is the world's.
            seed: Joint angles to start from, radians.
            iterations: How often to improve them.
        """
        start = list(seed)
        free = self.model.redundant_joint
        if free is not None:
            start[free] += REDUNDANCY_PULL * (self.model.home[free] - start[free])
        # Bullet reckons from the centre of mass of the base, wherever it stands: descriptions have it at the
        # base's origin.
        base = self.model.base
        solution = pybullet.calculateInverseKinematics(
            self._body,
            self._hand,
            (position[0] - base[0], position[1] - base[1], position[2] + self.model.tool_offset - base[2]),
            _pointing_down(yaw - self.model.hand_yaw),
            currentPositions=[*start, 0.0, 0.0],
            jointDamping=self._damping,
            maxNumIterations=iterations,
            residualThreshold=1e-8,
            physicsClientId=self._client,
        )
        return [
            low if angle < low else high if angle > high else angle
            for angle, (low, high) in zip(solution, self.commanded_limits, strict=False)  # the fingers have no limit
        ]

    def start_pose(self, position: Vector3, yaw: float = 0.0) -> list[float]:
        """Arm joint angles, solved from home, that bring the tool to a pose: the start of an episode."""
        return self.solve(position, yaw, self.model.home, IK_RESET_ITERATIONS)

    def drive(self, joints: Sequence[float], width: float, parts: int = 1) -> None:
        """Tells the motors to bring the arm joints to angles (radians) and the gripper to a width (metres).

        Args:
            joints: One angle for each joint of the arm.
            width: Of the gripper.
            parts: Into how many a physics step is divided (``Simulation.refine``).
        """
        pybullet.setJointMotorControlArray(
            self._body,
            self._joints,
            pybullet.POSITION_CONTROL,
            targetPositions=[*joints, width / 2, width / 2],
            forces=self._forces,
            positionGains=[POSITION_GAIN / parts] * len(self._joints),
            velocityGains=self._velocity_gains,
            physicsClientId=self._client,
        )

    def place(self, positions: Sequence[float], velocities: Sequence[float] | None = None) -> None:
        """Writes the joints at once: arm, then fingers. No physics happens."""
        speeds = velocities if velocities is not None else [0.0] * len(positions)
        for joint, position, speed in zip(self._joints, positions, speeds, strict=True):
            pybullet.resetJointState(self._body, joint, position, speed, self._client)


def _pointing_down(turn: float) -> Quaternion:
    """Orientation of a link that points down, turned about the vertical.

    A turn about the world's z after half a turn about x: (0, 0, sin, cos) * (1, 0, 0, 0).
    """
    half = turn / 2
    return (math.cos(half), math.sin(half), 0.0, 0.0)
