"""Exported policies act and succeed in whole evaluations as the policies themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agents
import demos
from agents.deployment.export.exporting import TOLERANCE, export
from agents.deployment.export.onnx_agent import OnnxAgent
from demos.datasets.reading import episodes_of

from ..conftest import Make
from ..golden.trainings import TRAININGS, demonstrations

SEEDS = range(1000, 1050)


class Recorded:
    """Agent that acts by another one, and records its actions."""

    def __init__(self, agent: Any) -> None:
        self.agent, self.actions = agent, list[Any]()

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> Any:
        action, state = self.agent.predict(observation, state, episode_start, deterministic=deterministic)
        self.actions.append(np.copy(action))
        return action, state


def outcomes(
    agent: Any, env: Any, folder: Path, seeds: Sequence[int] = SEEDS
) -> tuple[list[Any], list[Any], list[bool], list[bool]]:
    """Return the actions of an agent in episodes, those of its export, and in which of them each succeeds."""
    export(agent, env, folder / "exported")
    recorded = [Recorded(agent), Recorded(OnnxAgent(folder / "exported"))]
    own, exported = (agents.evaluate(one, env, seeds=seeds) for one in recorded)
    return (
        *(one.actions for one in recorded),
        [each.success for each in own.episodes],
        [each.success for each in exported.episodes],
    )


def check_that_outcomes_are_the_same(agent: Any, env: Any, folder: Path) -> list[bool]:
    """Check that actions and success are the same in 50 episodes without contacts; return the success."""
    actions, others, own, exported = outcomes(agent, env, folder)
    assert len(actions) == len(others) >= 50
    np.testing.assert_allclose(actions, others, atol=TOLERANCE if env.action_space.shape else 0.0)
    assert own == exported
    return own


def check_that_most_outcomes_are_the_same(own: list[bool], exported: list[bool]) -> None:
    """Check that success is the same in nearly all of 50 episodes with contacts or images.

    Actions differ by rounding, about 1e-7. Contacts amplify this, and so do pixels that are rounded to another
    integer: a few episodes end otherwise.
    """
    assert sum(one != other for one, other in zip(own, exported, strict=True)) <= 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bc", "bc-rnn", "act", "diffusion"])
def test_exported_policies_succeed_in_the_same_episodes(name: str, make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    dataset = demos.collect("LamReach-v0", episodes=30, seed=0, root=tmp_path)
    agent = agents.make(name, env)
    agent.learn(dataset, env, seed=0, budget=40 if name == "diffusion" else 8)
    assert any(check_that_outcomes_are_the_same(agent, env, tmp_path))


@pytest.mark.slow
def test_an_exported_policy_of_images_succeeds_as_often(make: Make, tmp_path: Path) -> None:
    keywords: dict[str, Any] = {"image_width": 48, "image_height": 48}
    env = make("LamReachPixels-v0", **keywords)
    dataset = demos.collect("LamReachPixels-v0", episodes=5, seed=0, env_kwargs=keywords, root=tmp_path)
    agent = agents.make("bc", env, image_readout="flatten", image_shift=0, batch_size=50)
    agent.learn(dataset, env, seed=0, budget=150)
    # Without demonstrated episodes, so short a training would hardly ever succeed.
    seeds = [*(episode.seed or 0 for episode in episodes_of(dataset)), *SEEDS[:45]]
    _, _, own, exported = outcomes(agent, env, tmp_path, seeds)
    check_that_most_outcomes_are_the_same(own, exported)
    assert any(own)


@pytest.mark.slow
def test_an_exported_diffusion_policy_succeeds_as_often_in_contacts(make: Make, tmp_path: Path) -> None:
    env = make("LamGrasp-v0")
    dataset = demos.collect("LamGrasp-v0", episodes=30, seed=0, root=tmp_path)
    agent = agents.make("diffusion", env)
    agent.learn(dataset, env, seed=0, budget=40)
    _, _, own, exported = outcomes(agent, env, tmp_path)
    check_that_most_outcomes_are_the_same(own, exported)
    assert any(own)


SHORT = ("bco", "dagger", "hg-dagger", "ensemble-dagger", "gail", "airl", "ppo", "sac", "dqn", "dqfd", "sqil")
"""Agents with a short training among the golden ones."""


@pytest.mark.slow
@pytest.mark.usefixtures("few_environments")
@pytest.mark.parametrize("name", SHORT)
def test_exported_policies_of_short_trainings_act_and_succeed_alike(name: str, make: Make, tmp_path: Path) -> None:
    training = TRAININGS[name]
    env = make(training.env_id)
    agent = agents.make(name, env, **training.settings)
    agent.learn(demonstrations(training.env_id), env, seed=0, budget=training.budget)
    check_that_outcomes_are_the_same(agent, make(training.env_id, max_episode_steps=30), tmp_path)


TASKS = ("LamReach-v0", "LamPush-v0", "LamGrasp-v0", "LamPickPlace-v0", "LamStack-v0", "LamInsert-v0")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["bc", "lam"])
def test_exported_published_agents_succeed_as_often(name: str, task: str, make: Make, tmp_path: Path) -> None:
    env = make(task)
    agent = agents.load_pretrained("lam/generalist" if name == "lam" else f"bc/{task}", env)
    _, _, own, exported = outcomes(agent, env, tmp_path)
    check_that_most_outcomes_are_the_same(own, exported)
    assert sum(own) > 25
