"""DQfD explores, its parts can be turned off, and its trainings repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from scipy import stats

import agents
import demos
from agents.data.demonstrations import DemonstrationData
from agents.policies.networks import policy_keywords
from agents.rl.dqfd.agent import DQfD
from agents.rl.dqfd.policy import DuelingPolicy, softmax_actions
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.stable_baselines.training import training_envs
from demos.datasets.reading import episodes_of

from ...conftest import Make
from ..test_rl import same
from ..test_runs import Fragile, KilledError

SMALL: dict[str, Any] = {"pretraining_steps": 150, "batch_size": 16, "hidden_sizes": [16], "train_freq": 4}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return demos.collect("LamReachDiscrete-v0", episodes=4, seed=7, root=tmp_path_factory.mktemp("shown"))


def test_softmax_exploration_draws_by_softmax() -> None:
    q_values = torch.tensor([[0.3, 0.1, 0.0, -0.5, 0.25]])
    with isolated_rng(0):
        found = softmax_actions(q_values.repeat(20_000, 1), temperature=0.2).numpy()
    powers = np.exp(q_values.numpy()[0].astype(np.float64) / 0.2)
    expected = 20_000 * powers / powers.sum()
    assert stats.chisquare(np.bincount(found, minlength=5), expected).pvalue > 1e-3


@pytest.mark.slow
def test_the_advantages_of_the_dueling_network_have_mean_zero(make: Make) -> None:
    env = make("LamReachDiscrete-v0")
    policy = DuelingPolicy(env.observation_space, env.action_space, lambda _: 0.0, **policy_keywords((16, 8)))  # type: ignore[arg-type]
    network: Any = policy.q_net
    seen = torch.randn(5, *(env.observation_space.shape or ()))
    features = network.q_net(network.extract_features(seen, network.features_extractor))
    torch.testing.assert_close(network(seen).mean(dim=1), network.value(features)[:, 0])
    differences = network(seen) - network(seen)[:, :1]
    torch.testing.assert_close(differences, network.advantage(features) - network.advantage(features)[:, :1])


def model_of(env: gym.Env[Any, Any], shown: Any, **settings: Any) -> DQfD:
    made = agents.make("dqfd", env, **SMALL, **settings)
    return DQfD(training_envs(env, 0), made.settings, DemonstrationData(shown), Run(), 0)


def test_pre_training_touches_no_environment_and_learns(shown: Any, make: Make) -> None:
    env = make("LamReachDiscrete-v0")
    with isolated_rng(0):
        model = model_of(env, shown)
        first = model.update(64)
        model.pretrain()
        last = model.update(64)
    envs: Any = model.get_env()
    assert envs.get_attr("episode") == [0]
    assert model.num_timesteps == 0
    assert model.replay_buffer.size() == model.replay_buffer.demonstrations == shown.total_steps
    assert last["margin"] < 0.7 * first["margin"]


def test_the_learning_rate_falls_with_the_steps_and_the_bias_is_undone(shown: Any, make: Make) -> None:
    env = make("LamReachDiscrete-v0")
    with isolated_rng(0):
        model = model_of(env, shown, beta=0.6)
        rate = model.settings.learning_rate
        seen = []
        sample = model.replay_buffer.sample

        def sampled(size: int, env: Any = None, *, beta: float) -> Any:
            seen.append((beta, model.policy.optimizer.param_groups[0]["lr"]))
            return sample(size, env, beta=beta)

        model.replay_buffer.sample = sampled  # type: ignore[method-assign]
        model.learn(80)
    assert set(seen[:150]) == {(0.6, rate)}
    left = 1.0 - np.arange(4, 81, 4) / 80
    np.testing.assert_allclose(seen[150:], np.stack([1.0 - 0.4 * left, rate * left], axis=1))


@pytest.mark.parametrize("exploration", ["epsilon_greedy", "softmax"])
def test_training_explores_and_evaluation_does_not(exploration: str, shown: Any, make: Make) -> None:
    env = make("LamReachDiscrete-v0")
    with isolated_rng(0):
        model = model_of(env, shown, exploration=exploration, epsilon=0.5, temperature=10.0)
        seen, _ = env.reset(seed=0)
        greedy = {int(model.predict(seen, deterministic=True)[0]) for _ in range(50)}
        explored = {int(model.predict(seen)[0]) for _ in range(50)}
        batch = model.predict(seen[None])[0]
    assert greedy == {int(model.q_net(torch.as_tensor(seen)[None]).argmax())}
    assert len(explored) > 5
    assert batch.shape == (1,)


def test_parts_are_left_out_by_settings(shown: Any, make: Make) -> None:
    env = make("LamReachDiscrete-v0")
    results = {}
    for name in ("margin_weight", "n_step_weight", "alpha", "pretraining_steps", "l2_weight"):
        agent = agents.make("dqfd", env, **{**SMALL, "pretraining_steps": 20, name: 0})
        agent.learn(shown, env, seed=0, budget=40)
        results[name] = agent
    names = list(results)
    for one in names:
        for other in names[names.index(one) + 1 :]:
            assert not same(results[one], results[other]), f"{one} and {other} made the same"


@pytest.mark.slow
@pytest.mark.parametrize("exploration", ["epsilon_greedy", pytest.param("softmax", marks=pytest.mark.slow)])
def test_a_training_that_died_goes_on_and_ends_with_the_same_weights(
    exploration: str, shown: Any, make: Make, tmp_path: Path
) -> None:
    env = make("LamReachDiscrete-v0")
    # More steps than the buffer holds: it wraps on both sides of a death.
    settings: dict[str, Any] = {**SMALL, "exploration": exploration, "epsilon": 0.2, "buffer_size": 100}
    whole, again = (agents.make("dqfd", env, **settings) for _ in range(2))
    whole.learn(shown, env, seed=0, budget=200)
    deaths = 0
    while True:
        # Whatever happened to the global generators between.
        torch.manual_seed(deaths)
        again = agents.make("dqfd", env, **settings)
        run = Fragile(tmp_path / "run")
        run.left = 2
        try:
            again.learn(shown, env, seed=0, budget=200, run=run)
            break
        except KilledError:
            deaths += 1
    # In the pre-training, right after it, and in the training.
    assert deaths >= 3
    assert same(again, whole)
    loaded = agents.load(again.save(tmp_path / "agent"), env)
    assert same(loaded, whole)
    observation, _ = env.reset(seed=0)
    for deterministic in (True, False):
        action = loaded.predict(observation, deterministic=deterministic)[0]
        np.testing.assert_array_equal(action, whole.predict(observation, deterministic=True)[0])
    assert loaded.training["demonstrations"]["id"] == shown.id
    other = agents.make("dqfd", env, **settings)
    other.learn(shown, env, seed=1, budget=200)
    assert not same(other, whole)


def test_of_disturbed_demonstrations_rewards_belong_to_what_was_executed(make: Make, tmp_path: Path) -> None:
    env = make("LamReachDiscrete-v0")
    noisy = demos.collect("LamReachDiscrete-v0", episodes=2, seed=7, demonstrator="noisy", root=tmp_path)
    buffer = model_of(env, noisy).replay_buffer
    episodes = list(episodes_of(noisy))
    rows = slice(0, buffer.demonstrations)
    np.testing.assert_array_equal(buffer.labels[rows], np.concatenate([one.actions for one in episodes]))
    np.testing.assert_array_equal(
        buffer.actions[rows], np.concatenate([np.ravel(one.executed_actions) for one in episodes])
    )
    assert (buffer.labels != buffer.actions).any()


def test_goals_are_observed(make: Make, tmp_path: Path) -> None:
    env = make("LamReachGoal-v0", control="discrete")
    shown = demos.collect(env.spec.id, episodes=2, seed=7, root=tmp_path, env_kwargs={"control": "discrete"})  # type: ignore[union-attr]
    one, other = (agents.make("dqfd", env, **{**SMALL, "pretraining_steps": 20}) for _ in range(2))
    for agent in (one, other):
        agent.learn(shown, env, seed=0, budget=40)
    assert same(one, other)


def test_images_of_demonstrations_are_stored_as_the_network_sees_them(make: Make, tmp_path: Path) -> None:
    keywords = {"image_width": 24, "image_height": 28, "control": "discrete"}
    env = make("LamReachPixels-v0", **keywords)
    shown = demos.collect("LamReachPixels-v0", episodes=1, env_kwargs=keywords, root=tmp_path)
    observations: Any = model_of(env, shown, buffer_size=10).replay_buffer.observations
    (episode,) = episodes_of(shown)
    images = observations["front"][: len(episode)].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(images, episode.observations["front"][:-1])
    agent = agents.make("dqfd", env, **{**SMALL, "pretraining_steps": 2, "train_freq": 40, "buffer_size": 100})
    agent.learn(shown, env, seed=0, budget=40)
    observation, _ = env.reset(seed=0)
    loaded = agents.load(agent.save(tmp_path / "agent"), env)
    action = loaded.predict(observation, deterministic=True)[0]
    np.testing.assert_array_equal(action, agent.predict(observation, deterministic=True)[0])


def test_what_cannot_be_learned_from_is_refused(datasets: Any, shown: Any, make: Make) -> None:
    root, ids = datasets
    env = make("LamReachDiscrete-v0")
    with pytest.raises(ValueError, match="this agent's environment has Discrete"):
        agents.make("dqfd", env).learn(demos.load(ids["LamReach-v0"], root), env, seed=0)
    with pytest.raises(ValueError, match="agent dqfd needs discrete actions; this environment has Box"):
        agents.make("dqfd", make("LamReach-v0"))
    with pytest.raises(ValueError, match="budget is 0"):
        agents.make("dqfd", env).learn(shown, env, seed=0, budget=0)
    with pytest.raises(ValueError, match="seed is -1"):
        agents.make("dqfd", env).learn(shown, env, seed=-1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"exploration": "boltzmann"},
            "exploration of agent dqfd is 'boltzmann'; expected 'epsilon_greedy' or 'softmax'",
        ),
        ({"exploration": 1}, "setting exploration of agent dqfd is 1; expected 'epsilon_greedy' or 'softmax'"),
        ({"gamma": 1.0}, "setting gamma of agent dqfd is 1.0; expected below 1"),
        ({"alpha": 1.5}, "alpha of agent dqfd is 1.5; expected at most 1"),
        ({"beta": -0.1}, "beta of agent dqfd is -0.1; expected at least 0"),
        ({"epsilon": 2.0}, "epsilon of agent dqfd is 2.0; expected at most 1"),
        ({"temperature": 0.0}, "temperature of agent dqfd is 0.0; expected above 0"),
        ({"agent_bonus": 0.0}, "agent_bonus of agent dqfd is 0.0; expected above 0"),
        ({"n_step": 0}, "n_step of agent dqfd is 0; expected at least 1"),
        ({"margin": -1.0}, "margin of agent dqfd is -1.0; expected at least 0"),
        ({"pretraining_steps": -1}, "pretraining_steps of agent dqfd is -1; expected at least 0"),
        ({"target_update_interval": 0}, "target_update_interval of agent dqfd is 0; expected at least 1"),
        ({"hidden_sizes": []}, "hidden_sizes of agent dqfd is .*; expected at least 1 items"),
        ({"bonus": 1.0}, "unknown setting 'bonus' of agent dqfd"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str, make: Make) -> None:
    with pytest.raises(ValueError, match=message):
        agents.make("dqfd", make("LamReachDiscrete-v0"), **settings)
