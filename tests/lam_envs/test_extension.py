"""A stranger adds a task with one class and a robot with one description, and everything else works with them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv

import demos
from demos.collection.recording import record, replayed, rollout
from demos.experts import ExpertPolicy, make_expert
from lam_envs import ManipulationEnv, ToolCommand
from lam_envs.control import CONTROLS
from lam_envs.observation import Feature
from lam_envs.randomization import PRESETS
from lam_envs.robots import PANDA, ROBOTS, RobotModel
from lam_envs.tasks import TASKS, InitialState, Task, TaskObservation
from lam_envs.tasks.objects import object_features, object_values, resting_at, sample_position

from . import traces

# The task: its arithmetic is what comes to mind first, and not what is fastest.


class Above(Task):
    """Hold the tool 10 cm above a cube, and stay."""

    name = "above"
    features = (
        *object_features("cube", turns=False),
        Feature("goal/height", 1, "m", "how far above", 0.1, 0.1, 1.0, noisy=False),
    )
    goal_low = (-2.0, -2.0, -2.0, 0.0)
    goal_high = (2.0, 2.0, 2.0, 10.0)
    movable_objects = ("object",)
    tool_low = (0.4, -0.15, 0.2)
    tool_high = (0.6, 0.15, 0.3)

    def build_scene(self, simulation: Any, scale: float) -> None:
        edge = 0.05 * scale
        simulation.add_box(
            "object", size=(edge, edge, edge), position=(0.5, 0, edge / 2), mass=0.2, color=(0.9, 0.8, 0.1)
        )
        simulation.add_marker("spot", size=(0.03, 0.03, 0.03), color=(0.9, 0.0, 0.9, 1.0), shape="ball")

    def sample_initial_state(self, rng: np.random.Generator, scale: float) -> InitialState:
        tool = self.sample_tool(rng)
        x, y = sample_position(rng, (0.42, -0.15), (0.58, 0.15))
        return InitialState(
            tool_position=tool, desired_goal=(0, 0, 0.1, 0.05), objects={"object": resting_at(x, y, 0.025 * scale)}
        )

    def observe(self, simulation: Any, robot: Any, tool: Any, desired: Any) -> TaskObservation:
        cube = simulation.bodies["object"].motion()
        away = np.clip(np.subtract(tool.position, cube.position), -2, 2)
        speed = min(float(np.linalg.norm(tool.velocity)), 10.0)
        return TaskObservation([*object_values(cube, tool, turns=False), float(desired[2])], [*away.tolist(), speed])

    def evaluate(self, achieved: Any, desired: Any) -> dict[str, Any]:
        is_close = np.linalg.norm(achieved[..., :3] - desired[..., :3], axis=-1) <= 0.02
        is_still = achieved[..., 3] <= desired[..., 3]
        return {"is_success": is_close & is_still, "is_close": is_close, "is_still": is_still}

    def progress(self, achieved: Any, desired: Any) -> Any:
        return np.exp(-5 * np.linalg.norm((achieved - desired)[..., :3], axis=-1))

    def update_markers(self, simulation: Any, desired: Any) -> None:
        x, y, z = simulation.bodies["object"].motion().position
        simulation.bodies["spot"].marker_position = (x, y, z + float(desired[2]))

    def goal_features(self, features: Any, desired: Any) -> Any:
        return {"goal/height": np.asarray(desired[2:3], dtype=np.float64)}


class AboveExpert:
    version = 1

    def act(self, features: Any) -> ToolCommand:
        x, y, z = features["object/position"].tolist()
        return ToolCommand((x, y, z + features["goal/height"].item()), features["gripper/target"].item())


# The robot: a crane of three slides and a turning hand, of boxes that are written here.


def gantry_urdf() -> str:
    def link(name: str, mass: float, size: str, xyz: str = "0 0 0") -> str:
        shape = f'<origin xyz="{xyz}"/><geometry><box size="{size}"/></geometry>'
        inertia = '<inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/>'
        return (
            f'<link name="{name}"><inertial><mass value="{mass}"/>{inertia}</inertial>'
            f"<visual>{shape}</visual><collision>{shape}</collision></link>"
        )

    def joint(name: str, kind: str, parent: str, child: str, axis: str, limits: tuple[float, float], at: str) -> str:
        low, high = limits
        return (
            f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/><origin {at}/>'
            f'<axis xyz="{axis}"/><limit lower="{low}" upper="{high}" effort="500" velocity="5"/></joint>'
        )

    parts = [
        link("rail", 1, "0.02 0.02 0.02"),
        link("cart", 1, "0.04 0.04 0.04"),
        link("bridge", 1, "0.04 0.04 0.04"),
        link("mast", 1, "0.03 0.03 0.2", "0 0 0.1"),
        link("hand", 0.5, "0.05 0.12 0.04", "0 0 0.04"),
        link("left", 0.05, "0.02 0.01 0.05", "0 0.005 0.095"),
        link("right", 0.05, "0.02 0.01 0.05", "0 -0.005 0.095"),
        joint("slide_x", "prismatic", "rail", "cart", "1 0 0", (-0.6, 0.6), 'xyz="0 0 0"'),
        joint("slide_y", "prismatic", "cart", "bridge", "0 1 0", (-0.6, 0.6), 'xyz="0 0 0"'),
        joint("slide_z", "prismatic", "bridge", "mast", "0 0 1", (-0.9, 0.3), 'xyz="0 0 0"'),
        joint("turn", "revolute", "mast", "hand", "0 0 1", (-3, 3), 'rpy="3.14159265359 0 0"'),
        joint("left", "prismatic", "hand", "left", "0 1 0", (0, 0.05), 'xyz="0 0 0"'),
        joint("right", "prismatic", "hand", "right", "0 -1 0", (0, 0.05), 'xyz="0 0 0"'),
    ]
    return f'<robot name="gantry">{"".join(parts)}</robot>'


def gantry(folder: Path) -> RobotModel:
    path = folder / "gantry.urdf"
    path.write_text(gantry_urdf())
    return RobotModel(
        name="gantry",
        physics_urdf=path,
        visual_urdf=path,
        base=(0.5, 0.0, 0.8),
        arm_joints=("slide_x", "slide_y", "slide_z", "turn"),
        finger_joints=("left", "right"),
        home=(0.0, 0.0, -0.43, 0.0),
        redundant_joint=None,
        joint_margin=0.03,
        arm_forces=(400.0, 400.0, 400.0, 40.0),
        tool_offset=0.12,
        hand_yaw=0.0,
        max_width=0.08,
        finger_force=20.0,
    )


ID = "StrangerAbove-v0"
TALL = dataclasses.replace(PANDA, name="tall_panda", base=(-0.05, 0.0, 0.1))
SMALL = {"image_width": 32, "image_height": 32}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Ours by name, one that stands elsewhere, and one of a stranger's own."""
    own = gantry(tmp_path_factory.mktemp("robots"))
    return {**{name: name for name in ROBOTS}, "tall_panda": TALL, "gantry": own}


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    gym.register(
        ID,
        entry_point="lam_envs.env:ManipulationEnv",
        max_episode_steps=60,
        kwargs={"task": Above()},
        disable_env_checker=True,
    )
    yield
    del gym.registry[ID]


