"""Tasks that contradict themselves are refused, and errors name the method."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from lam_envs import ManipulationEnv
from lam_envs.bullet.articulated import Joint
from lam_envs.bullet.bodies import Part
from lam_envs.bullet.shapes.surfaces import add_moving_surface
from lam_envs.observation import Instructions
from lam_envs.tasks import InitialState, Task, TaskObservation
from lam_envs.tasks.conveyor import Conveyor
from lam_envs.tasks.drawer import Drawer
from lam_envs.tasks.objects import resting_at

from .above import Above


def test_a_condition_that_is_no_bool_is_refused_by_name() -> None:
    class Wrong(Above):
        def evaluate(self, achieved: Any, desired: Any) -> dict[str, Any]:
            return {"is_success": ~(achieved[..., 0] > 1.0)}

    with pytest.raises(TypeError, match=r"Wrong\.evaluate returns -[12] for is_success; expected a bool"):
        ManipulationEnv(task=Wrong()).reset(seed=0)


WRONG_TASKS = [
    (
        "evaluate",
        lambda *_: {"is_close": True},
        TypeError,
        r"Wrong\.evaluate returns .*; expected a dict of bools",
    ),
    ("evaluate", lambda *_: None, TypeError, r"Wrong\.evaluate returns None; expected a dict of bools"),
    ("progress", lambda *_: None, TypeError, r"Wrong\.progress returns None; expected a number"),
    ("progress", lambda *_: 1.5, ValueError, r"Wrong\.progress returns 1\.5; expected a number from 0 to 1"),
    (
        "observe",
        lambda *_: TaskObservation([0.0] * 9, [0.0] * 4),
        ValueError,
        r"the values of Wrong\.observe has 9 numbers; .* 10",
    ),
    (
        "observe",
        lambda *_: TaskObservation([0.0] * 10, [0.0] * 5),
        ValueError,
        r"goal of Wrong\.observe has 5 numbers; expected 4",
    ),
    (
        "observe",
        lambda *_: TaskObservation([np.nan] * 10, [0.0] * 4),
        ValueError,
        r"values of Wrong\.observe .* finite numbers",
    ),
    (
        "sample_initial_state",
        lambda *_: InitialState((0.5, 0, 0.2), (0.0,) * 4),
        ValueError,
        r"Wrong\.sample_initial_state returns poses of no objects; .* object",
    ),
    (
        "sample_initial_state",
        lambda *_: InitialState((0.5, 0, 0.2), (0.0,)),
        ValueError,
        r"goal of Wrong\.sample_initial_state has 1 numbers; expected 4",
    ),
    (
        "sample_initial_state",
        lambda self, *_: InitialState((0.5, 0, 0.2), (0.0, 0.0, 0.0, -1.0), {"object": resting_at(0.5, 0.0, 0.025)}),
        ValueError,
        r"the desired goal of Wrong\.sample_initial_state's number 3 is -1; expected 0 to 10",
    ),
    (
        "observe",
        lambda *_: TaskObservation([0.0] * 10, [0.0, 0.0, 3.0, 0.0]),
        ValueError,
        r"the achieved goal of Wrong\.observe's number 2 is 3; expected -2 to 2",
    ),
    # Without a check, errors of these functions would appear only in goal environments.
    (
        "goal_features",
        Task.goal_features,
        ValueError,
        r"Wrong\.goal_features returns no features; expected goal/height",
    ),
    ("goal_features", lambda *_: None, ValueError, r"Wrong\.goal_features returns None; expected goal/height"),
    (
        "goal_features",
        lambda _, features, desired: {"goal/heigth": desired[2:3]},
        ValueError,
        r"Wrong\.goal_features returns goal/heigth; expected goal/height",
    ),
    (
        "goal_features",
        lambda _, features, desired: {"goal/height": desired[2]},
        ValueError,
        r"Wrong\.goal_features returns goal/height of shape \(\); expected \(1,\)",
    ),
    (
        "goal_features",
        lambda _, features, desired: {"goal/height": desired[1:2]},
        ValueError,
        r"Wrong\.goal_features returns \[0\.\] for goal/height; expected \[0\.1.*\], as observe returns it",
    ),
    (
        "evaluate",
        lambda _, achieved, desired: {"is_success": achieved[3] <= desired[3]},
        ValueError,
        r"Wrong\.evaluate returns is_success of shape \(4,\) for goals of shape \(10, 4\); expected \(10,\)\. hind",
    ),
    (
        "evaluate",
        lambda _, achieved, desired: {"is_success": bool(achieved[..., 3] <= desired[..., 3])},
        ValueError,
        r"Wrong\.evaluate fails for goals of shape \(10, 4\) and not for a single goal: ValueError",
    ),
    (
        "evaluate",
        lambda _, achieved, desired: {"is_success": np.linalg.norm((achieved - desired)[:3]) <= 0.02},
        ValueError,
        r"Wrong\.evaluate returns is_success of shape \(\) for goals",
    ),
    (
        "evaluate",
        lambda _, achieved, desired: {"is_success": achieved[..., 2] > np.mean(achieved[..., 2]) - 0.01},
        ValueError,
        r"Wrong\.evaluate returns another is_success for goals of shape \(10, 4\) than for each",
    ),
    (
        "evaluate",
        lambda _, achieved, desired: {"is_success": achieved.T[3] <= desired.T[3]},
        ValueError,
        r"Wrong\.evaluate returns is_success of shape \(5, 2\) for goals of shape \(2, 5, 4\)",
    ),
    (
        "progress",
        lambda _, achieved, desired: 1 / (1 + abs(achieved[2] - desired[2])),
        ValueError,
        r"Wrong\.progress returns progress of shape \(4,\) for goals of shape \(10, 4\)",
    ),
]


@pytest.mark.parametrize(("method", "gives", "error", "message"), WRONG_TASKS)
def test_a_task_that_contradicts_itself_is_refused_by_name(
    method: str, gives: Any, error: type[Exception], message: str
) -> None:
    task = type("Wrong", (Above,), {method: gives})()
    env = ManipulationEnv(task=task)
    with pytest.raises(error, match=message):
        env.reset(seed=0)
    env.close()


def test_progress_that_no_reward_needs_is_not_checked() -> None:
    env = ManipulationEnv(task=type("Wrong", (Above,), {"progress": lambda *_: None})(), reward="sparse")
    env.reset(seed=0)
    env.close()


def test_a_task_is_not_checked_again_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"evaluate": 0, "goal_features": 0}

    class Counted(Above):
        def evaluate(self, achieved: Any, desired: Any) -> dict[str, Any]:
            calls["evaluate"] += 1
            return super().evaluate(achieved, desired)

        def goal_features(self, features: Any, desired: Any) -> Any:
            calls["goal_features"] += 1
            return super().goal_features(features, desired)

    env = ManipulationEnv(task=Counted(), obs="goal")
    env.reset(seed=0)
    before = dict(calls)
    env.step(np.zeros(4, np.float32))
    env.reset()
    copy.deepcopy(env).step(np.zeros(4, np.float32))
    # The copy evaluates its first state and its step.
    assert {name: calls[name] - before[name] for name in calls} == {"evaluate": 3, "goal_features": 0}
    env.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"goal_low": (-2.0,) * 3}, "goal_low and goal_high of Wrong have 3 and 4 numbers"),
        ({"goal_low": (), "goal_high": ()}, "goal_low and goal_high of Wrong have 0 and 0 numbers"),
        ({"goal_low": (3.0,) * 4}, r"goal_low and goal_high of Wrong are 3\.0 and 2\.0 at number 0"),
        ({"goal_high": (np.inf,) * 4}, r"goal_low and goal_high of Wrong are -2\.0 and inf at number 0"),
        ({"tool_low": (0.7, -0.15, 0.2)}, r"tool_low and tool_high of Wrong are 0\.7 and 0\.6 at number 0"),
    ],
)
def test_limits_that_leave_no_room_are_refused_when_the_environment_is_made(change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ManipulationEnv(task=type("Wrong", (Above,), change)())


@pytest.mark.parametrize("declared", ["name", "features", "goal_low", "goal_high"])
def test_a_task_without_a_declaration_is_refused_by_name(declared: str) -> None:
    attributes = {name: value for name, value in vars(Above).items() if name not in (declared, "__dict__")}
    with pytest.raises(ValueError, match=f"Unnamed has no {declared}; expected an attribute of the class"):
        ManipulationEnv(task=type("Unnamed", (Task,), attributes)())
    if declared == "name":
        with pytest.raises(ValueError, match="name of Wrong is 3; expected a text"):
            ManipulationEnv(task=type("Wrong", (Above,), {"name": 3})())


def test_a_tool_that_begins_out_of_reach_is_refused() -> None:
    task = type("Far", (Above,), {"tool_low": (1.4, 0.0, 0.3), "tool_high": (1.4, 0.0, 0.3)})()
    env = ManipulationEnv(task=task)
    with pytest.raises(
        ValueError, match=r"Far\.sample_initial_state places the tool at \(1\.4, 0, 0\.3\).*panda reaches"
    ):
        env.reset(seed=0)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(4, np.float32))
    env.close()


@pytest.mark.parametrize(
    "instructions", [Instructions((), ("hover",)), Instructions((), ())], ids=["held-out alone", "none"]
)
def test_a_task_without_a_sentence_for_training_is_refused(instructions: Instructions) -> None:
    task = type("Wrong", (Above,), {"instructions": instructions})()
    with pytest.raises(ValueError, match="instructions of Wrong have no sentence in train; expected at least one"):
        ManipulationEnv(task=task)


def test_a_movable_object_that_is_not_built_is_refused_by_name() -> None:
    class Wrong(Above):
        movable_objects = ("object", "lid")

        def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Any) -> InitialState:
            start = super().sample_initial_state(rng, scale, command)
            return dataclasses.replace(start, objects={**start.objects, "lid": resting_at(0.5, 0.3, 0.02)})

    with pytest.raises(
        ValueError, match="movable_objects of Wrong names lid, which its build_scene does not add; it adds"
    ):
        ManipulationEnv(task=Wrong()).reset(seed=0)


class Lid(Above):
    """The same task with a second body that moves, in states or not."""

    def build_scene(self, simulation: Any, scale: float) -> None:
        super().build_scene(simulation, scale)
        simulation.add_box("lid", size=(0.04, 0.04, 0.04), position=(0.5, 0.3, 0.02), mass=0.1)


class Arm(Above):
    """The same task with an articulated object that is not declared."""

    def build_scene(self, simulation: Any, scale: float) -> None:
        super().build_scene(simulation, scale)
        bar = Part((0.1, 0.02, 0.02), (0.0, 0.0, 0.0))
        simulation.add_articulated("arm", [bar], [Joint("hinge", "revolute", (0.0, 0.0, 1.0), 0.0, 1.0, (bar,), 0.1)])


class Belt(Above):
    """The same task with a belt that is not declared."""

    def build_scene(self, simulation: Any, scale: float) -> None:
        super().build_scene(simulation, scale)
        add_moving_surface(simulation, "belt", size=(0.2, 0.2, 0.02), position=(0.5, 0.3, 0.01))


@pytest.mark.parametrize(
    ("task", "name", "declared"),
    [(Lid, "lid", "movable_objects"), (Arm, "arm", "articulated_objects"), (Belt, "belt", "moving_surfaces")],
)
def test_a_body_that_moves_and_is_not_declared_is_refused_by_name(
    task: type[Above], name: str, declared: str
) -> None:
    message = (
        rf"{task.__name__}\.build_scene adds {name}, which {declared} does not include; .* add {name} to {declared}"
    )
    with pytest.raises(ValueError, match=message):
        ManipulationEnv(task=task()).reset(seed=0)


@pytest.mark.parametrize("name", ["table", "object", "spot", "nothing"])
@pytest.mark.parametrize("add", ["box", "marker", "absent", "articulated", "surface"])
def test_two_bodies_of_one_name_are_refused(name: str, add: str) -> None:
    class Wrong(Above):
        def build_scene(self, simulation: Any, scale: float) -> None:
            super().build_scene(simulation, scale)
            simulation.add_absent("nothing")
            size, bar = (0.1, 0.02, 0.02), Part((0.1, 0.02, 0.02), (0.0, 0.0, 0.0))
            match add:
                case "box":
                    simulation.add_box(name, size=size, position=(0.5, 0.3, 0.01))
                case "marker":
                    simulation.add_marker(name, size=size, color=(0.0, 0.0, 1.0, 1.0))
                case "absent":
                    simulation.add_absent(name)
                case "articulated":
                    joint = Joint("hinge", "revolute", (0.0, 0.0, 1.0), 0.0, 1.0, (bar,), 0.1)
                    simulation.add_articulated(name, [bar], [joint])
                case _:
                    add_moving_surface(simulation, name, size=size, position=(0.5, 0.3, 0.01))

    with pytest.raises(ValueError, match=f"the simulation already has a body '{name}'; expected another name than"):
        ManipulationEnv(task=Wrong()).reset(seed=0)


class FastBelt(Conveyor):
    """Task whose belt is faster than a state can have it."""

    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Any) -> InitialState:
        start = super().sample_initial_state(rng, scale, command)
        return dataclasses.replace(start, surfaces={"belt": (0.0, 1.5, 0.0)})


class Damped(Drawer):
    """Task whose drawer has a larger damping than a state can have."""

    resistance_low = (4.0, 190.0, 0.0)
    resistance_high = (4.0, 190.0, 0.0)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (FastBelt, r"FastBelt\.sample_initial_state returns a wrong state: a surface moves with 1\.5 m/s; expected"),
        (Damped, r"Damped\.sample_initial_state returns a wrong state: the damping of .* is 190; expected 0 to 100"),
    ],
)
def test_an_initial_state_that_set_state_would_refuse_is_refused_by_name(task: type[Task], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ManipulationEnv(task=task()).reset(seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "the feature 'goal/height' has size 0; expected at least 1"),
        ({"center": (0.1, 0.1)}, "the feature 'goal/height' has 2 centers; expected 1 or one"),
        ({"scale": 0.0}, r"the feature 'goal/height' has scale 0\.0 and limit 1\.0; expected numbers above 0"),
        ({"limit": -1.0}, r"the feature 'goal/height' has scale 0\.1 and limit -1\.0; expected numbers above 0"),
    ],
)
def test_a_feature_that_no_number_fits_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(Above.features[-1], **change)


def test_two_features_of_one_name_are_refused() -> None:
    task = type("Wrong", (Above,), {"features": (*Above.features, Above.features[0])})()
    with pytest.raises(ValueError, match="duplicate feature 'object/position' in"):
        ManipulationEnv(task=task)


class GoalFirst(Above):
    """The same task with the feature of the goal first."""

    features = (Above.features[-1], *Above.features[:-1])

    def observe(self, *scene: Any) -> TaskObservation:
        values, achieved = super().observe(*scene)
        return TaskObservation([values[-1], *values[:-1]], achieved)


def test_the_order_of_features_is_the_tasks_own() -> None:
    for obs in ("state", "goal"):
        env = ManipulationEnv(task=GoalFirst(), obs=obs)
        observation, _ = env.reset(seed=0)
        seen, true = env.features(observation), env.features()
        assert set(seen) == set(true)
        for name, value in true.items():
            np.testing.assert_allclose(seen[name], value, atol=1e-6, err_msg=name)
        env.close()
