"""A table, a robot and a task's objects in one simulation, and the vector that describes their state.

The same scene is built twice when someone looks: once for physics, once for pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lam_envs.bullet.geometry import Motion, Vector3, check_orientation
from lam_envs.bullet.simulation import FINENESS, SUBSTEPS, Detail, Renderer, Simulation
from lam_envs.control import Target
from lam_envs.randomization import PhysicsScale, RandomizationSample
from lam_envs.robots import Robot, RobotModel
from lam_envs.tasks import InitialState, Task

TABLE_SIZE = (1.2, 1.4, 0.4)
TABLE_CENTER = (0.4, 0.0, -0.2)
"""The table's top is the plane z = 0; the robot stands on it (``RobotModel.base``), facing x."""
FLOOR_SIZE = (6.0, 6.0, 0.2)
FLOOR_CENTER = (0.4, 0.0, -0.5)
TABLE_COLOR = (0.80, 0.70, 0.56)
FLOOR_COLOR = (0.86, 0.87, 0.89)
WITHIN_REACH = 0.05
"""What is nearer may touch an object in the next control step, metres on each axis."""
LOW = 0.05
"""Below this height of the tool, the hand may press the table itself, metres."""
FINGER_LEAD = 0.01
"""How far what a finger is told may be from where it is, metres: it closes with up to 0.36 m/s, a quarter of what its
motor could do, and does not ram what it should hold. A force below the motor's limit needs less."""
FAST = 0.6
"""An object that is faster moves 2.5 mm in a physics step, its corners more, metres a second."""
HASTY = 0.8
"""A hand that is faster may ram what it meets, metres a second; under ``ee`` control it never is."""
PRESSED = 3.0
"""Pushed harder than this, something holds against the robot, newtons: the slab slides at 2. At 10, one peg in 17
jammed in its hole under joint control and noisy actions; at 3, none of 120."""
LIMIT_TOLERANCE = 0.01
"""How far beyond its limits a joint of a given state may be, radians."""
WAYPOINTS = 3
"""Number of equal parts of a control step in which a robot that interpolates its targets moves them. When the targets
move to the end at once, a motor at its torque limit lags behind the others: the fingers of the xArm 6 dip by 3.7 mm
at full speed, with two parts by 2.4, with three by 1.4."""
MOTION_SIZE = 13
"""Numbers of a free body: position 3, quaternion 4, velocity 3, angular velocity 3."""


