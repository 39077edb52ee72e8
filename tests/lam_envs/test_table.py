"""Table: commands, what counts as success, cheats, other instructions, successive commands, states, datasets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3

import demos
from demos.experts import COMMAND, make_expert
from lam_envs import decode_instruction
from lam_envs.observation import Command
from lam_envs.robots import ROBOTS
from lam_envs.tasks.table import Table
from lam_envs.tasks.table.commands import CUBES, OBJECTS, VERBS, command_name
from lam_envs.tasks.table.feasible import is_feasible
from lam_envs.tasks.table.goals import is_placed
from lam_envs.tasks.table.scene import layout_of
from tests.conftest import Make
from tests.lam_envs import cheats, traces
from tests.lam_envs.table_cheats import CHEATS, EXPERT, numbers_of, view

SLOW = pytest.mark.slow
LASTING = 5
"""Successive steps of success after which an episode of the expert is stopped."""


def inner(env: gym.Env[Any, Any]) -> Any:
    return env.unwrapped


class Played(NamedTuple):
    succeeded: bool
    instructions: list[str]
    completed: list[int]
    steps: int


def play(env: gym.Env[Any, Any], seed: int, options: dict[str, Any] | None = None, lasting: int = LASTING) -> Played:
    """Run the expert until success lasts."""
    expert = make_expert(env)
    observation, info = env.reset(seed=seed, options=options)
    sentences, completed = [inner(env).instruction], [int(info["completed"])]
    steps = streak = 0
    truncated = False
    while not truncated and streak < lasting:
        observation, _, _, truncated, info = env.step(expert.predict(observation)[0])
        steps += 1
        streak = streak + 1 if info["is_success"] else 0
        completed.append(int(info["completed"]))
        if inner(env).instruction != sentences[-1]:
            sentences.append(inner(env).instruction)
    return Played(bool(info["is_success"]), sentences, completed, steps)


def total(env: gym.Env[Any, Any], seed: int, options: dict[str, Any]) -> float:
    """Return the expert's return."""
    expert = make_expert(env)
    observation, _ = env.reset(seed=seed, options=options)
    found, truncated = 0.0, False
    while not truncated:
        observation, reward, _, truncated, _ = env.step(expert.predict(observation)[0])
        found += float(reward)
    return found


# Commands and keywords


def test_keywords_choose_verbs_commands_and_the_length_of_the_chain(make: Make) -> None:
    assert {VERBS[command[0]] for command in Table(["lift", "close"]).commands()} == {"lift", "close"}
    assert Table(["push slab square"]).commands() == [numbers_of("push slab square")]
    assert [numbers_of(command_name(command)) for command in Table().commands()] == Table().commands()
    env = make("LamTable-v0", commands=["open", "stack red_cube blue_cube"])
    seen = {tuple(inner(env).command) for seed in range(8) if env.reset(seed=seed)}
    assert seen == {numbers_of("open"), numbers_of("stack red_cube blue_cube")}
    for wrong, message in (
        ({"commands": ["lfit"]}, "unknown command 'lfit'.*did you mean 'lift'"),
        ({"commands": []}, "expected a verb or command that is left"),
        ({"commands": ["lift"], "without": ["lift"]}, "expected a verb or command that is left"),
        ({"without": "lift"}, "without is 'lift'; expected a list of verbs or commands"),
        ({"without": ["lfit"]}, "without: unknown command 'lfit'"),
        ({"cubes": 2}, "cubes is 2; expected 3 to 5, or None"),
        ({"cubes": True}, "cubes is True"),
        ({"cubes": 3.0}, r"cubes is 3\.0; expected 3 to 5"),
        ({"commands": "lift"}, "expected a list of verbs or commands"),
        ({"chain": 0}, "chain is 0; expected a whole number of commands from 1 to 20"),
        ({"chain": True}, "chain is True"),
    ):
        with pytest.raises(ValueError, match=message):
            gym.make("LamTable-v0", **wrong)
    with pytest.raises(ValueError, match=r"no command of table"):
        env.reset(options={"command": numbers_of("close")})