def succeeds(env: gym.Env[Any, Any], expert: Any, seed: int) -> bool:
    *_, last = rollout(env, expert, seed)
    return bool(last.info["is_success"])


MODELS = [*ROBOTS, "tall_panda", "gantry"]


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("robot", "control"),
    [
        # Quickly, each robot in one control, in turn.
        pytest.param(robot, control, marks=[] if row % len(CONTROLS) == column else SLOW)
        for row, robot in enumerate(MODELS)
        for column, control in enumerate(CONTROLS)
    ],
)
def test_an_expert_of_a_few_lines_does_a_new_task(robot: str, control: str, models: dict[str, Any]) -> None:
    env = gym.make(ID, robot=models[robot], control=control)
    expert = ExpertPolicy(AboveExpert(), env)
    assert [succeeds(env, expert, seed) for seed in range(4)] == [True] * 4
    env.close()


@pytest.mark.parametrize(
    ("preset", "obs"),
    [
        # Quickly, each preset with one kind of observation, in turn.
        pytest.param(preset, obs, marks=[] if row % 3 == column else SLOW)
        for row, preset in enumerate(PRESETS)
        for column, obs in enumerate(["state", "goal", "pixels"])
    ],
)
def test_a_new_task_has_every_observation_and_randomization(preset: str, obs: str, models: dict[str, Any]) -> None:
    env = gym.make(ID, obs=obs, randomize=preset, robot=models["gantry"], **SMALL)
    expert = ExpertPolicy(AboveExpert(), env)
    observation, info = env.reset(seed=1)
    truncated = succeeded = False
    while not truncated:
        assert env.observation_space.contains(observation)
        observation, reward, _, truncated, info = env.step(expert.predict(observation)[0])
        assert -1.0 <= float(reward) <= 1.0
        assert (reward == 1.0) == info["is_success"]
        succeeded |= info["is_success"]
    assert succeeded
    assert ("randomization" in info) == (preset != "none")
    env.close()


