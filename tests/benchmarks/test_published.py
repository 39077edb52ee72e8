"""Published results are complete and consistent; benchmarks.analysis.expectations has what is expected of them."""

from __future__ import annotations

import json
import math
from collections import Counter
from fnmatch import fnmatchcase
from functools import cache
from statistics import median
from typing import Any

import pytest

import lam_envs
from agents.evaluation.evaluation import evaluate
from benchmarks.analysis.expectations import EXPECTATIONS, file_figures, suite_figures, unexpected
from benchmarks.analysis.tables import Row, rows
from benchmarks.runner.results import CELLS, VIDEOS
from benchmarks.suite.suite_file import read_suite
from demos.experts import make_expert
from docs.figures import SUITES
from lam_envs.control import CONTROLS
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS
from lam_envs.tasks.table.commands import VERBS

from .suites import EXPERTS, PUBLISHED, published

FILES = ("throughput", "datasets", "learning", "running", "latency", "remote", "vector")


@cache
def core() -> dict[tuple[str, str], Row]:
    """The rows of the published agents, by label and environment."""
    return {(row.agent, row.environment): row for row in table("core")}


@cache
def table(suite: str) -> list[Row]:
    return rows(published(suite)[1])


@cache
def measured(name: str) -> dict[str, Any]:
    return dict(json.loads((PUBLISHED / f"{name}.json").read_text()))


@pytest.mark.parametrize("name", SUITES)
def test_of_a_published_suite_everything_is_measured_and_nothing_else(name: str) -> None:
    measured = {path.stem for path in (PUBLISHED / name / CELLS).iterdir()}
    assert measured == {cell.name for cell in read_suite(name).cells()}, f"run `make benchmark SUITE={name}`"


def test_the_published_videos_are_of_the_agents_that_were_measured() -> None:
    recorded = sorted((PUBLISHED / "core" / VIDEOS).glob("*.json"))
    assert recorded
    for path in recorded:
        measured = json.loads((PUBLISHED / "core" / CELLS / path.name).read_text())
        assert json.loads(path.read_text())["key"] == measured["key"], path.name


def test_every_published_agent_is_measured_by_all_trainings_in_all_episodes() -> None:
    suite = read_suite("core")
    runs = Counter((cell.label, cell.environment) for cell in suite.cells())
    assert {label: row.trainings or 1 for label, row in core().items()} == runs
    for label, row in core().items():
        assert row.episodes == runs[label] * suite.evaluation.episodes, label


@pytest.mark.parametrize(("agent", "other"), [("gail", "bc-100"), ("dagger", "bc"), ("gail", "gail-from-scratch")])
def test_published_agents_that_are_compared_learn_from_as_many_demonstrations(agent: str, other: str) -> None:
    shared = [environment for label, environment in core() if label == other]
    assert shared
    for environment in shared:
        assert core()[agent, environment].demonstrations == core()[other, environment].demonstrations


BUDGETS = {
    # Trainings end with a whole round of steps.
    "gail": (0, 300_000),
    "airl": (0, 300_000),
    "gail-from-scratch": (297_000, 303_000),
    "ppo": (297_000, 303_000),
    "dqfd": (0, 100_000),
    "sac": (100_000, 100_000),
    "sac-her": (100_000, 100_000),
    "dqn": (100_000, 100_000),
}
"""Environment steps, at least and at most, with which published agents are compared."""


def test_published_agents_that_are_compared_take_the_environment_steps_they_may() -> None:
    assert {agent for agent, _ in core()} >= set(BUDGETS)
    for (agent, environment), row in core().items():
        if agent in BUDGETS:
            least, most = BUDGETS[agent]
            assert row.environment_steps is not None
            assert least <= row.environment_steps <= most, (agent, environment)


def test_the_published_ablations_of_dqfd_are_all_there() -> None:
    for environment in ("LamReachDiscrete-v0", "LamGraspDiscrete-v0"):
        for part in ("no-margin", "no-n-step", "uniform-replay", "no-pretraining"):
            assert (f"dqfd-{part}", environment) in core()


