"""Drawer: open or close a drawer by its handle."""

from __future__ import annotations

import math
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lam_envs.bullet.articulated import ArticulatedBody, Articulation, Joint, JointState
from lam_envs.bullet.bodies import Part
from lam_envs.bullet.geometry import Quaternion, Vector3
from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import Command, Feature, Instructions
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState
from lam_envs.tasks.objects import FAR, FAST, TOUCH, clip, difference, distance, nearness
from lam_envs.tasks.task import Flags, Goals, InitialState, Task, TaskObservation

OPEN, CLOSE = 0, 1
"""Values of the command."""
TRAVEL = 0.16
"""Opening of the open drawer, meters."""
TOLERANCE = 0.03
"""Largest distance from the open or the closed position that counts, meters."""
START = (0.06, 0.1)
"""Range of the initial opening, meters: the same for both commands."""
STILL_SPEED = 0.02
"""Largest speed of the drawer that counts as being at rest, meters per second."""
CLEAR = 0.05
"""Smallest distance of the tool from the handle that counts as clear, meters."""

DRAWER_MASS = 0.6
"""Kilograms."""
HANDLE = 0.02
"""Edge of the cross section of the handle, meters."""
GRIP: Vector3 = (-0.045, 0.0, 0.0)
"""Grip of the handle in the frame of the drawer: in front of it, 12 mm below the upper end, meters."""
DRAWER = (
    # Front, bottom, two sides and back; then the arm of the handle.
    Part((0.012, 0.17, 0.06), (0.006, 0.0, -0.03)),
    Part((0.15, 0.15, 0.006), (0.087, 0.0, -0.056)),
    Part((0.15, 0.006, 0.045), (0.087, 0.072, -0.0345)),
    Part((0.15, 0.006, 0.045), (0.087, -0.072, -0.0345)),
    Part((0.006, 0.15, 0.045), (0.159, 0.0, -0.0345)),
    Part((0.045, 0.016, 0.016), (-0.02, 0.0, -0.03)),
)
HANDLE_BAR = Part((HANDLE, HANDLE, 0.05), (GRIP[0], 0.0, -0.013))
"""Bar that stands upright at the end of the arm."""
CABINET = (
    # Top, two sides and back; then the plinth, whose lower part is inside of the table.
    Part((0.19, 0.2, 0.01), (0.095, 0.0, 0.007)),
    Part((0.19, 0.01, 0.07), (0.095, 0.095, -0.033)),
    Part((0.19, 0.01, 0.07), (0.095, -0.095, -0.033)),
    Part((0.01, 0.2, 0.07), (0.185, 0.0, -0.033)),
    Part((0.19, 0.2, 0.19), (0.095, 0.0, -0.163)),
)
OBJECT = "drawer"