def test_the_goals_of_a_new_task_are_judged_alike_one_by_one_and_together() -> None:
    env: Any = gym.make(ID, obs="goal").unwrapped
    goals = np.random.default_rng(0).uniform(-0.02, 0.02, (200, 4)).astype(np.float32)
    desired = np.tile(np.array([0.0, 0.0, 0.0, 0.05], dtype=np.float32), (200, 1))
    together = env.compute_reward(goals, desired, {})
    assert [env.compute_reward(goal, want, {}) for goal, want in zip(goals, desired, strict=True)] == list(together)
    assert together.max() == 1.0
    env.close()


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=[] if task in ("grasp", "pick_place") else SLOW) for task in TASKS]
)
def test_a_new_robot_does_every_task_that_was_there(task: str, models: dict[str, Any]) -> None:
    env = gym.make(f"Lam{task.title().replace('_', '')}-v0", robot=models["gantry"])
    expert = make_expert(env)
    # Some experts rely on how wide our hands open.
    assert sum(succeeds(env, expert, seed) for seed in range(5)) >= 4
    env.close()


@pytest.mark.parametrize(
    ("robot", "preset"),
    [
        pytest.param(*case, marks=[] if case == ("gantry", "full") else SLOW)
        for case in product(["panda", "gantry"], ["none", "full"])
    ],
)
def test_episodes_of_strangers_repeat_bit_by_bit(robot: str, preset: str, models: dict[str, Any]) -> None:
    def made() -> gym.Env[Any, Any]:
        return gym.make(ID, robot=models[robot], randomize=preset, obs="pixels", **SMALL)

    env, other = made(), made()
    actions = traces.contact_rich_actions(env, 3, 30)
    expected = traces.trace(env, 3, actions)
    assert traces.trace(other, 3, actions) == expected
    for seed in range(90, 92):
        traces.contact_rich_actions(other, seed, 20)
    assert traces.trace(other, 3, actions) == expected

    vector = AsyncVectorEnv([made, made])
    first, _ = vector.reset(seed=[3, 3])
    alone, _ = env.reset(seed=3)
    for action in [None, *actions]:
        if action is not None:
            first, *_ = vector.step(np.stack([action, action]))
            alone, *_ = env.step(action)
        for row in range(2):
            assert traces.fingerprint([{name: part[row] for name, part in first.items()}]) == traces.fingerprint(
                [alone]
            )
    vector.close()

    inner: Any = env.unwrapped
    env.reset(seed=3)
    for action in actions[:15]:
        env.step(action)
    twins = [copy.deepcopy(inner), pickle.loads(pickle.dumps(inner)), other.unwrapped]
    twins[2].set_state(inner.get_state())
    onwards = [traces.fingerprint(list(inner.step(action))) for action in actions[15:]]
    for twin in twins:
        assert [traces.fingerprint(list(twin.step(action))) for action in actions[15:]] == onwards
        twin.close()
    env.close()


