"""Agent ``keypoints`` learns from the states of the simulator, and acts on images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agents
import demos
from agents.data.demonstrations import DemonstrationData
from agents.training.run import Run

from ...conftest import Make
from ...lam_envs.traces import fingerprint
from ..test_runs import KilledError
from .conftest import SIZE

SMALL: dict[str, Any] = {
    "detector_epochs": 1, "uncertainty_epochs": 1, "epochs": 1, "batch_size": 16, "hidden_sizes": (8,),
}  # fmt: skip


def weights(agent: Any) -> str:
    return fingerprint([{key: value.numpy() for key, value in agent.policy.state_dict().items()}])


@pytest.mark.parametrize("learner", ["bc", pytest.param("diffusion", marks=pytest.mark.slow)])
def test_the_same_seed_learns_the_same_from_memory_and_from_files(learner: str, push: Any, env: Any) -> None:
    settings = {**SMALL, "learner": learner}
    if learner != "bc":
        settings = {**settings, "hidden_size": 8, "rotate": False, "mirror": False}
        del settings["hidden_sizes"]
    found = []
    for seed, size in ((3, 2**30), (3, 0), (4, 2**30)):
        agent = agents.make("keypoints", env, **settings)
        agent.learn(DemonstrationData(push, in_memory_bytes=size), env, seed=seed)
        found.append(weights(agent))
    assert found[0] == found[1]
    assert found[0] != found[2]


@pytest.mark.parametrize("epochs", [1, 3, 5])
def test_a_training_that_died_in_any_part_ends_with_the_same_weights(
    epochs: int, push: Any, env: Any, tmp_path: Path
) -> None:
    settings = {**SMALL, "detector_epochs": 2, "uncertainty_epochs": 2, "epochs": 2}
    whole = agents.make("keypoints", env, **settings)
    whole.learn(push, env, seed=0)
    agent = agents.make("keypoints", env, **settings)
    with pytest.raises(KilledError):
        agent.learn(push, env, seed=0, run=DiesAfter(tmp_path / "run", epochs))
    agent = agents.make("keypoints", env, **settings)
    agent.learn(push, env, seed=0, run=Run(tmp_path / "run"))
    assert weights(agent) == weights(whole)


class DiesAfter(Run):
    """Run that dies after some checkpoints, one of each epoch."""

    def __init__(self, folder: Path, checkpoints: int) -> None:
        super().__init__(folder)
        self._left = checkpoints

    def checkpoint(self, state: Any, *, now: bool = False) -> None:
        if self._left == 0:
            raise KilledError
        self._left -= 1
        super().checkpoint(state, now=True)


def test_actions_follow_from_images_and_an_agent_is_saved_and_loaded(push: Any, env: Any, tmp_path: Path) -> None:
    agent = agents.make("keypoints", env, **{**SMALL, "epochs": 20})
    agent.learn(push, env, seed=0)
    loaded = agents.load(agent.save(tmp_path / "agent"), env)
    observation, _ = env.reset(seed=0)
    states: list[Any] = [None, None]
    for _ in range(4):
        action, states[0] = agent.predict(observation, states[0], deterministic=True)
        again, states[1] = loaded.predict(observation, states[1], deterministic=True)
        np.testing.assert_array_equal(action, again)
        assert env.action_space.contains(action)
        observation, *_ = env.step(action)
    other = {**observation, "front": np.roll(observation["front"], 8, axis=1)}
    assert np.abs(agent.predict(other)[0] - agent.predict(observation)[0]).max() > 1e-4


def test_rows_of_a_batch_have_a_memory_each(push: Any, env: Any) -> None:
    agent = agents.make("keypoints", env, **SMALL)
    agent.learn(push, env, seed=0)
    sequences = [[env.reset(seed=seed)[0]] for seed in (0, 1)]
    for each in sequences:
        for _ in range(3):
            each.append(env.step(env.action_space.sample())[0])
    alone = [acted(agent, each) for each in sequences]
    state: Any = None
    for step, rows in enumerate(zip(*sequences, strict=True)):
        batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        actions, state = agent.predict(batch, state, np.array([step == 0] * 2), deterministic=True)
        for row in range(2):
            np.testing.assert_allclose(actions[row], alone[row][step], atol=1e-5)


def acted(agent: Any, observations: Any) -> list[Any]:
    """Return the actions of an agent for successive observations."""
    state: Any = None
    found = []
    for observation in observations:
        action, state = agent.predict(observation, state, deterministic=True)
        found.append(action)
    return found


def test_what_it_cannot_learn_from_is_refused(env: Any, make: Make) -> None:
    with pytest.raises(ValueError, match="positions are estimated from images of lam_envs, and LamPush-v0 has none"):
        agents.make("keypoints", make("LamPush-v0"))
    with pytest.raises(ValueError, match="reads no instruction"):
        agents.make("keypoints", make("LamPushPixels-v0", instruct=True))
    with pytest.raises(ValueError, match="image_shift is 3, but the policy of agent keypoints acts on positions"):
        agents.make("keypoints", env, image_shift=3)
    with pytest.raises(ValueError, match="learner of agent keypoints is 'gail'"):
        agents.make("keypoints", env, learner="gail")


def test_objects_that_may_be_absent_are_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="needs objects that are always there, and LamTable-v0 has red_cube/present"):
        agents.make("keypoints", make("LamTable-v0", obs="pixels", **SIZE))


def test_demonstrations_with_a_longer_tool_are_refused(env: Any, tmp_path: Path) -> None:
    longer = {**SIZE, "tool_length_offset": 0.03}
    data = demos.collect("LamPushPixels-v0", episodes=1, env_kwargs=longer, keep_failures=True, root=tmp_path)
    with pytest.raises(ValueError, match=r"has tool_length_offset=0.03: the robot does not observe where its tool"):
        agents.make("keypoints", env, **SMALL).learn(data, env, seed=0)


def test_an_untrained_agent_acts(env: Any) -> None:
    agent = agents.make("keypoints", env)
    action, _ = agent.predict(env.reset(seed=0)[0], deterministic=True)
    assert env.action_space.contains(action)


@pytest.mark.parametrize(
    ("env_id", "keywords"),
    [
        ("LamReachPixels-v0", {"depth": True, "cameras": ("front",)}),
        pytest.param("LamGraspPixels-v0", {"control": "joint"}, marks=pytest.mark.slow),
        pytest.param("LamGraspPixels-v0", {"control": "discrete"}, marks=pytest.mark.slow),
        pytest.param("LamInsertPixels-v0", {"robot": "ur5e"}, marks=pytest.mark.slow),
    ],
)
def test_it_learns_with_other_cameras_controls_and_robots(
    env_id: str, keywords: dict[str, Any], make: Make, tmp_path: Path
) -> None:
    keywords = {**SIZE, **keywords}
    env = make(env_id, **keywords)
    data = [demos.collect(env_id, episodes=1, seed=seed, env_kwargs=keywords, root=tmp_path) for seed in (0, 1)]
    agent = agents.make("keypoints", env, **SMALL)
    agent.learn(data, env, seed=0)
    action, _ = agent.predict(env.reset(seed=0)[0], deterministic=True)
    assert env.action_space.contains(action if env.action_space.shape else np.asarray(action).item())


def test_demonstrations_without_states_are_refused(push: Any, env: Any) -> None:
    data = DemonstrationData(push)
    for episode in data.iterate_episodes():
        del episode.infos["state"]
    with pytest.raises(ValueError, match=f"episode 0 of dataset {push.id} has no states of the simulator"):
        agents.make("keypoints", env, **SMALL).learn(data, env, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_finds_the_slab_and_the_goal_of_unseen_episodes(make: Make, tmp_path: Path) -> None:
    env: Any = make("LamPushPixels-v0")
    data = demos.collect("LamPushPixels-v0", episodes=40, seed=11, root=tmp_path)
    agent = agents.make("keypoints", env, epochs=1)
    agent.learn(data, env, seed=0)
    errors = []
    for seed in range(10):
        observation, _ = env.reset(seed=seed)
        memory = agent.policy.initial_memory(1)
        for _ in range(5):
            rows = {name: torch.as_tensor(values)[None] for name, values in observation.items()}
            with torch.no_grad():
                state, sums = agent.policy.estimate(rows, memory)
            memory = {**memory, **sums}
            true = env.unwrapped.features()
            layout = agent._observed.state
            for name in ("object/position", "goal/position"):
                part = layout[name]
                found = state[0, part.slice].numpy() * part.scale + part.center
                errors.append(float(np.linalg.norm((found - true[name])[:2])))
            observation, *_ = env.step(env.action_space.sample())
    assert np.median(errors) < 0.015