def test_commands_are_left_out_and_the_number_of_cubes_is_chosen() -> None:
    task = Table(without=["lift red_cube", "stack", "close"], cubes=5)
    names = {command_name(command) for command in task.commands()}
    assert "lift red_cube" not in names
    assert {name.split()[0] for name in names} == set(VERBS) - {"stack", "close"}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        start = task.sample_initial_state(rng, 1.0, task.sample_command(rng))
        assert all(start.objects[name].position[0] < 1.0 for name in CUBES)


def test_feasible_commands_are_about_objects_that_are_there_and_not_fulfilled(make: Make) -> None:
    env = make("LamTable-v0")
    for seed in range(3):
        env.reset(seed=seed)
        layout = layout_of(inner(env).simulation, OBJECTS)
        feasible = inner(env).feasible_commands
        assert inner(env).command in feasible
        for command in inner(env).commands:
            if command in feasible:
                assert is_feasible(layout, command)
                assert not is_placed(layout, command)
                assert all(name in layout.things for name in command_name(command).split()[1:] if name != "square")


def test_the_time_limit_grows_with_the_chain_unless_it_is_set() -> None:
    for keywords, steps in (
        ({}, 200),
        ({"chain": 3}, 600),
        ({"chain": 3, "max_episode_steps": 20}, 20),
        ({"steps_per_command": 300}, 300),
        ({"steps_per_command": 3, "chain": 2}, 6),
    ):
        env: Any = gym.make("LamTable-v0", **keywords)
        assert env.spec.max_episode_steps == steps
        assert gym.make(env.spec).spec.max_episode_steps == steps  # type: ignore[union-attr]
        env.close()


def test_every_scene_has_three_to_five_cubes_and_a_command_that_can_be_executed() -> None:
    task = Table()
    counts, verbs = set(), set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        command = task.sample_command(rng)
        start = task.sample_initial_state(rng, 1.0, command)
        counts.add(sum(start.objects[name].position[0] < 1.0 for name in CUBES))
        verbs.add(VERBS[command[0]])
        assert len(start.desired_goal) == len(task.goal_low)
    assert counts == {3, 4, 5}
    assert verbs == set(VERBS)


def test_the_scene_does_not_depend_on_the_command_and_no_observation_shows_it(make: Make) -> None:
    env, pixels = make("LamTable-v0"), make("LamTablePixels-v0", image_width=16, image_height=16)
    for one in (env, pixels):
        shown = []
        for name in ("open", "close"):
            observation, info = one.reset(seed=3, options={"command": numbers_of(name)})
            shown.append(traces.fingerprint([observation]))
            assert not info["is_success"]
        assert shown[0] == shown[1]
    # Among the commands that can be executed in a scene, all give this scene.
    env.reset(seed=0, options={"command": numbers_of("open")})
    layout = layout_of(inner(env).simulation, OBJECTS)
    before = inner(env).features()
    possible = [one for one in Table().commands() if is_feasible(layout, one) and not is_placed(layout, one)]
    assert len(possible) > 10
    for command in possible[::9]:
        env.reset(seed=0, options={"command": command})
        for name, value in inner(env).features().items():
            np.testing.assert_array_equal(value, before[name])


def test_an_absent_cube_has_no_features_and_touches_nothing(make: Make) -> None:
    env = make("LamTable-v0", commands=["lift red_cube"])
    for seed in range(20):
        env.reset(seed=seed)
        features = inner(env).features()
        absent = [name for name in CUBES if features[f"{name}/present"] == 0.0]
        if absent:
            break
    for name in absent:
        np.testing.assert_array_equal(features[f"{name}/position"], (0.5, 0.0, 0.1))
        np.testing.assert_array_equal(features[f"{name}/relative"], 0.0)
        np.testing.assert_array_equal(features[f"{name}/touch"], 0.0)
    assert features["red_cube/present"] == 1.0