@pytest.mark.parametrize("obs", ["state", "goal", "pixels"])
def test_gymnasium_finds_nothing_to_warn_of_in_a_strangers_environment(obs: str, models: dict[str, Any]) -> None:
    env = gym.make(ID, robot=models["gantry"], obs=obs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_pictures_show_what_a_stranger_built(models: dict[str, Any]) -> None:
    env = gym.make(ID, robot=models["gantry"], render_mode="rgb_array", render_width=320, render_height=320)
    env.reset(seed=0)
    picture: Any = env.render()
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    marker = (red > green + 80) & (blue > green + 80)
    cube = (red > blue + 80) & (green > blue + 80)
    assert marker.sum() > 20
    assert cube.sum() > 20
    # The marker is over the cube.
    assert np.argwhere(marker)[:, 0].mean() < np.argwhere(cube)[:, 0].mean()
    env.close()


def test_a_strangers_episode_is_written_down_and_repeated() -> None:
    env = gym.make(ID, randomize="full")
    expert = ExpertPolicy(AboveExpert(), env)
    episode = record(env, rollout(env, expert, 5), 5)
    again = record(env, replayed(env, episode.actions, 5), 5)
    assert episode.differs_from(again) is None
    env.close()


@pytest.mark.parametrize(
    "keywords",
    [
        pytest.param({}, marks=SLOW),
        {"robot": "xarm6", "obs": "goal"},
        pytest.param({"randomize": "physics"}, marks=SLOW),
    ],
    ids=str,
)
def test_demonstrations_of_a_strangers_task_are_collected_and_replayed(
    keywords: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(demos.experts.EXPERTS, "above", AboveExpert())
    dataset = demos.collect(ID, episodes=3, env_kwargs=keywords, root=tmp_path)
    report = demos.replay(demos.load(dataset.id, tmp_path))
    assert report.episodes == report.successes == report.identical == 3


def test_a_class_of_ones_own_does_without_an_id() -> None:
    env = ManipulationEnv(task=Above(), robot=TALL)
    assert env.task_name == "above"
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()


def test_a_robot_whose_description_lacks_a_joint_is_refused_by_name(models: dict[str, Any]) -> None:
    wrong = dataclasses.replace(models["gantry"], arm_joints=("slide_x", "slide_y", "lift", "turn"))
    with pytest.raises(ValueError, match=r"no joint 'lift' of the robot 'gantry'; it has slide_x, slide_y, slide_z"):
        ManipulationEnv(task="reach", robot=wrong).reset(seed=0)


def test_a_description_that_is_not_there_is_refused_by_name() -> None:
    wrong = dataclasses.replace(PANDA, physics_urdf=Path("nowhere.urdf"))
    with pytest.raises(FileNotFoundError, match=r"no robot description at nowhere\.urdf"):
        ManipulationEnv(task="reach", robot=wrong).reset(seed=0)


def test_a_condition_that_is_no_truth_value_is_refused_by_name() -> None:
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
    # Hooks and functions of many goals: what they give goes unnoticed until a goal environment needs it.
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
def test_a_task_that_does_not_fit_itself_is_refused_by_name(
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


def test_a_movable_object_that_is_not_built_is_refused_by_name() -> None:
    class Wrong(Above):
        movable_objects = ("object", "lid")

        def sample_initial_state(self, rng: np.random.Generator, scale: float) -> InitialState:
            start = super().sample_initial_state(rng, scale)
            return dataclasses.replace(start, objects={**start.objects, "lid": resting_at(0.5, 0.3, 0.02)})

    with pytest.raises(
        ValueError, match="movable_objects of Wrong names lid, which its build_scene does not add; it adds"
    ):
        ManipulationEnv(task=Wrong()).reset(seed=0)


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
    with pytest.raises(ValueError, match="the feature 'object/position' is twice in"):
        ManipulationEnv(task=task)


class GoalFirst(Above):
    """The same, with its goal's feature first."""

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


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"home": (0.0, 0.0)}, ValueError, "home of the robot 'panda' has 2 numbers; expected 7"),
        ({"arm_forces": (1.0,)}, ValueError, "arm_forces of the robot 'panda' has 1 numbers; expected 7"),
        ({"redundant_joint": 12}, ValueError, "redundant_joint of the robot 'panda' is 12; expected None or 0 to 6"),
        ({"max_width": 0.0}, ValueError, r"max_width of the robot 'panda' is 0\.0; expected at least"),
        ({"joint_margin": 0.0}, ValueError, r"joint_margin of the robot 'panda' is 0\.0; expected at least 0\.02"),
        ({"physics_urdf": "x.urdf"}, TypeError, r"physics_urdf .* is 'x\.urdf'; expected a pathlib\.Path"),
    ],
)
def test_a_robot_that_cannot_be_is_refused_by_name(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        dataclasses.replace(PANDA, **change)


def test_a_margin_that_leaves_a_joint_no_room_is_refused() -> None:
    wrong = dataclasses.replace(PANDA, joint_margin=9.0)
    with pytest.raises(ValueError, match=r"joint 'panda_joint1' .* more than twice the joint_margin 9"):
        ManipulationEnv(task="reach", robot=wrong).reset(seed=0)


def test_a_file_that_is_no_description_is_refused(tmp_path: Path) -> None:
    (tmp_path / "arm.urdf").write_text("no robot at all")
    wrong = dataclasses.replace(PANDA, physics_urdf=tmp_path / "arm.urdf")
    with pytest.raises(ValueError, match=r"arm\.urdf is no robot description that Bullet can read"):
        ManipulationEnv(task="reach", robot=wrong).reset(seed=0)