def test_every_expectation_is_of_a_published_suite_or_file() -> None:
    agents = {
        "adaptation",
        "core",
        "generalist",
        "generalist-pixels",
        "language",
        "observations",
        "people",
        "randomized",
        "sequence",
        "vision",
    }
    assert set(EXPECTATIONS) == {*agents, *EXPERTS, *FILES}


@pytest.mark.parametrize("name", EXPECTATIONS)
def test_every_expectation_is_of_a_published_figure_and_can_be_broken(name: str) -> None:
    figures = file_figures(measured(name)) if name in FILES else suite_figures(table(name))
    for expected in EXPECTATIONS[name]:
        matched = [figure for figure in figures if fnmatchcase(figure, expected.figure)]
        assert matched, expected
        assert expected.reference is None or expected.reference in figures, expected
        assert (expected.at_least, expected.at_most) != (-math.inf, math.inf), expected
        assert unexpected([expected], {**figures, matched[0]: math.nan}), expected


def test_the_published_speeds_are_of_every_environment_and_beside_others() -> None:
    assert {speed["env_id"] for speed in measured("throughput")["speeds"]} == set(lam_envs.ENV_IDS)
    pairs = [(pair["ours"], pair["against"]) for pair in measured("throughput")["comparisons"]]
    assert len(set(pairs)) == len(pairs)
    for pair in measured("throughput")["comparisons"]:
        assert pair["low"] <= pair["ratio"] <= pair["high"]


@pytest.mark.parametrize("name", ["datasets", "learning", "running", "latency", "remote", "vector"])
def test_published_figures_are_medians_of_all_rounds(name: str) -> None:
    for figure in measured(name)["figures"]:
        assert len(figure["rounds"]) in (1, measured(name)["rounds"]), figure
        assert figure["value"] == pytest.approx(median(figure["rounds"])), figure


def test_the_published_figures_are_of_the_full_size() -> None:
    assert measured("datasets")["episodes"] == 1000
    assert measured("datasets")["gigabytes"] == 20.0
    assert measured("learning")["epochs"] == 100


@pytest.mark.parametrize("name", EXPERTS)
def test_the_published_experts_are_those_of_their_suites(name: str) -> None:
    _, results = published(name)
    assert [result.cell for result in results] == read_suite(name).cells()


def test_experts_are_measured_in_every_task_with_every_robot_and_control() -> None:
    everywhere, conditions, clutter, clutter_conditions, table, chains = map(read_suite, EXPERTS)
    assert {*everywhere.environments, *clutter.environments} == {env_id(task) for task in TASKS}
    assert conditions.environments == everywhere.environments
    clutters = clutter.conditions | clutter_conditions.conditions
    for found, keywords in ((everywhere.conditions, {}), (clutters, {}), (chains.conditions, {"chain": 5})):
        for robot in ROBOTS:
            env = keywords | ({} if robot == "panda" else {"robot": robot})
            assert found[robot].get("env", {}) == env
    controls = {changes.get("env", {}).get("control") for changes in conditions.conditions.values()}
    assert controls - {None} == set(CONTROLS) - {"ee"}
    assert tuple(table.conditions) == VERBS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("experts", "xarm6"),
        ("experts-conditions", "physics"),
        ("experts-clutter-conditions", "xarm6"),
        ("experts-table", "left"),
    ],
)
def test_experts_fail_now_on_the_seeds_that_are_published(name: str, condition: str) -> None:
    # Episodes of Clutter take longer.
    episodes = 20 if name == "experts-clutter-conditions" else 100
    for result in published(name)[1]:
        cell = result.cell
        if cell.condition != condition:
            continue
        env = cell.perturbation.make(cell.environment)
        seeds = range(cell.first_seed, cell.first_seed + episodes)
        found = evaluate(make_expert(env), env, seeds=seeds)
        env.close()
        assert [episode.success for episode in found.episodes] == list(result.outcomes[:episodes]), cell.name