@pytest.mark.parametrize(
    ("name", "place", "succeeds"),
    [
        ("left red_cube blue_cube", (0.0, 0.07), True),
        ("left red_cube blue_cube", (0.0, 0.145), False),
        ("left red_cube blue_cube", (0.0, -0.07), False),
        ("left red_cube blue_cube", (0.045, 0.1), False),
        ("right red_cube blue_cube", (0.0, -0.07), True),
        ("push red_cube blue_cube", (-0.07, 0.0), True),
        ("push red_cube blue_cube", (-0.08, 0.0), False),
    ],
)
def test_left_is_toward_positive_y_and_next_to_is_a_gap_of_three_and_a_half_centimeters(
    name: str, place: tuple[float, float], succeeds: bool, make: Make
) -> None:
    env = make("LamTable-v0")
    poses = {"blue_cube": [0.4, -0.1, 0.02, 0, 0, 0, 1], "slab": [0.5, -0.28, 0.02, 0, 0, 0, 1]}
    poses |= {
        f"{color}_cube": [0.3, -0.25 + 0.1 * k, 0.02, 0, 0, 0, 1] for k, color in enumerate(("green", "yellow"))
    }
    poses["red_cube"] = [0.4 + place[0], -0.1 + place[1], 0.02, 0, 0, 0, 1]
    _, info = env.reset(seed=0, options={"command": numbers_of(name), "poses": poses})
    assert bool(info["is_success"]) == bool(info["is_placed"]) == succeeds


# Cheats and other instructions


def check_cheat(env: gym.Env[Any, Any], name: str, seed: int) -> None:
    cheat = CHEATS[name]
    command = numbers_of(cheat.command)
    options = {"command": command}
    episode = cheats.play(env, seed, lambda look: cheat.play(lambda: view(look(), command), command), options)
    assert cheat.shows(episode, [view(m.features, command) for m in episode]), "the cheat did not do what it says"
    assert not any(m.info["is_success"] for m in episode)
    assert max(m.reward for m in episode) <= 0
    assert sum(m.reward for m in episode) < total(env, seed, options)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name == "throw" else SLOW) for name in CHEATS])
def test_a_cheat_is_no_success_at_any_step_and_returns_less_than_the_expert(name: str, make: Make) -> None:
    check_cheat(make("LamTable-v0", max_episode_steps=70), name, 0)


@SLOW
@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_no_success_on_any_arm(name: str, robot: str, make: Make) -> None:
    check_cheat(make("LamTable-v0", robot=robot), name, 1)


def others(env: gym.Env[Any, Any]) -> list[Command]:
    """Return the commands that differ from the present one by one word, and can be executed."""
    layout = layout_of(inner(env).simulation, OBJECTS)
    verb, one, other = inner(env).command
    pairs = {"left": "right", "open": "close", "bin": "drawer", "lift": "bin", "stack": "left", "push": "right"}
    swaps = {VERBS.index(a): VERBS.index(b) for pair in pairs.items() for a, b in (pair, pair[::-1])}
    return [
        command
        for command in Table().commands()
        if command != (verb, one, other)
        and (
            (command[0] == verb and (command[1] == one or command[2] == other))
            or (command[0] == swaps[verb] and command[1:] == (one, other))
        )
        and is_feasible(layout, command)
        and not is_placed(layout, command)
    ]


def obey_another(env: gym.Env[Any, Any], seed: int, steps: int = 60) -> bool | None:
    """Return the success of a policy that does what another instruction says; None if there is none."""
    env.reset(seed=seed)
    found = others(env)
    if not found:
        return None
    command = np.array(found[seed % len(found)])
    for _ in range(steps):
        features = inner(env).features()
        action = inner(env).action_for(EXPERT.act({**features, COMMAND: command}), features)
        *_, info = env.step(action)
    return bool(info["is_success"])


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(100, 250), marks=SLOW)])
def test_a_policy_that_does_what_another_instruction_says_never_succeeds(seeds: range, make: Make) -> None:
    env = make("LamTable-v0")
    results = [found for seed in seeds if (found := obey_another(env, seed)) is not None]
    assert len(results) >= 0.6 * len(seeds)
    assert sum(results) <= 0.02 * len(results)


@SLOW
def test_neither_idling_nor_chance_returns_as_much_as_the_expert(make: Make) -> None:
    env = make("LamTable-v0")
    env.action_space.seed(0)
    for policy in (lambda: np.zeros(4, dtype=np.float32), env.action_space.sample):
        env.reset(seed=1)
        found, truncated = 0.0, False
        while not truncated:
            _, reward, _, truncated, info = env.step(policy())
            assert not info["is_success"]
            found += float(reward)
        assert found < total(env, 1, {})


# Experts


