"""Behavior cloning beyond the minimum: early stopping, ensembles, images, bounds, settings by environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import yaml
from scipy.stats import norm

import agents
import demos
from agents.data.demonstrations import DemonstrationData, Transitions
from agents.imitation.bc import BCPolicy, BCSettings, BehaviorCloning, SharedBCSettings
from agents.policies.encoders.images import shifted_images
from agents.policies.networks import MIN_LOG_STD, BoundedPolicy, ObservationEncoder, policy_keywords
from agents.registry import AGENTS, find
from agents.spec import spec_of
from agents.training import settings as settings_module
from agents.training.loop import LoopSettings, TrainingLoop
from agents.training.randomness import isolated_rng
from agents.training.settings import read_settings
from demos.datasets.statistics import Statistics, statistics
from demos.preprocess import Resample
from lam_envs import registration

from ..conftest import Make
from .images import check_that_actions_depend_on_images, check_that_the_last_action_is_hidden


def test_observations_are_standardized_by_the_demonstrations_except_constant_ones(datasets: Any) -> None:
    root, ids = datasets
    dataset = demos.load(ids["LamReach-v0"], root)
    network = ObservationEncoder(dataset.observation_space)
    network.fit(statistics(dataset))
    observations = np.concatenate([episode.observations for episode in dataset.iterate_episodes()])
    rows = network(torch.as_tensor(observations)).numpy()
    varied = observations.std(axis=0) >= 0.01
    assert 0 < varied.sum() < len(varied)
    np.testing.assert_allclose(rows[:, varied].mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(rows[:, varied].std(axis=0), 1.0, atol=1e-2)
    assert np.abs(rows[:, ~varied]).max() < 0.1
    far = network(torch.full((1, observations.shape[1]), 1e6))
    assert float(far.abs().max()) == 10.0


def test_masked_features_are_not_used(datasets: Any, make: Make, tmp_path: Path) -> None:
    root, ids = datasets
    env: Any = make("LamReach-v0")
    agent = agents.make("bc", env, masked_features=["tool/velocity", "tool/position/z"], hidden_sizes=[32])
    agent.learn(demos.load(ids["LamReach-v0"], root), env, seed=0, budget=1)
    loaded = agents.load(agent.save(tmp_path / "bc"), env)
    layout = env.unwrapped.layout
    observation, _ = env.reset(seed=0)
    action = loaded.predict(observation, deterministic=True)[0]
    for name, numbers, looked_at in (
        ("tool/velocity", slice(0, 3), False),
        ("tool/position", slice(2, 3), False),
        ("tool/position", slice(0, 1), True),
    ):
        changed = observation.copy()
        changed[layout[name].slice][numbers] += 1.0
        assert (not np.array_equal(loaded.predict(changed, deterministic=True)[0], action)) == looked_at, name
    for strange in ("tool/place", "tool/position/w", "x"):
        with pytest.raises(ValueError, match=f"there is no feature '{strange}'; expected one of tool/position"):
            agents.make("bc", env, masked_features=[strange]).learn(demos.load(ids["LamReach-v0"], root), env, seed=0)
    with pytest.raises(ValueError, match="which needs standardize=true"):
        agents.make("bc", env, masked_features=["tool/velocity"], standardize=False)


def test_demonstrations_of_another_rate_are_refused(datasets: Any, tmp_path: Path) -> None:
    root, ids = datasets
    dataset = demos.load(ids["LamReach-v0"], root)
    fast = demos.preprocess(dataset, [Resample(40)], "ours/fast-v0", root=tmp_path)
    spaces = dataset.observation_space, dataset.action_space
    assert (fast.observation_space, fast.action_space) == spaces
    with pytest.raises(ValueError, match="has 40 steps per second and its environment has 20"):
        DemonstrationData(fast)
    assert len(DemonstrationData(dataset).transitions()) == dataset.total_steps


def test_squashed_actions_stay_in_their_space() -> None:
    space = gym.spaces.Box(np.array([-1.0, 2.0], dtype=np.float32), np.array([0.0, 10.0], dtype=np.float32))
    observed = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    policy = BoundedPolicy(observed, space, lr_schedule=lambda _: 0.0, **policy_keywords((8,)))
    with torch.no_grad():
        for weights in policy.action_net.parameters():
            weights.normal_(0.0, 100.0)
        means = policy.action_net(torch.randn(1000, 8)).numpy()
    assert (means >= space.low).all()
    assert (means <= space.high).all()
    assert (np.ptp(means, axis=0) > 0.9 * (space.high - space.low)).all()
    with pytest.raises(ValueError, match="no bounds to squash actions into: set squash=false"):
        BoundedPolicy(observed, observed, lr_schedule=lambda _: 0.0, **policy_keywords((8,)))


def test_the_loss_of_a_gaussian_policy_is_that_of_numpy() -> None:
    rng = np.random.default_rng(0)
    space = gym.spaces.Box(np.array([-1.0, 2.0], dtype=np.float32), np.array([0.0, 10.0], dtype=np.float32))
    settings = SharedBCSettings(hidden_sizes=(16, 8), entropy_weight=0.3, l2_weight=0.01)
    mean, std, seen = rng.normal(size=3), rng.uniform(0.5, 2.0, 3), rng.normal(size=(20, 3))
    done, log_std = rng.uniform(space.low, space.high, (20, 2)), rng.uniform(-1.0, 1.0, 2)
    with isolated_rng(0):
        policy = BCPolicy(gym.spaces.Box(-np.inf, np.inf, (3,)), space, settings)
        with torch.no_grad():
            for weights in policy.parameters():
                weights.copy_(0.5 * torch.randn_like(weights))
            policy.network.log_std.copy_(torch.from_numpy(log_std))
    policy.fit_normalizer({"observation": Statistics(20, mean, std, mean - 9.0, mean + 9.0)})
    rows = (seen - mean) / std
    weights = {name: values.detach().double().numpy() for name, values in policy.network.named_parameters()}
    for layer in ("mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2"):
        rows = np.maximum(rows @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"], 0.0)
    output = np.tanh(rows @ weights["action_net.0.weight"].T + weights["action_net.0.bias"])
    middle, reach = np.array([-0.5, 6.0]), np.array([0.5, 4.0])
    log_prob = norm.logpdf(done, middle + reach * output, np.exp(log_std)).sum(axis=1)
    entropy = (0.5 * np.log(2.0 * np.pi * np.e) + log_std).sum()
    squares = sum((values**2).sum() for values in weights.values())
    batch = Transitions(*(torch.from_numpy(values.astype(np.float32)) for values in (seen, done)))
    loss, logs = policy.compute_loss(batch)
    assert float(logs["negative log-likelihood"].detach()) == pytest.approx(-log_prob.mean(), rel=1e-5)
    assert float(loss.detach()) == pytest.approx(-log_prob.mean() - 0.3 * entropy + 0.005 * squares, rel=1e-5)


def test_a_training_stops_when_the_validation_loss_no_longer_falls(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    dataset = demos.collect("LamReach-v0", episodes=10, root=tmp_path)
    settings: dict[str, Any] = {"learning_rate": 0.03, "batch_size": 32, "hidden_sizes": [32]}
    agent = agents.make("bc", env, validation_fraction=0.2, patience=3, **settings)
    agent.learn(dataset, env, seed=0, budget=200)
    shown: list[int] = []

    class Counting(agents.Run):
        def log(self, done: int, **numbers: float) -> None:
            shown.append(done) if "validation loss" in numbers else None

    again = agents.make("bc", env, validation_fraction=0.2, patience=3, **settings)
    again.learn(dataset, env, seed=0, budget=200, run=Counting())
    assert 4 <= len(shown) < 200
    for name, value in agent.policy.state_dict().items():
        assert torch.equal(value, again.policy.state_dict()[name])
    with pytest.raises(ValueError, match="early stopping needs both above 0"):
        agents.make("bc", env, validation_fraction=0.2)
    few = demos.collect("LamReach-v0", episodes=2, root=tmp_path)
    with pytest.raises(
        ValueError, match=r"validation_fraction 0\.1 of the 2 episodes .* is 0 episodes; collect more"
    ):
        agents.make("bc", env, validation_fraction=0.1, patience=3).learn(few, env, seed=0)


@pytest.mark.parametrize(
    ("env_id", "episodes", "settings"),
    [
        ("LamReach-v0", 8, {"hidden_sizes": [32], "batch_size": 32}),
        # Votes differ less than means: this takes more data and larger networks.
        pytest.param("LamReachDiscrete-v0", 20, {}, marks=pytest.mark.slow),
    ],
)
def test_policies_of_an_ensemble_disagree_most_far_from_the_demonstrations(
    env_id: str, episodes: int, settings: dict[str, Any], make: Make, tmp_path: Path
) -> None:
    env = make(env_id)
    dataset = demos.collect(env_id, episodes=episodes, root=tmp_path)
    agent = agents.make("bc", env, ensemble_size=3, **settings)
    agent.learn(dataset, env, seed=0, budget=10)
    observations = np.concatenate([episode.observations for episode in dataset.iterate_episodes()])
    strange = np.random.default_rng(0).uniform(-3.0, 3.0, observations.shape).astype(np.float32)
    known, unknown = agent.uncertainty(observations), agent.uncertainty(strange)
    assert known.shape == (len(observations),)
    assert known.mean() < unknown.mean()
    assert agent.uncertainty(observations[0]).shape == ()
    one = np.asarray(agent.predict(observations[0], deterministic=True)[0])
    batch = agent.predict(observations, deterministic=True)[0]
    assert env.action_space.contains(one if one.shape else one.item())
    np.testing.assert_allclose(batch[0], one, atol=1e-6)
    loaded = agents.load(agent.save(tmp_path / "agent"), env)
    np.testing.assert_array_equal(loaded.predict(observations, deterministic=True)[0], batch)
    with pytest.raises(ValueError, match="a single policy has no disagreement"):
        agents.make("bc", env).uncertainty(observations)


def test_bc_learns_from_images(make: Make, tmp_path: Path) -> None:
    keywords: dict[str, Any] = {"image_width": 24, "image_height": 24}
    env = make("LamReachPixels-v0", **keywords)
    dataset = demos.collect("LamReachPixels-v0", episodes=4, env_kwargs=keywords, root=tmp_path)
    small: dict[str, Any] = {"batch_size": 32, "hidden_sizes": [32]}
    agent, shifting = (agents.make("bc", env, **small, image_shift=pixels) for pixels in (0, 3))
    agent.learn(dataset, env, seed=0, budget=2)
    check_that_actions_depend_on_images(agent, env, tmp_path)
    check_that_the_last_action_is_hidden(agent, env)
    shifting.learn(dataset, env, seed=0, budget=1)
    observation, _ = env.reset(seed=0)
    # Images are shifted in training alone.
    actions = [shifting.predict(observation, deterministic=True)[0] for _ in range(2)]
    np.testing.assert_array_equal(actions[0], actions[1])
    assert "image_shift" not in agent.settings.model_dump()
    assert shifting.settings.model_dump()["image_shift"] == 3


def test_images_of_an_observation_are_shifted_alike_and_numbers_stay() -> None:
    image = gym.spaces.Box(0, 255, (20, 22, 3), np.uint8)
    first = gym.spaces.Box(0, 255, (3, 20, 22), np.uint8)
    space = gym.spaces.Dict({"front": image, "wrist": first, "state": gym.spaces.Box(-1.0, 1.0, (3,))})
    pixels = torch.randint(0, 256, (5, 20, 22, 3), dtype=torch.uint8)
    state = torch.rand(5, 3)
    moved: Any = shifted_images({"front": pixels, "wrist": pixels.movedim(-1, 1), "state": state}, space, 4)
    assert torch.equal(moved["state"], state)
    assert torch.equal(moved["front"].movedim(-1, 1), moved["wrist"])
    assert not torch.equal(moved["front"], pixels)
    assert moved["front"].shape == pixels.shape
    # The middle is there still, somewhere else.
    for before, after in zip(pixels, moved["front"], strict=True):
        middle = before[8:12, 8:12]
        found = [
            (row, column)
            for row in range(4, 13)
            for column in range(4, 13)
            if torch.equal(after[row : row + 4, column : column + 4], middle)
        ]
        assert len(found) == 1


def test_an_environment_has_settings_of_its_own(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = yaml.safe_load(settings_module.settings_files()["bc"].read_text())
    (tmp_path / "bc.yaml").write_text(yaml.safe_dump({**shipped, "LamReach": {"epochs": 7}}))
    monkeypatch.setattr(settings_module, "CONFIGS", tmp_path)
    usual = BCSettings().epochs
    assert read_settings("bc", BCSettings, {}, make("LamReach-v0")).epochs == 7
    assert read_settings("bc", BCSettings, {}, make("LamReach-v0", control="ee")).epochs == 7
    assert read_settings("bc", BCSettings, {"epochs": 9}, make("LamReach-v0")).epochs == 9
    for env in (make("LamReachGoal-v0"), make("LamGrasp-v0"), make("LamReach-v0", control="joint"), None):
        assert read_settings("bc", BCSettings, {}, env).epochs == usual


WITH_SETTINGS = sorted(settings_module.settings_files())
DISCRETE = {"dqfd", "dqn", "sqil"}
"""Agents of discrete actions alone."""


@pytest.mark.parametrize("variant", ["", "Discrete"])
@pytest.mark.parametrize("task", registration.TASKS)
def test_shipped_settings_are_sound(task: str, variant: str, make: Make) -> None:
    own = registration.env_id(task, variant)
    env, section = make(own), own.removesuffix("-v0")
    assert set(WITH_SETTINGS) | {"random", "expert"} == set(AGENTS)
    for name in WITH_SETTINGS:
        file = yaml.safe_load(settings_module.settings_files()[name].read_text())
        kind = spec_of(find(name)).settings
        assert kind is not None
        found = read_settings(name, kind, {}, env)
        assert set(kind.model_fields) >= set(file[settings_module.SEARCH])
        for key, value in file.get(section, {}).items():
            assert getattr(found, key) == (tuple(value) if isinstance(value, list) else value), (name, key)
        if task == "reach" and (name in DISCRETE) == (variant == "Discrete"):
            seen = make("LamReachPixels-v0") if name == "keypoints" else env  # it needs images
            assert agents.make(name, seen).settings == read_settings(name, kind, {}, seen), name


def test_settings_inherit_from_another_agents_file(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = yaml.safe_load(settings_module.settings_files()["bc"].read_text())
    (tmp_path / "bc.yaml").write_text(yaml.safe_dump({**shipped, "LamReach": {"epochs": 7, "batch_size": 9}}))
    (tmp_path / "mine.yaml").write_text("inherits: bc\nLamGrasp: {epochs: 8}\n")
    monkeypatch.setattr(settings_module, "CONFIGS", tmp_path)
    for env_id, epochs in (("LamReach-v0", 7), ("LamGrasp-v0", 8), ("LamStack-v0", SharedBCSettings().epochs)):
        found = read_settings("mine", SharedBCSettings, {}, make(env_id))
        assert (found.epochs, found.batch_size) == (epochs, 9 if env_id == "LamReach-v0" else 128)


def test_every_environment_of_the_settings_exists() -> None:
    known = {env_id.rpartition("-v")[0] for env_id in __import__("lam_envs").ENV_IDS} | {
        settings_module.SEARCH,
        settings_module.INHERITS,
        settings_module.PIXELS,
    }
    for file in settings_module.settings_files().values():
        assert set(yaml.safe_load(file.read_text())) <= known, file.name


def test_a_saved_policy_names_its_demonstrations(datasets: Any, make: Make, tmp_path: Path) -> None:
    root, ids = datasets
    env = make("LamReach-v0")
    agent = agents.make("bc", env)
    agent.learn(demos.load(ids["LamReach-v0"], root), env, seed=5, budget=1)
    loaded = agents.load(agent.save(tmp_path / "bc"), env)
    assert isinstance(loaded, BehaviorCloning)
    assert loaded.training == agent.training
    assert loaded.training["demonstrations"]["id"] == ids["LamReach-v0"]
    assert loaded.training["seed"] == 5


@pytest.mark.parametrize(
    "log_std", [*(pytest.param(value, marks=pytest.mark.slow) for value in (-20.0, -60.0)), -33.0]
)
def test_an_action_that_is_nearly_always_the_same_ends_no_training(log_std: float) -> None:
    """The noise of such an action shrinks with each update, until another label of it would overflow."""
    rng = np.random.default_rng(0)
    seen = rng.uniform(-1.0, 1.0, (512, 3)).astype(np.float32)
    done = np.stack([0.5 * seen[:, 0], np.where(seen[:, 1] > 0.9, 1.0, -1.0)], axis=1).astype(np.float32)
    spaces = (gym.spaces.Box(-1.0, 1.0, (3,)), gym.spaces.Box(-1.0, 1.0, (2,)))
    learned = Transitions(torch.from_numpy(seen), torch.from_numpy(done))
    with isolated_rng(0):
        policy = BCPolicy(*spaces, SharedBCSettings(hidden_sizes=(32,)))
        with torch.no_grad():
            policy.network.log_std[1] = log_std
        loop = TrainingLoop(policy, learned, LoopSettings(40, 64, 1e-3), seed=0)
        while not loop.is_done:
            loop.epoch()
            assert np.isfinite(loop.logs["loss"])
    assert all(bool(torch.isfinite(weights).all()) for weights in policy.parameters())
    assert float(policy.network.log_std.detach().min()) >= MIN_LOG_STD
    assert np.isfinite(policy.predict(seen, deterministic=True)[0]).all()