class Drawer(Task):
    """Open or close a drawer by its handle, and leave it.

    **Task.** A drawer in a cabinet is half open. Its handle is a bar (2 x 2 cm) that stands upright in front of it.
    The instruction alone specifies whether to open or to close the drawer.

    **Randomization.** Sampled at each reset:

    - command: open or close
    - tool: in a box of 12 x 30 x 11 cm, centered 31 cm above the table, with a half-open gripper
    - cabinet: position in 8 x 24 cm, yaw up to 17 degrees in either direction, height of the handle 9 to 18 cm
    - drawer: opening 6 to 10 cm of 16, dry friction 1.5 to 4 N, damping 2 to 10 N s/m, and a spring of up to 10 N/m
      toward the half-open position, which is weaker than the friction

    **Success.** The drawer is open by at least 13 cm, or by at most 3 cm when it should be closed; it is slower than
    2 cm/s; and the hand is clear: the robot touches neither drawer nor cabinet, and the tool is at least 5 cm from
    the handle. Holding it there or passing by is not a success.

    **Reward.** `dense`: 1 on success, else progress - 1, which is between -1 and 0: 0.2 for the distance from the
    tool to the handle, 0.7 for the distance from the commanded opening, and 0.1 for leaving the handle there.
    `sparse`: 0 on success, else -1.

    **Goal.** Opening of the drawer (m), its speed (m/s), 1 while the hand is clear, and the distance from the tool to
    the handle (m). The desired opening is 16 cm or 0. The desired speed is an upper limit, the flag is a lower limit;
    the distance does not count. No feature depends on the command, but the desired goal does: with `obs="goal"` an
    agent needs no instruction.

    **Version history.** v0: first version.
    """

    name = "drawer"
    version = 1
    features = (
        TOUCH,
        Feature("handle/position", 3, "m", "grip of the handle", (0.5, 0.0, 0.13), 0.2, 2.0),
        Feature("handle/relative", 3, "m", "handle minus tool position", 0.0, 0.1, 2.0),
        Feature("drawer/opening", 1, "m", "opening of the drawer", 0.08, 0.08, 0.4),
        Feature("drawer/velocity", 1, "m/s", "speed of the opening", 0.0, 0.4, 4.0),
        Feature("cabinet/yaw", 1, "rad", "yaw of the cabinet; the drawer opens toward the arm at 0", 0.0, 0.3, 3.2),
    )
    command_high = (1,)
    goal_low = (-TRAVEL, 0.0, 0.0, 0.0)
    goal_high = (2 * TRAVEL, FAST, 1.0, FAR)
    articulated_objects: ClassVar[dict[str, tuple[tuple[float, float]]]] = {OBJECT: ((0.0, TRAVEL),)}
    tool_low = (0.36, -0.15, 0.26)
    tool_high = (0.48, 0.15, 0.37)
    spawn_low = (0.58, -0.12, 0.09, -0.3)
    spawn_high = (0.66, 0.12, 0.18, 0.3)
    """Bounds of the cabinet: x, y, height of the handle (m), yaw (rad)."""
    resistance_low = (1.5, 2.0, 0.0)
    resistance_high = (4.0, 10.0, 10.0)
    """Bounds of friction (N), damping (N s/m) and stiffness (N/m) of the drawer."""
    to_open = Instructions(
        train=(
            "open the drawer",
            "pull the drawer open",
            "open the drawer by its handle",
            "pull out the drawer",
            "pull the drawer toward the robot",
            "grasp the handle and open the drawer",
            "open the drawer and let go of the handle",
        ),
        held_out=(
            "slide the compartment out fully",
            "draw the bin out as far as possible",
            "expose what lies inside",
        ),
    )
    to_close = Instructions(
        train=(
            "close the drawer",
            "push the drawer shut",
            "close the drawer by its handle",
            "push in the drawer",
            "push the drawer into the cabinet",
            "grasp the handle and close the drawer",
            "close the drawer and let go of the handle",
        ),
        held_out=(
            "slide the compartment back inside fully",
            "seal the bin up again",
            "return it all the way to flush",
        ),
    )

    @override
    def instructions_for(self, command: Command) -> Instructions:
        return self.to_open if command[0] == OPEN else self.to_close

    @override
    def build_scene(self, simulation: Simulation, scale: float) -> None:
        add_drawer(simulation, scale)

    @override
    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Command) -> InitialState:
        tool = self.sample_tool(rng)
        x, y, z, yaw = rng.uniform(self.spawn_low, self.spawn_high).tolist()
        opening = rng.uniform(*START)
        friction, damping, stiffness = rng.uniform(self.resistance_low, self.resistance_high).tolist()
        drawer = Articulation(
            (x, y, z),
            (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)),
            (JointState(opening, 0.0, friction, damping, stiffness),),
        )
        return InitialState(
            tool_position=tool,
            desired_goal=_goal(command),
            joints={OBJECT: drawer},
        )

    @override
    def goal_of(self, simulation: Simulation, command: Command) -> tuple[float, ...]:
        return _goal(command)

    @override
    def feasible_commands(self, simulation: Simulation) -> list[Command]:
        opening = cast(ArticulatedBody, simulation.bodies[OBJECT]).state().joints[0].position
        return [command for command in self.commands() if abs(opening - _goal(command)[0]) > TOLERANCE]

    @override
    def observe(
        self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals, command: Command
    ) -> TaskObservation:
        body = cast(ArticulatedBody, simulation.bodies[OBJECT])
        left, right, anywhere = robot.touch(body)
        state = body.state()
        opening, velocity = state.joints[0][:2]
        handle = body.point("slide", GRIP)
        away = distance(handle, tool.position)
        values = (
            float(left),
            float(right),
            *handle,
            *difference(handle, tool.position),
            opening,
            velocity,
            upright_yaw(state.orientation),
        )
        achieved = (opening, abs(velocity), float(not anywhere and away >= CLEAR), away)
        return TaskObservation(values, clip(achieved, self.goal_low, self.goal_high))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        is_placed = abs((achieved - desired)[..., 0]) <= TOLERANCE
        is_still = achieved[..., 1] <= desired[..., 1]
        is_released = achieved[..., 2] >= desired[..., 2]
        return {
            "is_success": is_placed & is_still & is_released,
            "is_placed": is_placed,
            "is_still": is_still,
            "is_released": is_released,
        }

    @override
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        off = abs((achieved - desired)[..., 0])
        is_left = (off <= TOLERANCE) & (achieved[..., 2] >= desired[..., 2])
        progress: Any = 0.2 * nearness(achieved[..., 3]) + 0.7 * nearness(off) + 0.1 * is_left
        return progress  # type: ignore[no-any-return]


def upright_yaw(orientation: Quaternion) -> float:
    """Return the yaw of an upright body, radians in [-pi, pi]: the same for a quaternion and for its negative."""
    _, _, qz, qw = orientation
    yaw = 2.0 * math.atan2(qz, qw)
    return yaw if abs(yaw) <= math.pi else yaw - math.copysign(2.0 * math.pi, yaw)


def add_drawer(simulation: Simulation, scale: float) -> None:
    """Add the cabinet with its drawer.

    Args:
        simulation: The simulation.
        scale: Factor on the cross section of the handle.
    """
    edge = HANDLE * scale
    handle = HANDLE_BAR._replace(size=(edge, edge, HANDLE_BAR.size[2]))
    slide = Joint(
        "slide",
        "prismatic",
        (-1.0, 0.0, 0.0),
        0.0,
        TRAVEL,
        (*DRAWER, handle),
        DRAWER_MASS,
        rest=TRAVEL / 2,
        color=(0.82, 0.62, 0.36),
    )
    simulation.add_articulated(OBJECT, CABINET, [slide], color=(0.42, 0.29, 0.2))


def _goal(command: Command) -> tuple[float, ...]:
    """Return the desired goal of a command."""
    return (TRAVEL if command[0] == OPEN else 0.0, STILL_SPEED, 1.0, 0.0)