@pytest.mark.parametrize(
    ("robot", "verb"),
    [
        pytest.param(robot, verb, marks=[] if (robot, verb) in (("xarm6", "push"), ("ur5e", "bin")) else SLOW)
        for robot in ROBOTS
        for verb in VERBS
    ],
)
def test_the_expert_does_what_the_instruction_says(robot: str, verb: str, make: Make) -> None:
    env = make("LamTable-v0", robot=robot, commands=[verb])
    assert play(env, 10).succeeded


@SLOW
@pytest.mark.parametrize("keywords", [{"instruct": True}, {"obs": "goal"}, {"control": "discrete"}], ids=str)
def test_the_expert_acts_in_every_mode(keywords: dict[str, Any], make: Make) -> None:
    env = make("LamTable-v0", **keywords)
    assert sum(play(env, seed).succeeded for seed in range(4)) >= 3


# Successive commands


def test_the_next_instruction_comes_when_a_command_is_done(make: Make) -> None:
    env = make("LamTable-v0", chain=3, commands=["open", "close"], instruct=True)
    played = play(env, 4)
    assert played.succeeded
    assert len(played.instructions) == 3
    changes = np.diff(played.completed)
    assert sorted(changes[changes != 0].tolist()) == [1, 1, 1]
    assert played.completed[-1] == 3
    observation, info = env.reset(seed=4)
    assert decode_instruction(observation["instruction"]) == decode_instruction(info["instruction"])


@SLOW
@pytest.mark.parametrize("robot", ROBOTS)
def test_the_expert_does_five_commands_in_turn(robot: str, make: Make) -> None:
    env = make("LamTable-v0", robot=robot, chain=5)
    played = [play(env, seed) for seed in range(3)]
    assert sum(one.completed[-1] for one in played) >= 13


def lift_twice(env: gym.Env[Any, Any], seed: int) -> Iterator[Any]:
    """Yield the actions of a chain of commands to lift."""
    expert = make_expert(env)
    observation, _ = env.reset(seed=seed)
    for _ in range(30):
        action = expert.predict(observation)[0]
        yield action
        observation, *_ = env.step(action)


@pytest.mark.parametrize("robot", [pytest.param(robot, marks=[] if robot == "iiwa" else SLOW) for robot in ROBOTS])
def test_a_state_continues_the_commands_of_a_chain_exactly(robot: str, make: Make) -> None:
    env, other = (make("LamTable-v0", robot=robot, chain=3, commands=["lift"], instruct=True) for _ in range(2))
    actions = list(lift_twice(env, 5))
    here, there = inner(env), inner(other)
    expected = traces.trace(env, 5, actions)
    command, instruction = here.command, here.instruction
    state, physical = here.get_state(), here.physical_state()
    assert traces.trace(other, 5, actions) == expected
    other.reset(seed=6)
    there.set_state(state)
    assert (there.command, there.instruction) == (command, instruction)
    np.testing.assert_array_equal(there.physical_state(), physical)
    other.reset(seed=6)
    there.set_state(physical)
    assert (there.command, there.instruction) == (command, instruction)
    np.testing.assert_array_equal(there.features()["tool/position"], here.features()["tool/position"])
    _, info = there.set_state(state)
    assert info["completed"] == 1
    assert here.instruction_of(physical) == instruction


# Datasets and checkers


@pytest.mark.parametrize("chain", [1, pytest.param(2, marks=SLOW)])
def test_demonstrations_are_replayed_exactly(chain: int, tmp_path: Path) -> None:
    keywords = {"commands": ["lift", "close"], "chain": chain}
    if chain == 1:
        keywords["max_episode_steps"] = 45
    dataset = demos.collect("LamTable-v0", episodes=3 - chain, seed=0, env_kwargs=keywords, root=tmp_path)
    assert demos.replay(dataset).identical == 3 - chain
    for episode in dataset.iterate_episodes():
        assert episode.infos["completed"][-1] == chain
        assert ("instruction" in episode.infos) == (chain > 1)


@pytest.mark.parametrize("env_id", [pytest.param("LamTable-v0"), pytest.param("LamTableGoal-v0", marks=SLOW)])
def test_checkers_accept_the_environment(env_id: str) -> None:
    env = gym.make(env_id, instruct=True, chain=2)
    check_env(env.unwrapped, skip_render_check=True)
    check_env_of_sb3(env.unwrapped)
    env.close()
