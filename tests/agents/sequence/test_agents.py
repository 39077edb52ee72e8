"""Sequence agents learn reproducibly in every kind of environment, resume, save and load as bc does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
import demos
from agents.data.demonstrations import DemonstrationData
from agents.data.symmetry import _rotate as rotate
from agents.data.symmetry import symmetry_of
from agents.policies.actions import ActionCodec
from agents.spec import TrainableAgent
from agents.training.run import Run
from demos.datasets.reading import episodes_of
from demos.datasets.statistics import Statistics

from ...conftest import Make
from ...lam_envs.traces import fingerprint
from ..images import check_that_actions_depend_on_images, check_that_the_last_action_is_hidden
from ..test_runs import Fragile, KilledError
from .small import NAMES, SMALL

names = pytest.mark.parametrize("name", NAMES)


def mainly(*chosen: str) -> pytest.MarkDecorator:
    """Parametrize a test by all agents; those that are not chosen share the code, and run with the slow tests."""
    return pytest.mark.parametrize(
        "name", [name if name in chosen else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
    )


@pytest.fixture
def reach(datasets: Any) -> Any:
    root, ids = datasets
    return demos.load(ids["LamReach-v0"], root)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that collects a dataset once for all tests."""
    root, known = tmp_path_factory.mktemp("collected"), {}

    def collect(env_id: str, episodes: int, **keywords: Any) -> Any:
        key = f"{env_id}-{episodes}-{keywords}"
        if key not in known:
            known[key] = demos.collect(env_id, episodes=episodes, env_kwargs=keywords, root=root)
        return known[key]

    return collect


def weights(agent: Any) -> str:
    return fingerprint([{key: value.numpy() for key, value in agent.policy.state_dict().items()}])


@mainly("bc-rnn", "diffusion")
def test_the_same_seed_learns_the_same_from_memory_and_from_files(name: str, reach: Any, make: Make) -> None:
    env = make("LamReach-v0")
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    found = []
    for seed, size in ((3, 2**30), (3, 0), (4, 2**30)):
        agent = agents.make(name, env, **SMALL[name])
        agent.learn(DemonstrationData(reach, in_memory_bytes=size), env, seed=seed, budget=1)
        found.append(weights(agent))
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@mainly("act")
def test_a_training_that_died_goes_on_and_ends_with_the_same_weights(
    name: str, reach: Any, make: Make, tmp_path: Path
) -> None:
    env, data = make("LamReach-v0"), DemonstrationData(reach)
    settings = {**SMALL[name], "epochs": 5, "ema_decay": 0.9, **({"latent_size": 4} if name == "act" else {})}
    whole = agents.make(name, env, **settings)
    whole.learn(data, env, seed=0)
    agent = agents.make(name, env, **settings)
    with pytest.raises(KilledError):
        agent.learn(data, env, seed=0, run=Fragile(tmp_path / "run"))
    # Whatever happened to the global generators between.
    torch.manual_seed(7)
    agent = agents.make(name, env, **settings)
    agent.learn(data, env, seed=0, run=Run(tmp_path / "run"))
    assert weights(agent) == weights(whole)
    assert list((tmp_path / "run").glob("events.out.tfevents*"))


@mainly("diffusion")
def test_periodic_evaluation_acts_by_the_average_and_changes_nothing(name: str, reach: Any, make: Make) -> None:
    env, data = make("LamReach-v0"), DemonstrationData(reach)
    settings = {**SMALL[name], "ema_decay": 0.9}
    plain, watched = agents.make(name, env, **settings), agents.make(name, env, **settings)
    plain.learn(data, env, seed=0, budget=2)
    watched.learn(data, env, seed=0, budget=2, run=Run(episodes=1, evaluations=2))
    assert weights(plain) == weights(watched)


