"""A person types instructions; the model acts, and reports what it does not know and what is not there."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import agents
from agents.__main__ import app
from agents.deployment.talk.conversation import REST_STEPS, Conversation
from agents.imitation.lam.agent import Lam
from agents.imitation.lam.language import parse
from lam_envs import ManipulationEnv
from lam_envs.tasks.table.commands import CUBES

from ...conftest import Make
from ..lam.scenes import policy_of
from .sides import Sides, SidesWithGoals

COLORED = [name.replace("_", " ") for name in CUBES]
"""Names of the cubes; a scene lacks some of them."""


@pytest.fixture
def conversation(make: Make) -> Conversation:
    env = make("LamTable-v0", instruct=True)
    policy = policy_of(env)
    policy.network.sentences.extend([parse("lift the cube and put it in", [])])
    return Conversation(policy, env, seed=0)


def test_unknown_words_and_missing_objects_are_reported(conversation: Conversation) -> None:
    assert "slab" in conversation.objects
    assert conversation.unknown_words("lift the slab") == []
    assert conversation.unknown_words("hoist the slab, hoist the banana") == ["hoist", "banana"]
    missing = [name for name in COLORED if name not in conversation.objects]
    assert missing
    assert conversation.missing_objects(f"put the {missing[0]} in the bin") == missing[:1]
    assert conversation.missing_objects("put the slab in the bin") == []


def test_an_object_that_the_environment_cannot_name_is_refused(conversation: Conversation) -> None:
    missing = next(name for name in COLORED if name not in conversation.objects)
    for instruction, expected in (
        ("lift the orange cup", "The scene has no orange cup."),
        ("put the slab in the basket", "The scene has no basket."),
        (f"put the {missing} on the plate", f"The scene has no {missing}, no plate."),
    ):
        assert conversation.answers(instruction) == [(expected, True)]


def test_words_that_only_the_model_does_not_know_do_not_stop_the_robot(conversation: Conversation) -> None:
    found = {
        instruction: conversation.answers(instruction)
        for instruction in ("hoist the slab", "yank the heavy slab", "put the slab in the furniture")
    }
    assert {instruction: [tuple(each) for each in answers] for instruction, answers in found.items()} == {
        "hoist the slab": [("Words that the model has not learned: hoist.", False)],
        "yank the heavy slab": [("Words that the model has not learned: yank, heavy.", False)],
        "put the slab in the furniture": [("Words that the model has not learned: furniture.", False)],
    }


def test_a_model_of_images_talks_about_the_objects_of_the_scene(make: Make, tmp_path: Path) -> None:
    keywords = {"instruct": True, "image_width": 24, "image_height": 24}
    env = make("LamTablePixels-v0", **keywords)
    folder = agents.make("lam", env, width=8).save(tmp_path / "lam")
    conversation = Conversation(Lam.load(folder, env).policy, env, seed=0)
    twin = make("LamTable-v0", instruct=True)
    assert conversation.objects == Conversation(policy_of(twin), twin, seed=0).objects
    missing = next(name for name in COLORED if name not in conversation.objects)
    assert conversation.missing_objects(f"put the {missing} in the bin") == [missing]
    pixels = [f"{name}={value}" for name, value in keywords.items() if name != "instruct"]
    given = [part for each in pixels for part in ("--env-kwargs", each)]
    said = ["--instruction", f"lift the {missing}", "--instruction", "lift the slab", "--max-steps", "1"]
    done = CliRunner().invoke(app, ["talk", str(folder), "--env", "LamTablePixels-v0", *given, *said])
    assert done.exit_code == 0, done.output
    assert f"The scene has: {', '.join(conversation.objects)}" in " ".join(done.stdout.split())
    assert f"The scene has no {missing}." in done.stdout
    assert "after 1 steps" in done.stdout


def test_an_instruction_is_followed_in_the_scene_until_the_tool_rests(conversation: Conversation) -> None:
    first = list(conversation.follow("lift the slab", max_steps=3))
    assert first == [1, 2, 3]
    env: Any = conversation._env
    env.features = lambda: {"tool/velocity": np.zeros(3)}
    assert list(conversation.follow("lift the slab", max_steps=100)) == list(range(1, REST_STEPS + 1))
    with pytest.raises(ValueError, match="expected a text that is not empty"):
        next(conversation.follow(" ", max_steps=3))


def test_an_environment_without_instructions_is_refused(make: Make) -> None:
    env = make("LamReach-v0")
    with pytest.raises(ValueError, match="make it with instruct=True"):
        Conversation(policy_of(env), env, seed=0)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Sides(), "Success is unknown: the task does not define goal_of."),
        (SidesWithGoals(), "Not done: stopped after"),
    ],
)
def test_success_in_a_third_partys_task_is_known_if_it_defines_goal_of(task: Sides, expected: str) -> None:
    with closing(ManipulationEnv(task=task, instruct=True)) as env:
        conversation = Conversation(policy_of(env), env, seed=0)
        for instruction in ("hold the tool on the left", "hold the tool on the right"):
            assert not any(answer.is_refusal for answer in conversation.answers(instruction))
            assert len(list(conversation.follow(instruction, max_steps=2))) == 2
            assert expected in conversation.result()
        list(conversation.follow("do something else", max_steps=2))
        assert conversation.result() == "Stopped after 2 steps."


def test_a_command_without_a_goal_cannot_be_evaluated() -> None:
    with closing(ManipulationEnv(task=Sides())) as env:
        env.reset(seed=0)
        assert not env.can_evaluate((0,))
        with pytest.raises(
            NotImplementedError, match="task sides cannot evaluate a command: define goal_of in Sides"
        ):
            env.evaluate_command((0,))
        with pytest.raises(ValueError, match="the command is"):
            env.can_evaluate((2,))


def test_a_session_in_a_terminal(make: Make, tmp_path: Path) -> None:
    agent = agents.make("lam", make("LamReach-v0"), width=8)
    folder = str(agent.save(tmp_path / "lam"))
    command = ["talk", folder, "--env", "LamReach-v0", "--max-steps", "2", "--video", str(tmp_path / "talk.mp4")]
    done = CliRunner().invoke(app, command, input="put the tool at the goal\n\n")
    assert done.exit_code == 0, done.stderr
    unknown = "Words that the model has not learned: put, the, tool, at."
    for words in ("The scene has: goal", unknown, "Stopped after 2 steps."):
        assert words in done.stdout
    assert (tmp_path / "talk.mp4").stat().st_size > 0


def test_ctrl_c_ends_a_session_with_a_video_and_the_video_is_written(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = agents.make("lam", make("LamReach-v0"), width=8).save(tmp_path / "lam")
    before, follow = signal.getsignal(signal.SIGINT), Conversation.follow

    def interrupted(self: Conversation, instruction: str, max_steps: int) -> Any:
        for step in follow(self, instruction, max_steps):
            if step == 3:
                os.kill(os.getpid(), signal.SIGINT)
            yield step

    monkeypatch.setattr(Conversation, "follow", interrupted)
    said = ["--instruction", "put the tool at the goal"] * 2
    command = ["talk", str(folder), "--env", "LamReach-v0", *said, "--video", str(tmp_path / "talk.gif")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "after" not in done.output, "it went on"
    assert (tmp_path / "talk.gif").stat().st_size > 0
    assert signal.getsignal(signal.SIGINT) is before


def test_an_invalid_sentence_does_not_end_a_session_in_a_terminal(make: Make, tmp_path: Path) -> None:
    folder = str(agents.make("lam", make("LamReach-v0"), width=8).save(tmp_path / "lam"))
    command = ["talk", folder, "--env", "LamReach-v0", "--max-steps", "2"]
    done = CliRunner().invoke(app, command, input=f"{'x' * 129}\nput the tool at the goal\n\n")
    assert "error: the instruction has 129 bytes" in done.output
    assert "after 2 steps" in done.output
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (["--instruction", "reach", "--instruction", ""], "--instruction is ''"),
        (["--instruction", "reach", "--max-steps", "0"], "--max-steps is 0; expected at least 1"),
        (["--web", "--port", "65536"], "port is 65536; expected 0 to 65535"),
    ],
)
def test_invalid_options_are_refused(make: Make, tmp_path: Path, given: list[str], error: str) -> None:
    folder = str(agents.make("lam", make("LamReach-v0"), width=8).save(tmp_path / "lam"))
    done = CliRunner().invoke(app, ["talk", folder, "--env", "LamReach-v0", *given])
    assert done.exit_code == 2
    assert error in done.output
    assert "after" not in done.output
