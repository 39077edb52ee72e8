"""Recipes name the datasets that one agent learns from."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import demos
from agents.__main__ import app as agents_app
from demos.__main__ import app
from demos.collection.catalog.recipe import collect_recipe, read_recipe, recipe_names
from demos.collection.plan import Plan
from lam_envs import ENV_IDS

TEXT = """
description: Reach by two demonstrators.
seed: 3
datasets:
  - {environments: [LamReach-v0], demonstrations: 2, demonstrator: [expert, noisy], env: {robot: xarm6}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_of_the_package_collect_from_environments_that_exist(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.description
    assert {plan["env_id"] for plan in recipe.plans()} <= set(ENV_IDS)


def test_the_recipe_of_ten_tasks_has_the_datasets_of_six_tasks_and_of_table() -> None:
    ids = {name: {Plan(**plan).default_id() for plan in read_recipe(name).plans()} for name in recipe_names()}
    assert ids["lam-state"] | ids["lam-table"] < ids["lam-all"]


def test_a_recipe_is_one_dataset_for_each_environment_and_demonstrator(recipe: Path, tmp_path: Path) -> None:
    datasets = collect_recipe(read_recipe(recipe), root=tmp_path)
    assert [dataset.id for dataset in datasets] == [
        "lam/LamReach-robot-xarm6-expert-2-seed3-v0",
        "lam/LamReach-robot-xarm6-noisy-2-seed3-v0",
    ]
    other, robot = tmp_path / "other", {"robot": "xarm6"}
    alone = demos.collect("LamReach-v0", episodes=2, seed=3, demonstrator="noisy", env_kwargs=robot, root=other)
    assert demos.checksum(datasets[1]) == demos.checksum(alone)


def test_the_command_lists_recipes_and_shows_the_share_of_each_dataset(recipe: Path, tmp_path: Path) -> None:
    assert "lam-state" in CliRunner().invoke(app, ["recipe"]).output
    done = CliRunner().invoke(app, ["recipe", str(recipe), "--root", str(tmp_path)], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    assert "xarm6-noisy" in done.output
    assert "%" in done.output


def test_lam_learns_from_a_recipe(recipe: Path, tmp_path: Path) -> None:
    arguments = ["--recipe", str(recipe), "--root", str(tmp_path), "--budget", "1", "--eval-episodes", "0"]
    small = ["--config", "batches=2", "--config", "batch_size=32"]
    done = CliRunner().invoke(agents_app, ["train", "lam", *arguments, *small, "--out", str(tmp_path / "agent")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "agent").is_dir()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("description: [", "is not YAML"),
        ("description: a", "seed: Field required"),
        (TEXT + "extra: 1", "extra: Extra inputs are not permitted"),
        (TEXT.replace("demonstrations: 2", "demonstrations: 0"), "datasets.0.demonstrations: "),
        (TEXT.replace("[expert, noisy]", "[expert, expert]"), "has the dataset lam/LamReach-robot-xarm6-expert-2"),
    ],
)
def test_an_invalid_recipe_is_refused_with_the_place(text: str, message: str, recipe: Path) -> None:
    recipe.write_text(text)
    with pytest.raises(ValueError, match=r"recipe .*mine\.yaml") as caught:
        read_recipe(recipe)
    assert message in str(caught.value)


def test_an_unknown_recipe_is_refused_with_those_that_exist() -> None:
    known = "lam-all, lam-joint, lam-pixels, lam-state, lam-table"
    with pytest.raises(ValueError, match=f"unknown recipe 'lam-moon'; expected one of {known}, or a YAML file"):
        read_recipe("lam-moon")


def test_an_id_fits_into_a_file_name_whatever_the_keywords() -> None:
    commands = [f"lift {letter}_cube" for letter in "abcdefghijklmnopqrst"]
    ids = {Plan("LamTable-v0", {"without": commands[:end]}).default_id() for end in (18, 19)}
    assert len(ids) == 2
    assert max(map(len, ids)) <= 140
