"""Serial arm with a parallel gripper in a Bullet client: kinematics, motors, contacts."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from lam_envs.bullet.bodies import Body
from lam_envs.bullet.client import pybullet
from lam_envs.bullet.geometry import Frame, Quaternion, Vector3, z_axis
from lam_envs.bullet.simulation import Simulation
from lam_envs.robots.model import STOP_MARGIN, RobotModel
from lam_envs.robots.state import UNTOUCHED, GripperState, ToolState, Touch

# Fraction of the position error that a motor corrects in one physics step. With 0.3 the jerk of a step needs more
# than the arm's torque and the tool swings by 2 cm; with 0.1 the tool lags so much that grasps take longer.
POSITION_GAIN = 0.15
VELOCITY_GAIN = 1.0
# Bullet's default damping (0.5) needs 100 iterations of inverse kinematics; with 1e-3 two iterations stay
# within 0.1 mm (mean) of a target that moves 2 cm a step.
IK_DAMPING = 1e-3
IK_ITERATIONS = 2
IK_RESET_ITERATIONS = 50
# Fraction of its distance from home by which the redundant joint returns in each step, so that the arm's
# configuration depends on the tool's pose and not on its path.
REDUNDANCY_PULL = 0.1
FINGER_FRICTION = 1.0
# Torsional friction of a pad, which Bullet's point contacts lack (coefficient times meters). Without it a held
# object turned in the hand on 13 of 120 grasps, with it on 7.
PAD_SPINNING_FRICTION = 0.1
# Largest gap of a contact that counts as touching, meters: the solver lets held objects jitter by as much.
TOUCH_GAP = 0.001
# Smallest cos between the directions of hand and fingers that counts as equal.
MIN_ALIGNMENT = 1.0 - 1e-6
# Smallest |cos| between the contact normal and the closing direction that counts as holding with the inside of the
# pad. 0.7 is 45 degrees; an object that lies on top of a finger has about 0.
MIN_GRIP_COSINE = 0.7


class Robot:
    """Robot that is loaded into a simulation.

    Args:
        model: Description of the robot.
        simulation: The simulation.
    """

    def __init__(self, model: RobotModel, simulation: Simulation) -> None:
        self.model = model
        self._client = simulation.client
        path = model.visual_urdf if simulation.detail == "full" else model.physics_urdf
        offset = model.tool_length_offset
        self._body = simulation.load_urdf(
            path, model.base, dict.fromkeys(model.finger_joints, offset) if offset else {}
        )
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
                    f"joint {name!r} of {path} has the range {low:g} to {high:g} radians; expected more than twice "
                    "the "
                    f"joint_margin {margin:g} of the robot {model.name!r}"
                )
        self.commanded_limits = [(low + margin, high - margin) for low, high in self.limits]
        """Lowest and highest angle that can be commanded for each arm joint, radians."""
        self._hand = self._arm[-1]
        # The gear transmits half of the first finger's force to the second one, which needs no motor.
        self._forces = [*model.arm_forces, 2 * model.finger_force, 0.0]
        self._velocity_gains = [VELOCITY_GAIN] * len(names)
        self._damping = [IK_DAMPING] * len(names)
        if simulation.detail == "physics":
            self._couple_fingers()
            for joint, (low, high) in zip(self._arm, self.limits, strict=True):
                stops = {"jointLowerLimit": low + STOP_MARGIN, "jointUpperLimit": high - STOP_MARGIN}
                pybullet.changeDynamics(self._body, joint, **stops, physicsClientId=self._client)
        self.set_joint_states((*model.home, model.max_width / 2, model.max_width / 2))
        if offset:
            self._check_fingers_point_along_tool(path)

    def _check_fingers_point_along_tool(self, path: Path) -> None:
        """Raise a ValueError if the fingers are not longer in the direction in which the tool points."""
        states = pybullet.getLinkStates(self._body, [self._hand, *self._fingers], 0, 1, self._client)
        hand, *fingers = (z_axis(state[5]) for state in states)
        if min(sum(a * b for a, b in zip(hand, finger, strict=True)) for finger in fingers) < MIN_ALIGNMENT:
            raise ValueError(
                f"tool_length_offset is {self.model.tool_length_offset:g} with fingers that {path.name} describes in "
                "another direction; expected links of the fingers whose z axis is that of the last link of the arm"
            )

    def _couple_fingers(self) -> None:
        # Two independent fingers with equal forces drift sideways with the object; a gear keeps them centered, as the
        # mechanism of the real hand does.
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

    # Measurements

    @property
    def joint_count(self) -> int:
        """Number of arm joints plus two fingers."""
        return len(self._joints)

    def joint_states(self) -> tuple[list[float], list[float]]:
        """Return positions (rad, m) and velocities of arm joints and fingers."""
        states = pybullet.getJointStates(self._body, self._joints, self._client)
        return [state[0] for state in states], [state[1] for state in states]

    def tool_state(self) -> ToolState:
        """Return pose and velocity of the tool as the controller computes them: without ``tool_length_offset``."""
        return self._tool_state(self.model.tool_offset)

    def fingertip_state(self) -> ToolState:
        """Return pose and velocity of the point between the real fingertips."""
        return self._tool_state(self.model.tool_offset + self.model.tool_length_offset)

    def _tool_state(self, offset: float) -> ToolState:
        """Return the state of the point at a distance from the last joint along z, meters."""
        link = pybullet.getLinkState(self._body, self._hand, 1, 1, self._client)
        mass_x, mass_y, mass_z = link[0]
        x, y, z = link[4]
        qx, qy, qz, qw = link[5]
        x += 2.0 * (qx * qz + qw * qy) * offset
        y += 2.0 * (qy * qz - qw * qx) * offset
        z += (1.0 - 2.0 * (qx * qx + qy * qy)) * offset
        # Bullet returns the velocity of the link's center of mass: v_tool = v + w x (tool - center).
        vx, vy, vz = link[6]
        wx, wy, wz = link[7]
        rx, ry, rz = x - mass_x, y - mass_y, z - mass_z
        velocity = (vx + wy * rz - wz * ry, vy + wz * rx - wx * rz, vz + wx * ry - wy * rx)
        return ToolState((x, y, z), link[5], velocity, (wx, wy, wz))

    def tool_frame(self) -> Frame:
        """Return the frame of the tool: origin at :meth:`tool_state`, z in the pointing direction of the hand."""
        tool = self.tool_state()
        return Frame(tool.position, self.tool_orientation(tool))

    def tool_orientation(self, tool: ToolState) -> Quaternion:
        """Return the orientation of the hand: that of the last link, rotated by ``-hand_yaw``."""
        x, y, z, w = tool.orientation
        half = -self.model.hand_yaw / 2
        sine, cosine = math.sin(half), math.cos(half)
        return (x * cosine + y * sine, y * cosine - x * sine, z * cosine + w * sine, w * cosine - z * sine)

    def yaw(self, tool: ToolState) -> float:
        """Return the yaw of the hand, the direction of its x axis, radians in [-pi, pi]."""
        x, y, z, w = self.tool_orientation(tool)
        return math.atan2(2.0 * (x * y + w * z), 1.0 - 2.0 * (y * y + z * z))

    def gripper_state(self) -> GripperState:
        """Return the opening of the gripper and its velocity."""
        left, right = pybullet.getJointStates(self._body, self._fingers, self._client)
        return GripperState(left[0] + right[0], left[1] + right[1])

    @property
    def id(self) -> int:
        """PyBullet's body id of the robot."""
        return self._body

    def touch(self, body: Body) -> Touch:
        """Return which parts of the robot touch a body; none touch an absent one."""
        if body.id < 0:
            return UNTOUCHED
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

    def max_contact_force(self, threshold: float = 0.0) -> float:
        """Return the largest contact force on a body in the last physics step, newtons.

        The force on a body is the length of the sum of all contact forces along the normals: the forces of fingers
        that squeeze it cancel each other.

        Args:
            threshold: Force, newtons, up to which an upper bound may be returned, which is faster.
        """
        points = pybullet.getContactPoints(self._body, physicsClientId=self._client)
        largest: float = sum([point[9] for point in points])
        return largest if largest <= threshold else max(_forces(points).values())

    def contact_forces(self, with_friction: Container[int] = ()) -> dict[int, float]:
        """Return the contact forces of the last physics step, newtons, by PyBullet's ids of the bodies.

        Args:
            with_friction: Bodies for which the sum includes the friction forces. Fingers hold sloped faces by
                friction: the sum along the normals alone is then as large as the force of the gripper.
        """
        return _forces(pybullet.getContactPoints(self._body, physicsClientId=self._client), with_friction)

    def _closing_axis(self) -> Vector3:
        """Return the direction in which the fingers slide, in world coordinates: the y axis of their link."""
        qx, qy, qz, qw = pybullet.getLinkState(self._body, self._fingers[0], physicsClientId=self._client)[5]
        return (2.0 * (qx * qy - qw * qz), 1.0 - 2.0 * (qx * qx + qz * qz), 2.0 * (qy * qz + qw * qx))

    # Commands

    def inverse_kinematics(
        self, position: Vector3, yaw: float, initial: Sequence[float], iterations: int = IK_ITERATIONS
    ) -> list[float]:
        """Return arm joint angles for which the tool points down at a position.

        Damped least squares (Buss 2004) from ``initial``, clipped to the joint limits. The result depends only on the
        arguments, not on the current state of the arm.

        Args:
            position: Position of the tool, meters.
            yaw: Yaw of the hand, radians; at 0 its x axis is that of the world.
            initial: Joint angles to start from, radians.
            iterations: Number of iterations.
        """
        start = list(initial)
        redundant = self.model.redundant_joint
        if redundant is not None:
            start[redundant] += REDUNDANCY_PULL * (self.model.home[redundant] - start[redundant])
        # Bullet's coordinates are relative to the base's center of mass, which descriptions have at the base's
        # origin.
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

    def initial_joint_angles(self, position: Vector3, yaw: float = 0.0) -> list[float]:
        """Return arm joint angles of a tool pose, solved from home, for the beginning of an episode."""
        return self.inverse_kinematics(position, yaw, self.model.home, IK_RESET_ITERATIONS)

    def set_motor_targets(self, joints: Sequence[float], width: float, substeps: int = 1) -> None:
        """Set the targets of the motors.

        Args:
            joints: Target angle of each arm joint, radians.
            width: Target opening of the gripper, meters.
            substeps: Substeps of a physics step, see ``Simulation.set_substeps``.
        """
        pybullet.setJointMotorControlArray(
            self._body,
            self._joints,
            pybullet.POSITION_CONTROL,
            targetPositions=[*joints, width / 2, width / 2],
            forces=self._forces,
            positionGains=[POSITION_GAIN / substeps] * len(self._joints),
            velocityGains=self._velocity_gains,
            physicsClientId=self._client,
        )

    def set_joint_states(self, positions: Sequence[float], velocities: Sequence[float] | None = None) -> None:
        """Set positions (rad, m) and velocities of arm joints and fingers, without a physics step."""
        rates = velocities if velocities is not None else [0.0] * len(positions)
        for joint, position, rate in zip(self._joints, positions, rates, strict=True):
            pybullet.resetJointState(self._body, joint, position, rate, self._client)


