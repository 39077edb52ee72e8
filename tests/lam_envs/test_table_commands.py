"""Commands of Table: any of them is evaluated, own wording, their time limit, and cubes that an episode lacks."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from demos.experts import make_expert
from lam_envs import ManipulationEnv
from lam_envs.tasks.table import Table
from lam_envs.tasks.table.commands import CUBES, VERBS
from tests.conftest import Make
from tests.lam_envs.above import Above


def test_any_command_can_be_evaluated_and_that_changes_nothing(make: Make) -> None:
    env: Any = make("LamTable-v0", commands=["lift"], cubes=3)
    observation, info = env.reset(seed=1)
    expert = make_expert(env)
    own = env.unwrapped.command
    absent = next(one for one in Table(commands=["lift"]).commands() if one not in env.unwrapped.feasible_commands)
    opened = env.unwrapped.find_command("open the drawer")
    assert opened is None  # no command of this environment
    found = env.unwrapped.find_command(env.unwrapped.instruction)
    assert found == own
    for _ in range(100):
        flags = env.unwrapped.evaluate_command(own)
        assert flags == {name: bool(info[name]) for name in flags}
        assert not env.unwrapped.evaluate_command(absent)["is_success"]
        observation, _, _, _, info = env.step(expert.predict(observation)[0])
    assert flags["is_success"]
    with pytest.raises(ValueError, match="no command of table"):
        env.unwrapped.evaluate_command((8, 0, 0))


def test_wording_has_no_other_sentences_of_known_words() -> None:
    message = (
        r"'known-words', and task table has no such sentence for the command \(8, 0, 0\); expected train or held"
    )
    with pytest.raises(ValueError, match=message):
        gym.make("LamTable-v0", wording={"close": ["shut it now"]}, paraphrases="known-words")


def test_own_wording_replaces_the_sentences_of_a_verb(make: Make) -> None:
    env: Any = make("LamTable-v0", commands=["bin"], wording={"bin": ["recycle {x}"]})
    env.reset(seed=0)
    assert env.unwrapped.instruction.startswith("recycle the ")
    assert env.unwrapped.find_command(env.unwrapped.instruction) == env.unwrapped.command
    same: Any = make("LamTable-v0", commands=["bin"])
    same.reset(seed=0)
    # Only the sentence differs.
    assert same.unwrapped.command == env.unwrapped.command
    np.testing.assert_array_equal(
        same.unwrapped.features()["tool/position"], env.unwrapped.features()["tool/position"]
    )


@pytest.mark.parametrize("written", ["Recycle the red cube", " recycle the red cube.", "RECYCLE the red cube !! "])
def test_case_white_space_and_final_punctuation_of_a_sentence_are_ignored(make: Make, written: str) -> None:
    env: Any = make("LamTable-v0", wording={"bin": ["Recycle {x}."]})
    assert env.unwrapped.find_command(written) == (VERBS.index("bin"), 0, 0)
    assert env.unwrapped.find_command("recycle, the red cube") is None
    env.reset(seed=0, options={"instruction": "Open the drawer."})
    assert env.unwrapped.command == (VERBS.index("open"), 0, 0)
    assert env.unwrapped.instruction == "Open the drawer."  # the agent gets the sentence as it was written


@pytest.mark.parametrize(
    ("wording", "both"),
    [
        ({"bin": ["recycle {x}"], "drawer": ["Recycle {x}."]}, "'bin red_cube' and 'drawer red_cube'"),
        ({"bin": ["lift {x}"]}, "'lift red_cube' and 'bin red_cube'"),
        ({"push": ["join {x} and {y}"], "stack": ["join {y} and {x}"]}, "'push .*' and 'stack .*'"),
        ({"open": ["use the drawer"], "close": ["use the drawer"]}, "'open' and 'close'"),
    ],
)
def test_a_sentence_for_two_commands_is_refused(wording: Any, both: str) -> None:
    with pytest.raises(ValueError, match=f"asks for both {both}; expected different sentences"):
        Table(wording=wording)


def test_a_sentence_of_a_command_that_is_left_out_can_be_used() -> None:
    assert Table(commands=["bin"], wording={"bin": ["lift {x}"]}).instructions_for((3, 0, 0)).train == (
        "lift the red cube",
    )


@pytest.mark.parametrize(
    ("wording", "error"),
    [
        (["recycle {x}"], "expected a dict of sentences by verb"),
        ({"throw": ["recycle {x}"]}, "unknown verb 'throw'"),
        ({"bin": "recycle {x}"}, "expected a list of sentences"),
        ({"bin": []}, "expected a list of sentences"),
        ({"bin": ["recycle it"]}, r"expected \{x\} once, and no other name in braces"),
        ({"bin": ["recycle {x.__class__}"]}, r"expected \{x\} once"),
        ({"open": ["open {x}"]}, "expected no name in braces"),
        ({"stack": ["put {x} up"]}, r"expected \{x\} and \{y\} once"),
        ({"bin": ["a" * 124 + " {x}"]}, "with names, has 140 bytes; expected at most 128"),
    ],
)
def test_invalid_wording_is_refused(wording: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Table(wording=wording)


def test_the_time_limit_of_a_command_is_checked_and_ends_episodes(make: Make) -> None:
    for wrong in (0, -1, 2.0, True, "300"):
        with pytest.raises(ValueError, match=f"steps_per_command is {wrong!r}; expected a positive whole number"):
            gym.make("LamTable-v0", steps_per_command=wrong)
    env = make("LamTable-v0", steps_per_command=np.int64(2), chain=2)
    env.reset(seed=0)
    ends = [env.step(np.zeros(4, np.float32))[3] for _ in range(4)]
    assert ends == [False, False, False, True]


def test_a_task_of_your_own_needs_a_time_limit_for_each_command(make: Make) -> None:
    with pytest.raises(ValueError, match="task 'above' has no time limit for each command; set it with steps_per"):
        gym.make("LamTable-v0", task=Above())
    env = make("LamTable-v0", task=Above(), steps_per_command=2)
    env.reset(seed=0)
    assert [env.step(np.zeros(4, np.float32))[3] for _ in range(2)] == [False, True]


@pytest.mark.parametrize(("keyword", "meant"), [("step_per_command", "steps_per_command"), ("chian", "chain")])
def test_the_error_for_a_misspelled_keyword_names_those_of_the_id(keyword: str, meant: str) -> None:
    with pytest.raises(TypeError, match=rf"'{keyword}' \(did you mean '{meant}'\?\)\. Known: .*, steps_per_command"):
        gym.make("LamTable-v0", **{keyword: 2})  # type: ignore[arg-type]


@pytest.mark.parametrize("command", [(0, 5, 0), (99, 0, 0), (), "lift", None], ids=repr)
def test_only_a_command_of_the_task_has_instructions(command: Any) -> None:
    env = ManipulationEnv(task="table")
    with pytest.raises(ValueError, match="the command is"):
        env.instructions_for(command)


@pytest.mark.parametrize("instruction", [5, None, b"open the drawer"], ids=repr)
def test_only_a_text_asks_for_a_command(instruction: Any) -> None:
    with pytest.raises(ValueError, match=r"the instruction is .*; expected a string, such as '.*': pass one of"):
        ManipulationEnv(task="table").find_command(instruction)


def test_wide_images_of_the_side_do_not_show_absent_cubes(make: Make) -> None:
    env: Any = make("LamTable-v0", cubes=3, cameras=("side",), image_width=256, image_height=64, depth=True)
    env.reset(seed=0)
    images = env.unwrapped.camera_images()
    bodies = env.unwrapped.simulation.bodies
    for name in (absent := [name for name in CUBES if bodies[name].motion().position[0] > 3.0]):
        motion = bodies[name].motion()
        bodies[name].set_motion(motion._replace(position=(50.0, *motion.position[1:])))
    assert len(absent) == 2
    for name, image in env.unwrapped.camera_images().items():
        np.testing.assert_array_equal(image, images[name])


def test_a_pose_of_an_absent_cube_has_no_effect(make: Make) -> None:
    env: Any = make("LamTable-v0", cubes=3, commands=["open"])
    env.reset(seed=0)
    before = env.unwrapped.physical_state()
    absent = [name for name in CUBES if env.unwrapped.features()[f"{name}/present"] == 0.0]
    poses = {name: [0.4, 0.1, 0.02, 0.0, 0.0, 0.0, 1.0] for name in absent}
    env.reset(seed=0, options={"poses": poses})
    assert len(absent) == 2
    np.testing.assert_array_equal(env.unwrapped.physical_state(), before)
