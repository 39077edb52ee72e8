"""Every episode has an instruction; observations, infos and states hold it as bytes."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3

from demos.experts import COMMAND, EXPERTS, ExpertPolicy
from lam_envs import decode_instruction, encode_instruction
from lam_envs.env import ManipulationEnv
from lam_envs.observation import Command, Instructions
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS
from lam_envs.tasks import Task, make_task
from tests.conftest import Make
from tests.lam_envs.above import Above


def words(sentence: str) -> set[str]:
    return set(re.findall(r"[a-z]+", sentence.lower()))


class TwoCommands(Above):
    """Task with two commands."""

    name = "two_commands"
    command_high = (1,)
    instructions = Instructions(train=("stay {side} of the mark",), held_out=("remain {side}",))

    def instructions_for(self, command: Command) -> Instructions:
        assert self.instructions is not None
        return self.instructions.fill(side=("above", "below")[command[0]])


@pytest.mark.parametrize("name", TASKS)
def test_each_command_has_six_sentences_for_training_and_three_others_with_new_words(name: str) -> None:
    task = make_task(name)
    known = {
        word for command in task.commands() for text in task.instructions_for(command).train for word in words(text)
    }
    for command in task.commands():
        instructions = task.instructions_for(command)
        sentences = (*instructions.train, *instructions.held_out)
        assert len(instructions.train) >= 6
        assert len(instructions.held_out) >= 3
        assert len(set(sentences)) == len(sentences)
        for sentence in sentences:
            assert decode_instruction(encode_instruction(sentence)) == sentence
            assert "{" not in sentence
        for sentence in instructions.held_out:
            assert words(sentence) - known
        for sentence in instructions.known_words:
            assert words(sentence) <= known
            assert sentence not in sentences


def test_sentences_of_known_words_are_given_where_a_task_has_some() -> None:
    env = gym.make("LamTable-v0", instruct=True, paraphrases="known-words", commands=["open"])
    observation, _ = env.reset(seed=1)
    sentences = env.unwrapped.instructions_for(env.unwrapped.command)  # type: ignore[attr-defined]
    assert decode_instruction(observation["instruction"]) in sentences.known_words
    env.close()
    assert all(make_task("table").instructions_for(command).known_words for command in make_task("table").commands())
    with pytest.raises(ValueError, match="task reach has no such sentence; expected train or held-out"):
        gym.make("LamReach-v0", paraphrases="known-words")


class Disobedient:
    """Expert that does what another command asks for."""

    version = 1

    def __init__(self, task: str, command: Command) -> None:
        self._expert = EXPERTS[task]
        self._command = np.array(command)

    def act(self, features: Any) -> Any:
        return self._expert.act({**features, COMMAND: self._command})


WITH_COMMANDS = [name for name in TASKS if len(make_task(name).commands()) > 1]
FEW, MANY = range(600_000, 600_002), range(600_000, 600_100)


@pytest.mark.parametrize(
    ("task", "robot", "seeds"),
    [
        pytest.param(task, robot, seeds, marks=[] if seeds == FEW and task != "table" else pytest.mark.slow)
        for task in WITH_COMMANDS
        for robot in ROBOTS
        for seeds in ((FEW, MANY) if robot == "panda" else (MANY,))
    ],
)
@pytest.mark.timeout(1800)
def test_a_policy_that_does_what_another_instruction_asks_for_never_succeeds(
    task: str, robot: str, seeds: range, make: Make
) -> None:
    env: Any = make(env_id(task), robot=robot)
    successes = []
    for seed in seeds:
        observation, info = env.reset(seed=seed)
        others = [command for command in env.unwrapped.feasible_commands if command != env.unwrapped.command]
        policy = ExpertPolicy(Disobedient(task, others[seed % len(others)]), env)
        over = False
        while not over:
            observation, _, _, over, info = env.step(policy.predict(observation)[0])
        if info["is_success"]:
            successes.append(seed)
    assert len(successes) <= 0.02 * len(seeds), successes


@pytest.mark.parametrize("obs", ["state", pytest.param("goal", marks=pytest.mark.slow), "pixels"])
def test_checkers_and_vector_environments_accept_observed_instructions(obs: str) -> None:
    kwargs = {"obs": obs, "instruct": True, "image_width": 8, "image_height": 8}
    env = gym.make("LamReach-v0", **kwargs)
    check_env(env.unwrapped, skip_render_check=True)
    check_env_of_sb3(env.unwrapped)
    env.close()
    vector = SyncVectorEnv([lambda: gym.make("LamReach-v0", **kwargs)] * 2)
    observations, infos = vector.reset(seed=3)
    texts = [decode_instruction(row) for row in observations["instruction"]]
    assert texts == [decode_instruction(row) for row in infos["instruction"]]
    assert texts == [each.unwrapped.instruction for each in vector.envs]
    vector.close()


def test_the_seed_selects_the_sentence_and_episodes_do_not_depend_on_it(make: Make) -> None:
    plain, other = make("LamGrasp-v0"), make("LamGrasp-v0", instruct=True, paraphrases="held-out")
    sentences = make_task("grasp").instructions_for(())
    seen = set()
    for seed in range(8):
        vector, info = plain.reset(seed=seed)
        observation, _ = other.reset(seed=seed)
        np.testing.assert_array_equal(vector, observation["state"])
        assert decode_instruction(info["instruction"]) == plain.unwrapped.instruction  # type: ignore[attr-defined]
        assert plain.unwrapped.instruction in sentences.train  # type: ignore[attr-defined]
        assert decode_instruction(observation["instruction"]) in sentences.held_out
        seen.add(plain.unwrapped.instruction)  # type: ignore[attr-defined]
    assert len(seen) > 2


def test_experts_read_features_of_observations_with_instructions(make: Make) -> None:
    env: Any = make("LamGraspGoal-v0", instruct=True).unwrapped
    observation, _ = env.reset(seed=0)
    now = env.features()
    for name, value in env.features(observation).items():
        np.testing.assert_allclose(value, now[name], atol=1e-5)


@pytest.mark.parametrize("kwargs", [{}, {"instruct": True}])
def test_a_state_continues_with_its_instruction(kwargs: dict[str, Any], make: Make) -> None:
    env: Any = make("LamReach-v0", **kwargs).unwrapped
    other: Any = make("LamReach-v0", **kwargs).unwrapped
    for seed in range(2):
        env.reset(seed=seed)
        env.step(env.action_space.sample())
        other.set_state(env.get_state())
        assert other.instruction == env.instruction == env.instruction_of(env.get_state())
        assert pickle.loads(pickle.dumps(env)).instruction == copy.deepcopy(env).instruction == env.instruction


def test_own_words_are_a_part_of_the_state_where_they_are_observed(make: Make) -> None:
    env: Any = make("LamReach-v0", instruct=True).unwrapped
    observation, info = env.reset(seed=0, options={"instruction": "va où c'est vert"})
    assert (
        decode_instruction(observation["instruction"]) == decode_instruction(info["instruction"]) == env.instruction
    )
    observation, *_ = env.step(env.action_space.sample())
    state = env.physical_state()
    env.reset(seed=1)
    assert env.instruction != "va où c'est vert"
    observation, _ = env.set_state(state)
    assert decode_instruction(observation["instruction"]) == env.instruction == "va où c'est vert"


def test_a_command_is_sampled_and_can_be_set_by_its_number_or_its_sentence() -> None:
    env = ManipulationEnv(task=TwoCommands(), instruct=True)
    commands = set()
    for seed in range(8):
        env.reset(seed=seed)
        commands.add(env.command)
        side = ("above", "below")[env.command[0]]
        assert env.instruction == f"stay {side} of the mark"
    assert commands == {(0,), (1,)} == set(env.commands)
    for options, command, sentence in (
        ({"command": (1,)}, (1,), "stay below of the mark"),
        ({"command": np.array([0])}, (0,), "stay above of the mark"),
        ({"instruction": "remain below"}, (1,), "remain below"),
        ({"instruction": "up there", "command": [0]}, (0,), "up there"),
    ):
        observation, _ = env.reset(seed=0, options=options)
        assert (env.command, env.instruction) == (command, sentence)
        state = env.physical_state()
        env.reset(seed=5)
        env.set_state(state)
        assert (env.command, env.instruction) == (command, sentence)
        assert decode_instruction(observation["instruction"]) == sentence
    env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instruction": ""}, r"'instruction' is ''; expected a text that is not empty"),
        ({"instruction": 3}, r"'instruction' is 3; expected a text"),
        ({"instruction": "go\0there"}, r"expected a text that is not empty and has no control characters"),
        ({"instruction": "x" * 129}, r"'instruction' has 129 bytes; expected at most 128"),
        ({"instruction": "dance"}, r"'dance', whose command is unknown; .* 'stay above of the mark', or also"),
        ({"command": (2,)}, r"'command' is \(2,\); expected 1 integers \(0 to 1\)"),
        ({"command": "up"}, r"'command' is 'up'; expected 1 integers"),
        ({"command": (0.5,)}, r"'command' is \(0.5,\); expected"),
        ({"command": None}, r"'command' is None; expected"),
    ],
)
def test_invalid_requests_are_refused_and_the_episode_continues(options: dict[str, Any], message: str) -> None:
    env = ManipulationEnv(task=TwoCommands())
    env.reset(seed=0)
    before = env.get_state()
    with pytest.raises(ValueError, match=message):
        env.reset(seed=1, options=options)
    np.testing.assert_array_equal(env.get_state(), before)
    env.close()


@pytest.mark.parametrize(("number", "value"), [(-1, 0.5), (-64, 300.0 * 256 * 256), (-65, 1e5), (-66, 2.0)])
def test_a_state_with_a_damaged_request_is_refused(number: int, value: float) -> None:
    env = ManipulationEnv(task=TwoCommands())
    env.reset(seed=0)
    state = env.physical_state()
    state[number] = value
    with pytest.raises(ValueError, match="state"):
        env.set_state(state)
    env.close()


@pytest.mark.parametrize(
    "encoded", [np.full(4, 255, np.uint8), np.array([65, 0, 66]), np.zeros((2, 2)), np.array([-1])]
)
def test_bytes_that_are_no_instruction_are_refused(encoded: Any) -> None:
    with pytest.raises(ValueError, match="instruction"):
        decode_instruction(encoded)


def test_a_task_without_sentences_has_its_name_as_instruction() -> None:
    assert issubclass(Above, Task)
    env = ManipulationEnv(task=Above())
    env.reset(seed=0)
    assert env.instruction == Above.name.replace("_", " ")
    env.close()
