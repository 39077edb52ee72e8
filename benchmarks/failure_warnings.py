"""Warnings before failures: how well a monitor predicts them under the conditions of the suite ``robustness``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import typer

from agents.types import JsonObject
from benchmarks.speed.measuring import Measured, median, show_pieces
from benchmarks.suite.conditions import Condition
from benchmarks.suite.suite import Suite
from benchmarks.suite.suite_file import read_suite
from demos.collection.catalog.published_datasets import load_published
from demos.collection.versions import demonstration_versions
from demos.runtime.console import clear_errors
from lam_envs.validation import check_name

AGENT, SETTINGS = "bc", {"ensemble_size": 5}
"""Agent whose failures are predicted: its members disagree where it is unsure."""
DEMONSTRATIONS = 200
TRAINING_SEED = 0
FIT_SEED, TEST_SEED = 710_000, 720_000
"""First seeds of the episodes to fit to, and of those that evaluate; no other result uses them."""
SUITE = "robustness"
LIBRARIES = ("gymnasium", "numpy", "pybullet", "torch")


def monitors(
    env: Annotated[
        list[str], typer.Option(help="Id of an environment of the suite; may be repeated. By default all of them.")
    ] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    episodes: Annotated[
        int, typer.Option(help="Episodes under each condition to fit to, and as many others to evaluate.")
    ] = 50,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the figures to this JSON file, and a reliability diagram beside it for each task."),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of all datasets; by default a temporary one.")] = None,
) -> None:
    """Measure how well monitors predict the failures of bc under the conditions of the suite robustness.

    After an interruption, the same command measures the environments that are left.
    """
    with clear_errors():
        suite = read_suite(SUITE)
        for name in env:
            check_name("environment", name, suite.environments)
        if episodes < 2:
            raise ValueError(f"episodes is {episodes}; expected at least 2")
        chosen = env or list(suite.environments)

        pieces = {name: partial(_measured, name, suite.conditions, episodes, out, root) for name in chosen}
        show_pieces(pieces, out, LIBRARIES, {"episodes": episodes}, _identity(suite))


def _identity(suite: Suite) -> JsonObject:
    """Return the versions and settings that decide the figures of an environment."""
    from agents.training.provenance import agent_versions  # late: it imports PyTorch

    parts = agent_versions(AGENT, SETTINGS)
    for env_id in suite.environments:
        parts |= demonstration_versions(env_id)
    return {
        "parts": parts,
        "conditions": suite.conditions,
        "settings": SETTINGS,
        "demonstrations": DEMONSTRATIONS,
        "seeds": [TRAINING_SEED, FIT_SEED, TEST_SEED],
    }


def _measured(
    env_id: str, conditions: dict[str, JsonObject], episodes: int, out: Path | None, root: Path | None
) -> Iterator[Measured]:
    """Yield the figures of one environment, and write its reliability diagram."""
    # PyTorch takes seconds to import.
    from agents.explain.failure.figure import write_figure
    from agents.explain.failure.fitting import fit, measure

    with tempfile.TemporaryDirectory() as folder:
        dataset = load_published(f"{env_id.removesuffix('-v0')}-{DEMONSTRATIONS}-seed1", root=root or folder)
        agent = _trained(env_id, dataset)
        fitted, tested = (
            _episodes(env_id, agent, dataset, conditions, range(first, first + episodes))
            for first in (FIT_SEED, TEST_SEED)
        )
    horizon = max(len(each.curves[0]) for each in fitted)
    monitor = fit(fitted, horizon)
    report = measure(monitor, tested)
    if out is not None:
        write_figure(report, out.with_name(f"{out.stem}-{env_id}.png"))
    for name, value in report["auroc"].items():
        if value is not None:
            yield median(f"{env_id}, AUROC of the predicted failure, {name}", [value], "")
    yield median(f"{env_id}, expected calibration error", [report["expected_calibration_error"]], "")
    for name, what in (("warned_failures", "failures"), ("false_alarms", "successes")):
        if report[name] is not None:
            yield median(f"{env_id}, share of {what} with a warning", [report[name]], "")
    yield median(f"{env_id}, share of episodes that failed", [report["failures"] / report["episodes"]], "")
    if report["median_first_warning"] is not None:
        yield median(f"{env_id}, first warning in a failure", [report["median_first_warning"]], "steps")


def _trained(env_id: str, dataset: Any) -> Any:
    """Return the trained agent."""
    import agents

    env = gym.make(env_id)
    agent = agents.make(AGENT, env, **SETTINGS)
    agent.learn(dataset, env, seed=TRAINING_SEED)
    env.close()
    return agent


def _episodes(
    env_id: str, agent: Any, dataset: Any, conditions: dict[str, JsonObject], seeds: Sequence[int]
) -> list[Any]:
    """Return the monitored episodes of an agent under each condition."""
    from agents.explain.explaining import prepare
    from agents.explain.monitoring import monitored
    from agents.explain.references import References
    from agents.explain.trace import trace_episode

    references = References(dataset)
    found: list[Any] = []
    for changes in conditions.values():
        env = Condition(**changes).make(env_id)

        def case_of(seed: int, env: Any = env) -> Any:
            return prepare(agent, env, trace_episode(agent, env, seed), references, {})

        found += monitored(case_of, seeds)
        env.close()
    return found
