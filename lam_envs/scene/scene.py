"""Table, robot and objects of a task in one simulation, and the vector of their state.

An environment that renders has two scenes: one for physics, and one for rendering.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from lam_envs.bullet.articulated import ArticulatedBody, articulation_from_numbers, articulation_size
from lam_envs.bullet.bodies import ABSENT, MovingSurface
from lam_envs.bullet.geometry import Motion, Vector3, check_orientation
from lam_envs.bullet.simulation import PHYSICS_STEPS, Detail, Renderer, Simulation
from lam_envs.bullet.solver import SUBSTEPS
from lam_envs.control import Target
from lam_envs.randomization import PhysicsScale, RandomizationSample
from lam_envs.robots import Robot, RobotModel
from lam_envs.scene.robot_state import check_robot_state
from lam_envs.tasks import InitialState, Task
from lam_envs.tasks.goals.checks import check_objects
from lam_envs.tasks.objects import resting_at

TABLE_SIZE = (1.2, 1.4, 0.4)
TABLE_CENTER = (0.4, 0.0, -0.2)
"""The top of the table is the plane z = 0. The robot stands on it (``RobotModel.base``) and faces x."""
FLOOR_SIZE = (6.0, 6.0, 0.2)
FLOOR_CENTER = (0.4, 0.0, -0.5)
TABLE_COLOR = (0.80, 0.70, 0.56)
FLOOR_COLOR = (0.86, 0.87, 0.89)
HIDDEN = resting_at(0.4, 0.0, -100.0)
"""Motion of an object that images do not show: below the floor, which hides it from every camera."""
NEAR_DISTANCE = 0.05
"""Bodies that are nearer may touch an object in the next control step; meters on each axis."""
LOW_TOOL_HEIGHT = 0.05
"""Height of the tool below which the hand may press the table, meters."""
MAX_FINGER_LEAD = 0.01
"""Largest distance of a commanded finger position from the current one, meters. So a finger closes with up to
0.36 m/s, a quarter of the speed of its motor, and does not ram an object. Forces below the motor limit need less."""
FAST_OBJECT_SPEED = 0.6
"""Speed above which an object is fast, meters per second: it moves 2.5 mm in a physics step, and its corners more."""
FAST_HAND_SPEED = 0.8
"""Speed above which the hand is fast, meters per second: it may ram objects. With ``ee`` control it never is."""
PRESSING_FORCE = 3.0
"""Contact force above which the robot presses against something, newtons: the slab slides at 2. With a limit of 10,
one peg in 17 jammed in its hole under joint control and noisy actions; with 3, none of 120."""
JOINTED_PRESSING_FORCE = 60.0
"""The same for a body with joints, newtons. A handle cannot move aside: fingers that grasp it beside its middle press
it with up to 40 on one side. With a limit of 3, the other finger lost its contact, and steps took ten times as long.
"""
WAYPOINTS = 3
"""Number of targets in a control step of a robot with ``interpolate_targets``. With a single target, a motor at its
torque limit lags behind the others: the fingers of the xArm 6 dip by 3.7 mm at full speed, with two by 2.4, with
three by 1.4."""
MOTION_SIZE = 13
"""Numbers of a movable object: position 3, quaternion 4, velocity 3, angular velocity 3."""
VELOCITY_SIZE = 3
"""Numbers of a moving surface."""
MAX_SURFACE_SPEED = 1.0
"""Largest speed of a moving surface along each axis, meters per second."""


class Scene:
    """Bodies of an environment in one Bullet client.

    Args:
        model: The robot.
        task: The task, which adds its objects.
        physics_scale: Factors on size, mass and friction of movable objects.
        models: Numbers that select the models of objects; by default the lowest ones.
        detail: See :class:`Simulation`.
        window: Open PyBullet's window.
        renderer: See :class:`Simulation`.
    """

    def __init__(
        self,
        model: RobotModel,
        task: Task,
        physics_scale: PhysicsScale,
        detail: Detail = "physics",
        *,
        models: tuple[int, ...] | None = None,
        window: bool = False,
        renderer: Renderer = "tiny",
    ) -> None:
        self.simulation = Simulation(detail, physics_scale=physics_scale, window=window, renderer=renderer)
        self.task = task
        self.models = tuple(low for low, _ in task.model_ranges) if models is None else models
        """Numbers that select the models of objects."""
        self.simulation.add_ground("floor", size=FLOOR_SIZE, position=FLOOR_CENTER, color=FLOOR_COLOR)
        self.simulation.add_ground("table", size=TABLE_SIZE, position=TABLE_CENTER, color=TABLE_COLOR)
        self.robot = Robot(model, self.simulation)
        # A task may also add bodies by Bullet's functions.
        with self.simulation.opengl:
            task.build_scene(self.simulation, physics_scale.size)
            task.add_models(self.simulation, physics_scale.size, self.models)
        check_objects(task, self.simulation)
        self._articulated = [
            (name, cast(ArticulatedBody, self.simulation.bodies[name])) for name in task.articulated_objects
        ]
        self._hulls = {body.id for body in self.simulation.dynamic_bodies if body.vertices.size}
        """PyBullet's ids of the bodies whose faces may be sloped in any direction."""
        self._surfaces = [cast(MovingSurface, self.simulation.bodies[name]) for name in task.moving_surfaces]
        self.target = Target(list(model.home), (0.0, 0.0, 0.0), 0.0, 0.0)
        """Present target of the robot."""
        self.tool = self.robot.tool_state()
        """State of the tool at the last call of :meth:`read_robot`, as the controller computes it."""
        self.fingertips = self.tool
        """State of the point between the real fingertips: another one if the model has a ``tool_length_offset``."""
        self.gripper = self.robot.gripper_state()
        """State of the gripper at the last call of :meth:`read_robot`."""
        self._width = self.gripper.width
        self._joints = self.target.joints
        """Current targets of the arm's motors, radians."""
        self._substeps = 1
        self._is_first_step = True
        self._is_new = True
        if detail == "physics":
            self.simulation.take_snapshot()

    def step(self) -> None:
        """Drive the robot toward its target for one control step, with smaller physics steps where needed."""
        max_change = 2 * MAX_FINGER_LEAD
        self._width = min(max(self.target.width, self.gripper.width - max_change), self.gripper.width + max_change)
        needs_no_substeps = self._needs_no_substeps()
        is_hand_fast = _is_faster(self.fingertips.velocity, FAST_HAND_SPEED)
        waypoints = self._waypoints()
        for self._joints in waypoints:
            self._set_motor_targets()
            self._step(
                PHYSICS_STEPS // len(waypoints), needs_no_substeps=needs_no_substeps, is_hand_fast=is_hand_fast
            )

    def _waypoints(self) -> list[list[float]]:
        """Return the successive targets of the arm's motors in this control step."""
        if not self.robot.model.interpolate_targets:
            return [self.target.joints]
        ends = list(zip(self._joints, self.target.joints, strict=True))
        fractions = [number / WAYPOINTS for number in range(1, WAYPOINTS + 1)]
        return [[(1.0 - part) * start + part * end for start, end in ends] for part in fractions]

    def _step(self, count: int, *, needs_no_substeps: bool, is_hand_fast: bool) -> None:
        """Advance by physics steps, and use substeps in those that need them."""
        if needs_no_substeps:
            self._is_first_step = False
            self._set_substeps(1)
            self.simulation.step(count)
            return
        for _ in range(count):
            self._set_substeps(SUBSTEPS if self._is_first_step or is_hand_fast or self._needs_substeps() else 1)
            self._is_first_step = False
            self.simulation.step(self._substeps)

    def _needs_no_substeps(self) -> bool:
        """Return True if no physics step of this control step can need substeps."""
        if self.fingertips.position[2] < LOW_TOOL_HEIGHT:
            return False
        robot = self.robot.id
        for body in self.simulation.dynamic_bodies:
            if _is_faster(body.motion().velocity, FAST_OBJECT_SPEED):
                return False
            near = self.simulation.bodies_near(body, NEAR_DISTANCE)
            if robot in near and len(near) > 2:
                return False
        for jointed in self.simulation.articulated:
            if jointed.speed() > FAST_OBJECT_SPEED:
                return False
            # The limits of a joint stop its link even if no other body is near.
            links = range(-1, len(jointed.joints))
            if any(robot in self.simulation.bodies_near(jointed, NEAR_DISTANCE, link) for link in links):
                return False
        return True

    def _needs_substeps(self) -> bool:
        """Return True if this physics step needs substeps: the robot presses something, or an object is fast."""
        return (
            self._presses()
            or any(_is_faster(body.velocity(), FAST_OBJECT_SPEED) for body in self.simulation.dynamic_bodies)
            or any(body.speed() > FAST_OBJECT_SPEED for body in self.simulation.articulated)
        )

    def _presses(self) -> bool:
        """Return True if the robot presses something."""
        hulls = self._hulls
        if not hulls and self.robot.max_contact_force(PRESSING_FORCE) <= PRESSING_FORCE:
            return False
        jointed = {body.id for body in self.simulation.articulated}
        if not hulls and not jointed:
            return True
        forces = self.robot.contact_forces(with_friction=hulls).items()
        return any(force > (JOINTED_PRESSING_FORCE if body in jointed else PRESSING_FORCE) for body, force in forces)

    def _set_substeps(self, substeps: int) -> None:
        if substeps != self._substeps:
            self._substeps = substeps
            self.simulation.set_substeps(substeps)
            self._set_motor_targets()

    def _set_motor_targets(self) -> None:
        self.robot.set_motor_targets(self._joints, self._width, self._substeps)

    def read_robot(self) -> None:
        """Update the states of tool and gripper."""
        self.tool = self.robot.tool_state()
        self.fingertips = self.robot.fingertip_state() if self.robot.model.tool_length_offset else self.tool
        self.gripper = self.robot.gripper_state()

    @property
    def state_size(self) -> int:
        """Length of :meth:`state`."""
        joints, arm = self.robot.joint_count, len(self.robot.model.arm_joints)
        return 2 * joints + arm + 5 + self._objects_size

    @property
    def _objects_size(self) -> int:
        """Length of the part of movable objects, articulated objects, moving surfaces and models."""
        articulated = sum(articulation_size(len(joints)) for joints in self.task.articulated_objects.values())
        surfaces = VELOCITY_SIZE * len(self.task.moving_surfaces)
        return MOTION_SIZE * len(self.task.movable_objects) + articulated + surfaces + len(self.models)

    def can_load(self, physics_scale: PhysicsScale | None, models: tuple[int, ...] | None) -> bool:
        """Return True if this scene has these bodies, and continues exactly from a state that is set.

        Bullet keeps more of the contacts of convex bodies than a snapshot restores: they need a new scene.

        Args:
            physics_scale: Physics scale of the bodies; None for any.
            models: Numbers that select the models of objects; None for any.
        """
        if physics_scale is not None and self.simulation.physics_scale != physics_scale:
            return False
        return models is None or (self.models == models and (self._is_new or not models))

    def models_of(self, state: npt.NDArray[np.float64]) -> tuple[int, ...]:
        """Return the numbers in a physical state that select the models of objects."""
        return tuple(state[self.state_size - len(self.models) : self.state_size].astype(int).tolist())

    def initial_state(self, initial: InitialState) -> npt.NDArray[np.float64]:
        """Return the physical state of an initial state: at rest, and with the gripper half open."""
        model = self.robot.model
        x, y, z = initial.tool_position
        # Longer fingers begin where the task expects fingertips: they are inside of nothing.
        position = (x, y, z + model.tool_length_offset)
        arm = self.robot.initial_joint_angles(position)
        width = model.max_width / 2
        parts: list[Sequence[float]] = [
            [*arm, width / 2, width / 2],
            [0.0] * self.robot.joint_count,
            arm,
            [*position, 0.0, width],
        ]
        bodies = self.simulation.bodies
        parts += [
            _flatten(initial.objects[name] if bodies[name].id >= 0 else ABSENT) for name in self.task.movable_objects
        ]
        parts += [initial.joints[name].to_numbers() for name in self.task.articulated_objects]
        parts += [initial.surfaces[name] for name in self.task.moving_surfaces]
        parts.append(initial.models)
        return np.array([number for part in parts for number in part], dtype=np.float64)

    def state(self) -> npt.NDArray[np.float64]:
        """Return the physical state, shape (state_size,), in radians, meters and seconds.

        It consists of joints, joint velocities, commanded joints, target, movable objects, articulated objects,
        moving surfaces and models.
        """
        positions, velocities = self.robot.joint_states()
        parts: list[Sequence[float]] = [
            positions,
            velocities,
            self.target.joints,
            [*self.target.position, self.target.yaw, self.target.width],
        ]
        parts += [_flatten(self.simulation.bodies[name].motion()) for name in self.task.movable_objects]
        parts += [body.state().to_numbers() for _, body in self._articulated]
        parts += [surface.surface_velocity for surface in self._surfaces]
        parts.append(self.models)
        return np.array([number for part in parts for number in part], dtype=np.float64)

    def check_state(self, state: npt.NDArray[np.float64]) -> None:
        """Check orientations, joints, targets, velocities of surfaces and models of a state.

        Raises:
            ValueError: The orientation of an object is not a unit quaternion, a joint, a finger or a target is beyond
                its limits, a joint is too fast, the resistance of the joint of an object is out of range, a surface
                is too fast, or the task has no such models.
        """
        end = self.state_size - len(self.models)
        self.task.check_models(state[end : self.state_size].tolist())
        at = self.state_size - self._objects_size
        for name in self.task.movable_objects:
            check_orientation(f"the orientation of {name}", state[at + 3 : at + 7].tolist())
            at += MOTION_SIZE
        for name, body in self._articulated:
            size = articulation_size(len(body.joints))
            body.check(name, articulation_from_numbers(state[at : at + size].tolist()))
            at += size
        for speed in state[at:end]:
            if abs(speed) > MAX_SURFACE_SPEED:
                raise ValueError(
                    f"a surface moves with {speed:g} m/s; expected at most {MAX_SURFACE_SPEED:g} in either direction"
                )
        check_robot_state(self.robot, state)

    def set_state(self, state: npt.NDArray[np.float64]) -> None:
        """Set a physical state. Nothing of earlier episodes remains.

        Args:
            state: Shape (state_size,).
        """
        numbers = state.tolist()
        self._is_new = False
        self._substeps = 1
        self.simulation.set_substeps(1)
        # Contact forces are not known before the first step.
        self._is_first_step = True
        joints, arm = self.robot.joint_count, len(self.robot.model.arm_joints)
        self.simulation.restore_snapshot()
        self.robot.set_joint_states(numbers[:joints], numbers[joints : 2 * joints])
        at = 2 * joints
        commanded = numbers[at : at + arm]
        at += arm
        x, y, z, yaw, width = numbers[at : at + 5]
        self.target = Target(commanded, (x, y, z), yaw, width)
        self._joints = commanded
        at += 5
        for name in self.task.movable_objects:
            self.simulation.bodies[name].set_motion(_motion(numbers[at : at + MOTION_SIZE]))
            at += MOTION_SIZE
        for _, body in self._articulated:
            size = articulation_size(len(body.joints))
            body.set_state(articulation_from_numbers(numbers[at : at + size]))
            at += size
        for surface in self._surfaces:
            vx, vy, vz = numbers[at : at + VELOCITY_SIZE]
            surface.set_surface_velocity((vx, vy, vz))
            at += VELOCITY_SIZE
        self.simulation.refresh_contacts()

    def copy_poses(self, source: Scene) -> None:
        """Copy the poses of objects and robot from another scene, and hide the objects that the episode lacks."""
        self.simulation.copy_poses(source.simulation)
        for name in self.task.movable_objects:
            if self.task.is_absent(name, source.simulation.bodies[name].motion()):
                self.simulation.bodies[name].set_motion(HIDDEN)
        self.robot.set_joint_states(source.robot.joint_states()[0])

    def set_colors(self, sample: RandomizationSample) -> None:
        """Set the colors of table, floor and objects to those of a randomization sample."""
        self.simulation.set_color_offset("table", sample.table_color)
        self.simulation.set_color_offset("floor", sample.floor_color)
        for name in (*self.task.movable_objects, *self.task.articulated_objects):
            self.simulation.set_color_offset(name, sample.object_color)

    def close(self) -> None:
        """Close the simulation."""
        self.simulation.close()


def _is_faster(velocity: Vector3, limit: float) -> bool:
    x, y, z = velocity
    return x * x + y * y + z * z > limit * limit


def _flatten(motion: Motion) -> list[float]:
    return [number for part in motion for number in part]


def _motion(numbers: Sequence[float]) -> Motion:
    px, py, pz, qx, qy, qz, qw, vx, vy, vz, wx, wy, wz = numbers
    return Motion((px, py, pz), (qx, qy, qz, qw), (vx, vy, vz), (wx, wy, wz))