def _forces(points: Sequence[tuple[Any, ...]], with_friction: Container[int] = ()) -> dict[int, float]:
    """Return the length of the sum of the contact forces on each body, newtons.

    Args:
        points: Contact points of PyBullet.
        with_friction: Bodies whose sums include friction; those of others are along the normals.
    """
    sums: dict[int, Vector3] = {}
    for point in points:
        body, (x, y, z), force = point[2], point[7], point[9]
        total_x, total_y, total_z = sums.get(body, (0.0, 0.0, 0.0))
        total_x, total_y, total_z = total_x + x * force, total_y + y * force, total_z + z * force
        if body in with_friction:
            for friction, (x, y, z) in ((point[10], point[11]), (point[12], point[13])):
                total_x, total_y, total_z = total_x + x * friction, total_y + y * friction, total_z + z * friction
        sums[body] = (total_x, total_y, total_z)
    return {body: math.hypot(*total) for body, total in sums.items()}


def _pointing_down(yaw: float) -> Quaternion:
    """Return the orientation of a link that points down.

    It is a rotation by yaw about the world's z after one by 180 degrees about x: (0, 0, sin, cos) * (1, 0, 0, 0).
    """
    half = yaw / 2
    return (math.cos(half), math.sin(half), 0.0, 0.0)
