"""A small task with a drawer, a door with a lever, and a cube, for tests of bodies with joints."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lam_envs.bullet.articulated import Articulation, Joint, JointState
from lam_envs.bullet.bodies import Part
from lam_envs.observation import Feature
from lam_envs.tasks import InitialState, Task, TaskObservation
from lam_envs.tasks.objects import resting_at

TRAVEL = (0.0, 0.15)
SWING = (0.0, 1.2)
LEVER = (-0.6, 0.6)
CABINET = (Part((0.2, 0.2, 0.01), (0.0, 0.0, 0.005)), Part((0.01, 0.2, 0.1), (0.1, 0.0, 0.05)))
DRAWER = (
    Part((0.18, 0.16, 0.01), (0.0, 0.0, 0.03)),
    Part((0.01, 0.16, 0.06), (-0.09, 0.0, 0.06)),
    Part((0.02, 0.02, 0.1), (-0.12, 0.0, 0.1)),
)


class Hinges(Task):
    """Move the drawer to an opening."""

    name = "hinges"
    features = (
        Feature("object/position", 3, "m", "handle of the drawer", (0.5, 0.0, 0.1), 0.2, 2.0),
        Feature("joints/position", 3, "m", "drawer, door and lever", 0.0, 1.0, 4.0),
        Feature("joints/velocity", 3, "m/s", "their velocities", 0.0, 1.0, 40.0),
        Feature("goal/opening", 1, "m", "desired opening", 0.0, 0.1, 1.0, noisy=False),
    )
    goal_low = (-1.0,)
    goal_high = (1.0,)
    movable_objects = ("cube",)
    articulated_objects: ClassVar[Any] = {"drawer": (TRAVEL,), "door": (SWING, LEVER)}

    def build_scene(self, simulation: Any, scale: float) -> None:
        slide = Joint(
            "slide",
            "prismatic",
            (-1.0, 0.0, 0.0),
            *TRAVEL,
            DRAWER,
            mass=0.5,
            color=(0.1, 0.1, 0.9),
            surface_friction=0.8,
        )
        simulation.add_articulated("drawer", CABINET, [slide], color=(0.5, 0.4, 0.3))
        panel = (Part((0.01, 0.15, 0.15), (0.0, -0.075, 0.1)),)
        bar = (Part((0.06, 0.015, 0.015), (-0.03, -0.01, 0.0)),)
        hinge = Joint("hinge", "revolute", (0.0, 0.0, 1.0), *SWING, panel, mass=0.4)
        lever = Joint(
            "lever", "revolute", (1.0, 0.0, 0.0), *LEVER, bar, mass=0.05, origin=(-0.01, -0.12, 0.1), parent="hinge"
        )
        simulation.add_articulated("door", [Part((0.02, 0.02, 0.2), (0.0, 0.0, 0.1))], [hinge, lever])
        edge = 0.04 * scale
        simulation.add_box("cube", size=(edge, edge, edge), position=(0.4, 0.1, edge / 2), mass=0.1)

    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Any) -> InitialState:
        opening, angle, x, yaw = rng.uniform([0.02, 0.1, 0.62, -0.3], [0.12, 0.6, 0.66, 0.3]).tolist()
        friction, damping, stiffness = rng.uniform([1.0, 1.0, 0.0], [4.0, 10.0, 8.0]).tolist()
        turned = (0.0, 0.0, float(np.sin(yaw / 2)), float(np.cos(yaw / 2)))
        lever = JointState(0.1, friction=0.3, damping=0.01, stiffness=0.2)
        return InitialState(
            tool_position=self.sample_tool(rng),
            desired_goal=(0.1,),
            objects={"cube": resting_at(0.4, 0.1, 0.02 * scale)},
            joints={
                "drawer": Articulation(
                    (x, 0.0, 0.0), turned, (JointState(opening, 0.0, friction, damping, stiffness),)
                ),
                "door": Articulation((0.6, 0.3, 0.0), (0.0, 0.0, 0.0, 1.0), (JointState(angle, 0.0, 0.1), lever)),
            },
        )

    def observe(self, simulation: Any, robot: Any, tool: Any, desired: Any, command: Any) -> TaskObservation:
        drawer, door = simulation.bodies["drawer"], simulation.bodies["door"]
        joints = [*drawer.state().joints, *door.state().joints]
        handle = drawer.point("slide", (-0.12, 0.0, 0.13))
        values = [*handle, *(one.position for one in joints), *(one.velocity for one in joints), float(desired[0])]
        return TaskObservation(values, (min(max(joints[0].position, -1.0), 1.0),))

    def evaluate(self, achieved: Any, desired: Any) -> dict[str, Any]:
        return {"is_success": abs((achieved - desired)[..., 0]) <= 0.01}

    def progress(self, achieved: Any, desired: Any) -> Any:
        return np.exp(-5 * abs((achieved - desired)[..., 0]))

    def goal_features(self, features: Any, desired: Any) -> Any:
        return {"goal/opening": np.asarray(desired[:1], dtype=np.float64)}