class Scene:
    """The bodies of an environment in one Bullet client.

    Args:
        model: Which robot.
        task: Whose objects.
        physique: Factors on size, mass and friction of what can be moved.
        detail: See :class:`Simulation`.
        window: Open PyBullet's own window.
        renderer: See :class:`Simulation`.
    """

    def __init__(
        self,
        model: RobotModel,
        task: Task,
        physique: PhysicsScale,
        detail: Detail = "physics",
        *,
        window: bool = False,
        renderer: Renderer = "tiny",
    ) -> None:
        self.simulation = Simulation(detail, physique=physique, window=window, renderer=renderer)
        self.task = task
        self.simulation.add_ground("floor", size=FLOOR_SIZE, position=FLOOR_CENTER, color=FLOOR_COLOR)
        self.simulation.add_ground("table", size=TABLE_SIZE, position=TABLE_CENTER, color=TABLE_COLOR)
        self.robot = Robot(model, self.simulation)
        # A task may also add bodies by Bullet's own functions.
        with self.simulation.opengl:
            task.build(self.simulation, physique.size)
        if missing := set(task.movable) - set(self.simulation.bodies):
            raise ValueError(
                f"movable of {type(task).__name__} names {', '.join(sorted(missing))}, which its build does not add; "
                f"it adds {', '.join(self.simulation.bodies)}"
            )
        self.target = Target(list(model.home), (0.0, 0.0, 0.0), 0.0, 0.0)
        """What the robot is told to reach."""
        self.tool = self.robot.tool_state()
        """Where the tool was when :meth:`look` looked last."""
        self.gripper = self.robot.gripper_state()
        """How far the gripper was open then."""
        self._width = self.gripper.width
        self._joints = self.target.joints
        """Joint angles to which the motors drive the arm at the moment."""
        self._fineness = 1
        self._is_fresh = True
        if detail == "physics":
            self.simulation.take_snapshot()

    def advance(self) -> None:
        """Drives the robot towards its target for one control step, in smaller steps while something is critical."""
        most = 2 * FINGER_LEAD
        self._width = min(max(self.target.width, self.gripper.width - most), self.gripper.width + most)
        is_calm = self._is_calm()
        is_hasty = _faster(self.tool.velocity, HASTY)
        waypoints = self._waypoints()
        for self._joints in waypoints:
            self._drive()
            self._step(SUBSTEPS // len(waypoints), is_calm=is_calm, is_hasty=is_hasty)

    def _waypoints(self) -> list[list[float]]:
        """Return the joint angles to which the motors drive the arm one after another; the last are the target's."""
        if not self.robot.model.interpolate_targets:
            return [self.target.joints]
        ends = list(zip(self._joints, self.target.joints, strict=True))
        shares = [number / WAYPOINTS for number in range(1, WAYPOINTS + 1)]
        return [[(1.0 - share) * start + share * end for start, end in ends] for share in shares]

    def _step(self, substeps: int, *, is_calm: bool, is_hasty: bool) -> None:
        """Advances by physics steps, in smaller ones while something is critical."""
        if is_calm:
            self._is_fresh = False
            self._refine(1)
            self.simulation.step(substeps)
            return
        for _ in range(substeps):
            self._refine(FINENESS if self._is_fresh or is_hasty or self._is_critical() else 1)
            self._is_fresh = False
            self.simulation.step(self._fineness)

    def _is_calm(self) -> bool:
        """Whether nothing can become critical in this control step."""
        if self.tool.position[2] < LOW:
            return False
        robot = self.robot.id
        for body in self.simulation.moving:
            if _faster(body.motion().velocity, FAST):
                return False
            near = self.simulation.around(body, WITHIN_REACH)
            if robot in near and len(near) > 2:
                return False
        return True

    def _is_critical(self) -> bool:
        """Whether the robot presses something that holds against it, or an object is fast."""
        return self.robot.push(PRESSED) > PRESSED or any(
            _faster(body.velocity(), FAST) for body in self.simulation.moving
        )

    def _refine(self, parts: int) -> None:
        if parts != self._fineness:
            self._fineness = parts
            self.simulation.refine(parts)
            self._drive()

    def _drive(self) -> None:
        self.robot.drive(self._joints, self._width, self._fineness)

    def look(self) -> None:
        """Reads where the tool and the fingers are."""
        self.tool = self.robot.tool_state()
        self.gripper = self.robot.gripper_state()

    @property
    def state_size(self) -> int:
        """Length of :meth:`state` without the goal."""
        joints, arm = self.robot.joint_count, len(self.robot.model.arm_joints)
        return 2 * joints + arm + 5 + MOTION_SIZE * len(self.task.movable)

    def initial_state(self, draw: InitialState) -> npt.NDArray[np.float64]:
        """Returns the state that a draw describes, with everything at rest and the gripper half open."""
        model = self.robot.model
        arm = self.robot.start_pose(draw.tool)
        width = model.max_width / 2
        parts: list[Sequence[float]] = [
            [*arm, width / 2, width / 2],
            [0.0] * self.robot.joint_count,
            arm,
            [*draw.tool, 0.0, width],
        ]
        parts += [_flat(draw.objects[name]) for name in self.task.movable]
        return np.array([number for part in parts for number in part], dtype=np.float64)

    def state(self) -> npt.NDArray[np.float64]:
        """Reads the physical state: joints, joint speeds, commanded joints, target, free bodies."""
        positions, velocities = self.robot.joint_states()
        parts: list[Sequence[float]] = [
            positions,
            velocities,
            self.target.joints,
            [*self.target.position, self.target.yaw, self.target.width],
        ]
        parts += [_flat(self.simulation.bodies[name].motion()) for name in self.task.movable]
        return np.array([number for part in parts for number in part], dtype=np.float64)

    def check(self, state: npt.NDArray[np.float64]) -> None:
        """Refuses orientations and joint angles that no scene can have.

        Raises:
            ValueError: The orientation of an object is no unit quaternion, or a joint is beyond its limits.
        """
        first = self.state_size - MOTION_SIZE * len(self.task.movable)
        for number, name in enumerate(self.task.movable):
            start = first + number * MOTION_SIZE + 3
            check_orientation(f"the orientation of {name}", state[start : start + 4].tolist())
        joints, arm = self.robot.joint_count, len(self.robot.limits)
        for what, angles in (("is", state[:arm]), ("is told", state[2 * joints : 2 * joints + arm])):
            for name, angle, (low, high) in zip(self.robot.model.arm_joints, angles, self.robot.limits, strict=True):
                if not low - LIMIT_TOLERANCE <= angle <= high + LIMIT_TOLERANCE:
                    raise ValueError(f"{name} {what} at {angle:g}; expected {low:g} to {high:g} radians")

    def load(self, state: npt.NDArray[np.float64]) -> None:
        """Writes a physical state; what happened before leaves no trace.

        Args:
            state: Shape (state_size,).
        """
        numbers = state.tolist()
        self._fineness = 1
        self.simulation.refine(1)
        # How hard things press is not known before the first step.
        self._is_fresh = True
        joints, arm = self.robot.joint_count, len(self.robot.model.arm_joints)
        self.simulation.restore_snapshot()
        self.robot.place(numbers[:joints], numbers[joints : 2 * joints])
        at = 2 * joints
        commanded = numbers[at : at + arm]
        at += arm
        x, y, z, yaw, width = numbers[at : at + 5]
        self.target = Target(commanded, (x, y, z), yaw, width)
        self._joints = commanded
        at += 5
        for name in self.task.movable:
            self.simulation.bodies[name].place(_motion(numbers[at : at + MOTION_SIZE]))
            at += MOTION_SIZE
        self.simulation.refresh_contacts()

    def copy_poses(self, source: Scene) -> None:
        """Makes this scene look like another one."""
        self.simulation.copy_poses(source.simulation)
        self.robot.place(source.robot.joint_states()[0])

    def tint(self, variation: RandomizationSample) -> None:
        """Gives table, floor and objects the colours of a variation."""
        self.simulation.tint("table", variation.table_color)
        self.simulation.tint("floor", variation.floor_color)
        for name in self.task.movable:
            self.simulation.tint(name, variation.object_color)

    def close(self) -> None:
        """Closes the simulation."""
        self.simulation.close()


def _faster(velocity: Vector3, limit: float) -> bool:
    x, y, z = velocity
    return x * x + y * y + z * z > limit * limit


def _flat(motion: Motion) -> list[float]:
    return [number for part in motion for number in part]


def _motion(numbers: Sequence[float]) -> Motion:
    px, py, pz, qx, qy, qz, qw, vx, vy, vz, wx, wy, wz = numbers
    return Motion((px, py, pz), (qx, qy, qz, qw), (vx, vy, vz), (wx, wy, wz))
