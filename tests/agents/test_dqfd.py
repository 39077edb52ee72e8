"""DQfD: its equations are those of the paper, its memory is exact and fair, and its trainings repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import pytest
import torch
from gymnasium import spaces
from scipy import stats

import agents
import demos
from agents.dqfd.agent import DQfD
from agents.dqfd.losses import (
    double_q_targets,
    huber,
    large_margin,
    squared_weights,
    values_of,
    weighted_mean,
)
from agents.dqfd.policy import DuelingPolicy, softmax_actions
from agents.dqfd.replay import PrioritizedReplayBuffer, SumTree
from agents.networks import policy_keywords
from agents.randomness import own_randomness
from agents.run import Run
from agents.stable_baselines import seeded, training_envs
from demos.episode import Episode, episodes_of

from ..conftest import Make
from .test_rl import same
from .test_runs import Fragile, KilledError

SMALL: dict[str, Any] = {"pretraining_steps": 150, "batch_size": 16, "hidden_sizes": [16], "train_freq": 4}
COUNT, ACTIONS = 50, 7
GAMMA = 0.9
# Lengths of demonstrations, and whether they terminated or ran out of time.
SHOWN = ((5, True), (2, False), (1, True), (12, False))


@pytest.fixture
def shown(make: Make, tmp_path: Path) -> Any:
    return demos.collect("LamReachDiscrete-v0", episodes=4, seed=7, root=tmp_path / "data")


def drawn(seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return (
        3 * rng.standard_normal((COUNT, ACTIONS)),
        3 * rng.standard_normal((COUNT, ACTIONS)),
        rng.integers(0, ACTIONS, COUNT),
    )


@pytest.mark.parametrize("steps", [1, 10])
def test_targets_and_errors_equal_a_reference(steps: int) -> None:
    online, target, actions = drawn(steps)
    rng = np.random.default_rng(100 + steps)
    rewards, terminated = rng.standard_normal((COUNT, steps)), rng.random(COUNT) < 0.3
    expected = np.empty(COUNT)
    for i in range(COUNT):
        expected[i] = sum(GAMMA**k * rewards[i, k] for k in range(steps))
        if not terminated[i]:
            expected[i] += GAMMA**steps * target[i, int(np.argmax(online[i]))]
    returns = torch.from_numpy(rewards @ GAMMA ** np.arange(steps))
    discounts = torch.from_numpy(np.where(terminated, 0.0, GAMMA**steps))
    found = double_q_targets(returns, discounts, torch.from_numpy(online), torch.from_numpy(target))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    errors = found - values_of(torch.from_numpy(online), torch.from_numpy(actions))
    by_hand = np.array([expected[i] - online[i, actions[i]] for i in range(COUNT)])
    np.testing.assert_allclose(errors.numpy(), by_hand, atol=1e-6)
    losses = [e * e / 2 if abs(e) < 1 else abs(e) - 0.5 for e in by_hand]
    assert min(abs(by_hand)) < 1 < max(abs(by_hand))
    np.testing.assert_allclose(huber(errors).numpy(), losses, atol=1e-6)
    weights = rng.random(COUNT)
    mean = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / COUNT
    assert float(weighted_mean(torch.tensor(losses), torch.from_numpy(weights))) == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize("margin", [0.0, 0.8, 5.0])
def test_the_margin_loss_equals_a_reference(margin: float) -> None:
    q_values, _, actions = drawn(3)
    expected = [
        max(q_values[i, a] + (margin if a != actions[i] else 0.0) for a in range(ACTIONS)) - q_values[i, actions[i]]
        for i in range(COUNT)
    ]
    found = large_margin(torch.from_numpy(q_values), torch.from_numpy(actions), margin)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_the_margin_loss_is_nothing_where_the_shown_action_is_better_by_the_margin() -> None:
    q_values = torch.tensor([[1.0, 1.9, 0.0], [1.0, 1.5, 0.0]])
    found = large_margin(q_values, torch.tensor([1, 1]), 0.8)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.3]))


def test_the_squares_of_weights_equal_a_reference() -> None:
    parts = [np.random.default_rng(0).standard_normal(shape) for shape in ((4, 3), (4,), (1, 4))]
    expected = sum(float(number) ** 2 for part in parts for number in part.ravel())
    assert float(squared_weights(torch.from_numpy(part) for part in parts)) == pytest.approx(expected, abs=1e-6)


def buffer_of(rows: int, **changed: Any) -> PrioritizedReplayBuffer:
    """Observations tell the episode and the step; demonstrations as in ``SHOWN``."""
    keywords: dict[str, Any] = {
        "n_step": 4, "gamma": GAMMA, "alpha": 0.4, "agent_bonus": 0.001, "demonstration_bonus": 1.0, "seed": 0
    }  # fmt: skip
    shown = sum(length for length, _ in SHOWN)
    space = spaces.Box(-100.0, 100.0, (2,))
    buffer = PrioritizedReplayBuffer(
        shown + rows, space, spaces.Discrete(5), "cpu", demonstrations=shown, **{**keywords, **changed}
    )
    rng = np.random.default_rng(0)
    for number, (length, terminated) in enumerate(SHOWN):
        ends = np.arange(length) == length - 1
        seen = np.stack([np.full(length + 1, number), np.arange(length + 1)], axis=1).astype(np.float32)
        buffer.demonstrate(
            Episode(
                seed=None,
                observations=seen,
                actions=rng.integers(0, 5, length),
                rewards=rng.standard_normal(length),
                terminations=ends & terminated,
                truncations=ends & (not terminated),
                infos={},
            )
        )
    return buffer


def acted(buffer: PrioritizedReplayBuffer, episodes: list[tuple[int, bool]], unfinished: int = 0) -> None:
    """Adds episodes of the agent, at last one that has not ended yet."""
    rng = np.random.default_rng(1)
    for number, (length, terminated) in enumerate([*episodes, (unfinished, False)], start=len(SHOWN)):
        for step in range(length):
            done = step == length - 1 and number < len(SHOWN) + len(episodes)
            seen = np.array([[number, step], [number, step + 1]], dtype=np.float32)
            info = {"TimeLimit.truncated": done and not terminated}
            buffer.add(seen[:1], seen[1:], rng.integers(0, 5, 1), rng.standard_normal(1), np.array([done]), [info])


@pytest.mark.parametrize("n_step", [1, 4, 10])
@pytest.mark.parametrize("rows", [100, 16, 7], ids=["room", "wraps", "wraps often"])
def test_returns_of_n_steps_end_with_episodes_and_with_what_is_known(rows: int, n_step: int) -> None:
    buffer = buffer_of(rows, n_step=n_step)
    episodes = [(6, False), (3, True), (9, False), (8, True)]
    acted(buffer, episodes, unfinished=5)
    kept = np.arange(buffer.size())
    returns, discounts, last = buffer.later(kept)
    # The reference goes by the observations alone: which steps of which episode are remembered, and where.
    lengths = dict(enumerate([*SHOWN, *episodes, (5, False)]))
    place = {tuple(buffer.observations[row]): row for row in kept}
    assert len(place) == len(kept) == min(20 + rows, 20 + 26 + 5)
    for row in kept:
        number, step = (int(part) for part in buffer.observations[row])
        length, terminated = lengths[number]
        steps = range(step, min(step + n_step, length))
        rewards = [buffer.rewards[place[number, at]] for at in steps]
        assert returns[row] == pytest.approx(sum(GAMMA**k * r for k, r in enumerate(rewards)), abs=1e-9)
        ended = terminated and steps[-1] == length - 1
        assert discounts[row] == pytest.approx(0.0 if ended else GAMMA ** len(steps), abs=1e-9)
        np.testing.assert_array_equal(buffer.next_observations[last[row]], [number, steps[-1] + 1])


def test_a_batch_holds_the_rows_that_were_drawn() -> None:
    buffer = buffer_of(30)
    acted(buffer, [(6, False), (3, True), (9, False)])
    batch = buffer.sample(64, beta=0.6)
    returns, discounts, last = buffer.later(batch.rows)
    ended = buffer.terminations[batch.rows]
    for found, expected in (
        (batch.observations, buffer.observations[batch.rows]),
        (batch.actions, buffer.actions[batch.rows]),
        (batch.labels, buffer.labels[batch.rows]),
        (batch.rewards, buffer.rewards[batch.rows]),
        (batch.discounts, np.where(ended, 0.0, GAMMA)),
        (batch.next_observations, buffer.next_observations[batch.rows]),
        (batch.returns, returns),
        (batch.later_discounts, discounts),
        (batch.later_observations, buffer.next_observations[last]),
        (batch.demonstrated, batch.rows < buffer.demonstrations),
    ):
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert 0 < ended.sum() < 64
    assert 0 < batch.demonstrated.sum() < 64


def test_demonstrations_are_never_overwritten() -> None:
    buffer = buffer_of(7)
    rows = slice(0, buffer.demonstrations)
    names = ("observations", "next_observations", "actions", "rewards", "terminations", "ends")
    before = {name: getattr(buffer, name)[rows].copy() for name in names}
    acted(buffer, [(6, True)] * 50)
    assert buffer.full
    assert buffer.size() == buffer.demonstrations + 7
    for name, values in before.items():
        np.testing.assert_array_equal(getattr(buffer, name)[rows], values)
    newest = len(SHOWN) + 49
    assert (buffer.observations[buffer.demonstrations :, 0] >= newest - 1).all()
    with pytest.raises(ValueError, match="a demonstration of 3 steps ends beyond row 20"):
        buffer.demonstrate(Episode(None, np.zeros((4, 2)), *(np.zeros(3) for _ in range(4)), infos={}))  # type: ignore[arg-type]


def test_priorities_have_the_bonus_of_their_kind_and_weights_their_formula() -> None:
    buffer = buffer_of(10)
    acted(buffer, [(8, True)])
    rng = np.random.default_rng(2)
    # Before any error is known all are alike but for their bonus.
    np.testing.assert_allclose(buffer.tree[:20], (1.0 + 1.0) ** 0.4)
    np.testing.assert_allclose(buffer.tree[20:28], (1.0 + 0.001) ** 0.4)
    errors = 3 * rng.standard_normal(28)
    buffer.set_errors(np.arange(28), errors)
    expected = [(abs(e) + (1.0 if row < 20 else 0.001)) ** 0.4 for row, e in enumerate(errors)]
    np.testing.assert_allclose(buffer.tree[:28], expected, rtol=1e-12)
    for beta in (0.0, 0.6, 1.0):
        batch = buffer.sample(16, beta=beta)
        raw = [(28 * expected[row] / sum(expected)) ** -beta for row in batch.rows]
        np.testing.assert_allclose(batch.weights.numpy(), np.array(raw) / max(raw), rtol=1e-6)
    acted(buffer, [(1, True)])
    assert buffer.tree[28] == pytest.approx((abs(errors).max() + 0.001) ** 0.4)


def test_without_priorities_all_are_drawn_alike_with_weights_of_one() -> None:
    buffer = buffer_of(10, alpha=0.0)
    acted(buffer, [(8, True)])
    buffer.set_errors(np.arange(28), np.arange(28.0))
    batch = buffer.sample(28_000, beta=0.6)
    assert (batch.weights == 1.0).all()
    counts = np.bincount(batch.rows, minlength=28)
    # Each draw has a part of its own of the whole: closer to the expectation than chance.
    np.testing.assert_allclose(counts, 1000, atol=2)


@pytest.mark.parametrize("size", [1, 2, 3, 37, 5000])
def test_the_tree_finds_leaves_in_proportion_and_never_an_empty_one(size: int) -> None:
    rng = np.random.default_rng(size)
    priorities = rng.random(size) ** 3
    priorities[rng.random(size) < 0.3] = 0.0
    priorities[0] = 0.5
    tree = SumTree(size)
    tree.set(np.arange(size), priorities)
    drawn_from = 400 * size
    found = tree.find(rng.random(drawn_from) * tree.total)
    counts = np.bincount(found, minlength=size)
    assert len(counts) == size
    assert not counts[priorities == 0.0].any()
    expected = drawn_from * priorities / priorities.sum()
    # Of those that are expected often enough for the test; the rest as one.
    often = expected >= 5
    if often.sum() > 1:
        rest = [([counts[~often].sum()], [expected[~often].sum()])] if expected[~often].sum() >= 5 else []
        seen, should = ([*counts[often]], [*expected[often]])
        for more_seen, more_should in rest:
            seen, should = [*seen, *more_seen], [*should, *more_should]
        assert stats.chisquare(seen, np.array(should) * sum(seen) / sum(should)).pvalue > 1e-3
    borders = np.concatenate([[0.0, tree.total], np.cumsum(priorities)])
    assert (priorities[tree.find(borders)] > 0.0).all()


def test_the_tree_is_exact_after_a_million_changes() -> None:
    rng = np.random.default_rng(0)
    size = 3000
    tree, plain = SumTree(size), np.zeros(size)
    for _ in range(1000):
        indices, priorities = rng.integers(0, size, 1000), 10.0 ** rng.uniform(-8, 8, 1000)
        tree.set(indices, priorities)
        # The last of those that are named twice, one after the other.
        for index, priority in zip(indices.tolist(), priorities.tolist(), strict=True):
            plain[index] = priority
    np.testing.assert_array_equal(tree[:], plain)
    anew = SumTree(size)
    anew.set(np.arange(size), plain)
    np.testing.assert_array_equal(tree.nodes, anew.nodes)
    assert tree.total == pytest.approx(plain.sum(), rel=1e-12)


def test_what_a_buffer_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="there are 2 environments"):
        buffer_of(7, n_envs=2)
    with pytest.raises(ValueError, match="20 demonstrated transitions leave no room in 20 rows"):
        buffer_of(0)


def test_softmax_exploration_draws_by_softmax() -> None:
    q_values = torch.tensor([[0.3, 0.1, 0.0, -0.5, 0.25]])
    with own_randomness(0):
        found = softmax_actions(q_values.repeat(20_000, 1), temperature=0.2).numpy()
    powers = np.exp(q_values.numpy()[0].astype(np.float64) / 0.2)
    expected = 20_000 * powers / powers.sum()
    assert stats.chisquare(np.bincount(found, minlength=5), expected).pvalue > 1e-3


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
    return DQfD(training_envs(env, 0), agents.make("dqfd", env, **SMALL, **settings).settings, shown, Run(), 0)


def test_pre_training_touches_no_environment_and_learns(shown: Any, make: Make) -> None:
    env = make("LamReachDiscrete-v0")
    with own_randomness(0):
        model = model_of(env, shown)
        first = model.update(64)
        model.pretrain()
        last = model.update(64)
    assert [inner.episode for inner in seeded(model.get_env())] == [0]  # type: ignore[arg-type]
    assert model.num_timesteps == 0
    assert model.replay_buffer.size() == model.replay_buffer.demonstrations == shown.total_steps
    assert last["margin"] < 0.7 * first["margin"]


def test_the_learning_rate_falls_as_the_agent_practises_and_the_bias_is_undone(shown: Any, make: Make) -> None:
    env = make("LamReachDiscrete-v0")
    with own_randomness(0):
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
def test_practice_explores_and_judgement_does_not(exploration: str, shown: Any, make: Make) -> None:
    env = make("LamReachDiscrete-v0")
    with own_randomness(0):
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


@pytest.mark.parametrize("exploration", ["epsilon_greedy", "softmax"])
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
    # In the pre-training, right after it, and as the agent practised.
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
    noisy = demos.collect("LamReachDiscrete-v0", episodes=2, seed=7, quality="noisy", root=tmp_path)
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
    one, other = (agents.make("dqfd", env, **SMALL) for _ in range(2))
    for agent in (one, other):
        agent.learn(shown, env, seed=0, budget=40)
    assert same(one, other)


def test_what_cannot_be_learned_from_is_refused(datasets: Any, shown: Any, make: Make) -> None:
    root, ids = datasets
    env = make("LamReachDiscrete-v0")
    with pytest.raises(ValueError, match="this agent's environment has Discrete"):
        agents.make("dqfd", env).learn(demos.load(ids["LamReach-v0"], root), env, seed=0)
    with pytest.raises(ValueError, match="agent dqfd chooses among discrete actions; this environment has Box"):
        agents.make("dqfd", make("LamReach-v0"))
    with pytest.raises(ValueError, match="budget is 0"):
        agents.make("dqfd", env).learn(shown, env, seed=0, budget=0)
    with pytest.raises(ValueError, match="seed is -1"):
        agents.make("dqfd", env).learn(shown, env, seed=-1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exploration": "boltzmann"}, "exploration is 'boltzmann'; expected one of epsilon_greedy, softmax"),
        ({"exploration": 1}, "setting exploration of agent dqfd is 1; expected str"),
        ({"gamma": 1.0}, "gamma is 1.0; expected at least 0 and below 1"),
        ({"alpha": 1.5}, "alpha is 1.5; expected 0 to 1"),
        ({"beta": -0.1}, "beta is -0.1; expected 0 to 1"),
        ({"epsilon": 2.0}, "epsilon is 2.0; expected 0 to 1"),
        ({"temperature": 0.0}, "temperature is 0.0; expected a positive number"),
        ({"agent_bonus": 0.0}, "agent_bonus is 0.0; expected a positive number"),
        ({"n_step": 0}, "n_step is 0; expected at least 1"),
        ({"margin": -1.0}, "margin is -1.0; expected at least 0"),
        ({"pretraining_steps": -1}, "pretraining_steps is -1; expected at least 0"),
        ({"target_update_interval": 0}, "target_update_interval is 0; expected at least 1"),
        ({"hidden_sizes": []}, "hidden_sizes is"),
        ({"bonus": 1.0}, "unknown setting 'bonus' of agent dqfd"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str, make: Make) -> None:
    with pytest.raises(ValueError, match=message):
        agents.make("dqfd", make("LamReachDiscrete-v0"), **settings)