@pytest.mark.parametrize("env_id", [pytest.param("LamReachGoal-v0", marks=pytest.mark.slow), "LamReachDiscrete-v0"])
@names
def test_goals_and_discrete_actions_are_learned_saved_and_loaded(
    name: str, env_id: str, collected: Any, make: Make, tmp_path: Path
) -> None:
    env = make(env_id)
    dataset = collected(env_id, 2)
    agent = agents.make(name, env, **SMALL[name], batch_size=16)
    agent.learn(dataset, env, seed=0, budget=1)
    assert isinstance(agent, TrainableAgent)
    loaded = agents.load(agent.save(tmp_path / "agent"), env)
    assert loaded.settings == agent.settings
    observation, _ = env.reset(seed=0)
    states: list[Any] = [None, None]
    for _ in range(6):
        action, states[0] = agent.predict(observation, states[0], deterministic=True)
        again, states[1] = loaded.predict(observation, states[1], deterministic=True)
        np.testing.assert_array_equal(action, again)
        assert env.action_space.contains(action if env.action_space.shape else np.asarray(action).item())
        observation, *_ = env.step(action)


@mainly("act")
def test_images_depth_and_instructions_are_learned(name: str, collected: Any, make: Make, tmp_path: Path) -> None:
    keywords: dict[str, Any] = {"image_width": 24, "image_height": 24, "depth": True, "instruct": True}
    env = make("LamReachPixels-v0", **keywords)
    dataset = collected("LamReachPixels-v0", 1, **keywords)
    agent = agents.make(name, env, **SMALL[name], batch_size=32, share_image_encoder=True, ema_decay=0.0)
    agent.learn(dataset, env, seed=0, budget=2)
    check_that_actions_depend_on_images(agent, env, tmp_path)
    check_that_the_last_action_is_hidden(agent, env)


@mainly("act")
def test_features_may_be_tokens_and_masked(name: str, reach: Any, make: Make) -> None:
    env: Any = make("LamReach-v0")
    agent = agents.make(name, env, **SMALL[name], feature_tokens=True, masked_features=["tool/velocity"])
    agent.learn(reach, env, seed=0, budget=1)
    observation, _ = env.reset(seed=0)
    action = agent.predict(observation, deterministic=True)[0]
    for feature, used in (("tool/velocity", False), ("tool/position", True)):
        changed = observation.copy()
        changed[env.unwrapped.layout[feature].slice] += 1.0
        assert np.array_equal(agent.predict(changed, deterministic=True)[0], action) != used, feature


@mainly("bc-rnn")
def test_windows_are_mirrored_and_rotated_as_a_whole(name: str, reach: Any, make: Make) -> None:
    env = make("LamReach-v0")
    found = []
    for settings in ({}, {"mirror": True, "rotate": True}):
        agent = agents.make(name, env, **SMALL[name], **settings)
        agent.learn(reach, env, seed=0, budget=1)
        found.append(weights(agent))
    assert found[0] != found[1]


@mainly("bc-rnn", "diffusion")
def test_in_a_task_frame_a_rotated_scene_gives_rotated_actions(name: str, make: Make, tmp_path: Path) -> None:
    env: Any = make("LamPush-v0")
    dataset = demos.collect("LamPush-v0", episodes=2, root=tmp_path)
    settings = {"batch_size": 32, "mirror": False, "rotate": False, "masked_features": ()}
    agent = agents.make(name, env, **SMALL[name], **settings, task_frame="goal/relative")
    agent.learn(dataset, env, seed=0, budget=1)
    symmetry = symmetry_of(env, mirror=False, rotate=True)
    assert symmetry is not None
    angle = torch.tensor([2.0])
    vectors, motion = symmetry.x, torch.tensor([0])
    memory = turned_memory = agent.policy.initial_memory(1)
    observation, _ = env.reset(seed=0)
    for _ in range(12):
        seen = torch.from_numpy(observation)[None]
        turned = seen.clone()
        rotate(turned, vectors, angle)
        with torch.no_grad():
            action, memory = agent.policy.predict_action(seen, memory)
            turned_action, turned_memory = agent.policy.predict_action(turned, turned_memory)
        observation, *_ = env.step(np.clip(action[0].numpy(), -1.0, 1.0))
        rotate(action, motion, angle)
        assert torch.allclose(action, turned_action, atol=1e-4)


