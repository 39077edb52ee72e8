"""Nouns that an environment cannot name are found in sentences, and other unknown words are not taken for nouns."""

from __future__ import annotations

import pytest

from agents.deployment.talk.nouns import NounFinder
from lam_envs.observation.instructions import SPLITS
from lam_envs.tasks import TASKS, make_task

ENTITIES = ("red_cube", "blue_cube", "slab", "bin")
SENTENCES = (
    "lift the red cube",
    "pick up the slab",
    "put the red cube to the left of the blue cube",
    "hoist the slab",
)


@pytest.fixture
def nouns() -> NounFinder:
    return NounFinder(ENTITIES, SENTENCES)


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("lift the orange cup", ["orange cup"]),
        ("Lift the ORANGE cup!", ["orange cup"]),
        ("lift orange cup", ["orange cup"]),
        ("pick up bananas", ["bananas"]),
        ("put the red cube in the basket", ["basket"]),
        ("put a cup to the left of my plate", ["cup", "plate"]),
        ("lift the cup gently", ["cup"]),
        ("lift the orange cube", ["orange cube"]),
        ("lift the left cup", ["left cup"]),
        ("take the cup and the cup", ["cup"]),
    ],
)
def test_a_noun_that_the_environment_cannot_name_is_unknown(
    nouns: NounFinder, instruction: str, expected: list[str]
) -> None:
    assert nouns.unknown(instruction) == expected


@pytest.mark.parametrize(
    "instruction",
    [
        "grab the slab",
        "please grab the slab and yank it",
        "lift the heavy red cube",
        "lift the red cube high",
        "lift the red cube a little",
        "lift gently the red cube",
        "lift the red thing",
        "lift the cubes",
        "lift the two cubes",
        "lift it by a centimeter",
        "lift the red cube a centimeter",
        "lift hard",
        "move the robot's arm home",
        "move the gripper to the right",
        "pick up",
        "lift the",
        "dance",
        "",
    ],
)
def test_other_unknown_words_are_no_unknown_nouns(nouns: NounFinder, instruction: str) -> None:
    assert nouns.unknown(instruction) == []


@pytest.mark.parametrize("name", TASKS)
def test_every_sentence_of_a_task_has_nouns_that_it_knows(name: str) -> None:
    task = make_task(name)
    worded = [task.instructions_for(command) for command in task.commands()]
    sentences = [text for each in worded for split in SPLITS for text in each.split(split)]
    nouns = NounFinder((), sentences)
    assert [text for text in sentences if nouns.unknown(text)] == []
    assert nouns.unknown("lift the orange cup") == ["orange cup"]


def test_a_task_without_sentences_knows_its_entities() -> None:
    assert NounFinder(["crate"], ["my-task"]).unknown("lift the crate, lift the cup") == ["cup"]


def test_a_word_that_the_model_has_learned_is_no_unknown_noun(nouns: NounFinder) -> None:
    assert nouns.unknown("put the slab in the trash") == ["trash"]
    assert NounFinder(ENTITIES, SENTENCES, ["trash"]).unknown("put the slab in the trash") == []
