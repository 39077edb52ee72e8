"""The memory of DQfD: its tree is exact and fair, demonstrations stay, longer returns end where episodes do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from scipy import stats

from agents.rl.dqfd.replay import PrioritizedReplayBuffer, SumTree
from demos.datasets.episode import Episode

COUNT, ACTIONS = 50, 7
GAMMA = 0.9
# Lengths of demonstrations, and whether they terminated or ran out of time.
SHOWN = ((5, True), (2, False), (1, True), (12, False))


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
        buffer.add_demonstration(
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
    returns, discounts, last = buffer.n_step_returns(kept)
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
    returns, discounts, last = buffer.n_step_returns(batch.rows)
    ended = buffer.terminations[batch.rows]
    for found, expected in (
        (batch.observations, buffer.observations[batch.rows]),
        (batch.actions, buffer.actions[batch.rows]),
        (batch.labels, buffer.labels[batch.rows]),
        (batch.rewards, buffer.rewards[batch.rows]),
        (batch.discounts, np.where(ended, 0.0, GAMMA)),
        (batch.next_observations, buffer.next_observations[batch.rows]),
        (batch.returns, returns),
        (batch.n_step_discounts, discounts),
        (batch.n_step_observations, buffer.next_observations[last]),
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
    flags = np.zeros(3, dtype=bool)
    more = Episode(None, np.zeros((4, 2)), np.zeros(3), np.zeros(3), flags, flags, infos={})
    with pytest.raises(ValueError, match="a demonstration of 3 steps ends beyond row 20"):
        buffer.add_demonstration(more)


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
    fresh = SumTree(size)
    fresh.set(np.arange(size), plain)
    np.testing.assert_array_equal(tree.nodes, fresh.nodes)
    assert tree.total == pytest.approx(plain.sum(), rel=1e-12)


def test_what_a_buffer_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="there are 2 environments"):
        buffer_of(7, n_envs=2)
    with pytest.raises(ValueError, match="20 demonstrated transitions leave no room in 20 rows"):
        buffer_of(0)