def test_settings_that_differ_from_those_of_the_file_are_loaded(make: Make, tmp_path: Path) -> None:
    env = make("LamPush-v0")
    observation, _ = env.reset(seed=0)
    for number, changed in enumerate(({}, {"task_frame": None}, {"near_zero": False, "idle_steps": None})):
        agent = agents.make("diffusion", env, **{**SMALL["diffusion"], **changed})
        agent.save(tmp_path / str(number))
        loaded = agents.load(tmp_path / str(number), env)
        assert loaded.settings == agent.settings
        own, other = (each.predict(observation, deterministic=True)[0] for each in (agent, loaded))
        assert np.array_equal(own, other)


def test_settings_that_the_weights_do_not_depend_on_change_after_the_training(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    made = agents.make("act", env, **SMALL["act"], action_horizon=4, executed_actions=4)
    folder = made.save(tmp_path / "act")
    observation, _ = env.reset(seed=0)
    changed = agents.load(folder, env, executed_actions=1)
    assert changed.settings == made.settings.model_copy(update={"executed_actions": 1})
    # The second action is that of a new chunk, not the second one of the first chunk.
    actions = {}
    for agent in (made, changed):
        first, state = agent.predict(observation, None, np.array([True]), deterministic=True)
        second, _ = agent.predict(observation, state, np.array([False]), deterministic=True)
        actions[agent] = (first, second)
    assert np.array_equal(actions[made][0], actions[changed][0])
    assert np.array_equal(actions[changed][0], actions[changed][1])
    assert not np.array_equal(actions[made][0], actions[made][1])
    assert agents.load(folder, env, ensembling=True).settings.ensembling
    with pytest.raises(ValueError, match="executed_actions is 5 and action_horizon 4"):
        agents.load(folder, env, executed_actions=5)
    expected = "width cannot change after the training of agent act; expected only ensembling, ensembling_decay, exec"
    with pytest.raises(ValueError, match=expected):
        agents.load(folder, env, width=16, executed_actions=1)


def test_codes_have_a_scale_where_no_demonstration_moves() -> None:
    codec = ActionCodec(gym.spaces.Box(-1.0, 1.0, (4,)))
    still = np.zeros(4)
    codec.fit(Statistics(1, still, still, still, still), is_rotated=True)
    assert torch.isfinite(codec.encode(torch.ones(1, 4))).all()


def test_tasks_without_such_a_frame_are_refused(make: Make) -> None:
    with pytest.raises(ValueError, match=r"task_frame is 'goal'; expected one of tool/position, .*goal/relative"):
        agents.make("act", make("LamPush-v0"), task_frame="goal")
    with pytest.raises(ValueError, match=r"task_frame is 'gripper/velocity'; expected one of tool/position"):
        agents.make("act", make("LamPush-v0"), task_frame="gripper/velocity")
    with pytest.raises(ValueError, match=r"LamPushGoal-v0 has observations without named features, or with other"):
        agents.make("act", make("LamPushGoal-v0"), task_frame="tool/velocity")
    with pytest.raises(ValueError, match=r"LamDrawer-v0 cannot be rotated: no known .*\. Set task_frame=null"):
        agents.make("act", make("LamDrawer-v0"), task_frame="tool/velocity")
    with pytest.raises(ValueError, match=r"LamReachDiscrete-v0 .* or has no continuous actions"):
        agents.make("act", make("LamReachDiscrete-v0"), task_frame="goal/relative")


def test_a_mask_that_a_task_frame_would_reveal_is_refused(reach: Any, make: Make) -> None:
    env = make("LamReach-v0")

    def learned(*masked: str) -> None:
        agent = agents.make("act", env, **SMALL["act"], task_frame="goal/relative", masked_features=masked)
        agent.learn(reach, env, seed=0, budget=1)

    message = "masked_features has tool/velocity/y without tool/velocity/x, and task_frame rotates them"
    with pytest.raises(ValueError, match=message):
        learned("tool/velocity/y", "tool/velocity/z")
    learned("tool/velocity/x", "tool/velocity/y", "tool/position/z")


@names
def test_wrong_settings_and_too_few_demonstrations_are_refused(name: str, reach: Any, make: Make) -> None:
    env = make("LamReach-v0")
    with pytest.raises(ValueError, match="executed_actions is 5 and action_horizon 2; expected at most as many"):
        agents.make(name, env, executed_actions=5, action_horizon=2)
    with pytest.raises(ValueError, match=f"setting obs_horizon of agent {name} is 1000; expected at most 128"):
        agents.make(name, env, obs_horizon=1000)
    with pytest.raises(ValueError, match="has 240 steps to learn from, fewer than a minibatch of 1000"):
        agents.make(name, env, **SMALL[name], batch_size=1000).learn(reach, env, seed=0)
    with pytest.raises(ValueError, match="near_zero and feature_tokens are both true; expected at most one"):
        agents.make(name, env, near_zero=True, feature_tokens=True)
    with pytest.raises(ValueError, match="width is 136 and heads 16"):
        agents.make("act", env, width=136, heads=16)


@pytest.mark.parametrize("control", ["joint", "ee_yaw"])
def test_other_controls_are_learned_saved_and_loaded(
    control: str, collected: Any, make: Make, tmp_path: Path
) -> None:
    env = make("LamReach-v0", control=control)
    data = DemonstrationData(collected("LamReach-v0", 2, control=control))
    agent = agents.make("act", env, **SMALL["act"], batch_size=16)
    losses: list[float] = []

    class Logged(Run):
        def log(self, done: int, **numbers: float) -> None:
            super().log(done, **numbers)
            losses.extend([numbers["loss"]] if "loss" in numbers else [])

    agent.learn(data, env, seed=0, budget=12, run=Logged())
    assert losses[-1] < 0.7 * losses[0]
    loaded = agents.load(agent.save(tmp_path / "agent"), make("LamReach-v0", control=control))
    observation, _ = env.reset(seed=0)
    action = agent.predict(observation, deterministic=True)[0]
    assert action.shape == {"joint": (8,), "ee_yaw": (5,)}[control]
    assert env.action_space.contains(action)
    np.testing.assert_array_equal(loaded.predict(observation, deterministic=True)[0], action)
    other, _ = env.reset(seed=1)
    assert not np.array_equal(loaded.predict(other, deterministic=True)[0], action)


OVERFITTED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "bc": ("LamReach-v0", {}, {"hidden_sizes": [64, 64]}),
    "bc in LamGrasp": ("LamGrasp-v0", {}, {}),
    "bc-rnn": ("LamReach-v0", {}, {"hidden_size": 64, "width": 64}),
    "bc-rnn with one Gaussian": ("LamReach-v0", {}, {"hidden_size": 64, "width": 64, "components": 1}),
    "bc-rnn with discrete actions": ("LamReachDiscrete-v0", {}, {"hidden_size": 64, "width": 64}),
    "act": ("LamReach-v0", {}, {"width": 32, "encoder_layers": 1, "decoder_layers": 1}),
    "act with images": (
        "LamReachPixels-v0",
        {"image_width": 40, "image_height": 40, "cameras": ("front",)},
        {"width": 32, "action_horizon": 16, "executed_actions": 16, "image_shift": 0},
    ),
    "act with ensembling and latent": ("LamReach-v0", {}, {"width": 32, "latent_size": 8, "ensembling": True}),
    "diffusion": ("LamReach-v0", {}, {}),
    "diffusion of noise": ("LamReach-v0", {}, {"objective": "noise"}),
}
"""Environment, its keywords, and settings of the agent that is the first word."""


@pytest.mark.parametrize(
    "label", [label if label == "bc" else pytest.param(label, marks=pytest.mark.slow) for label in OVERFITTED]
)
def test_five_demonstrations_are_learned_by_heart(label: str, make: Make, tmp_path: Path) -> None:
    env_id, keywords, settings = OVERFITTED[label]
    env = make(env_id, **keywords)
    dataset = demos.collect(env_id, episodes=5, seed=0, env_kwargs=keywords, root=tmp_path)
    seeds = [episode.seed or 0 for episode in episodes_of(dataset)]
    agent = agents.make(label.split()[0], env, **{**settings, "batch_size": 50})
    agent.learn(dataset, env, seed=0, budget=300)
    assert agents.evaluate(agent, env, seeds=seeds).success_rate == 1.0
