"""The losses of DQfD equal independent references."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from agents.rl.dqfd.losses import (
    double_q_targets,
    huber,
    large_margin,
    squared_weights,
    values_of,
    weighted_mean,
)

COUNT, ACTIONS = 50, 7
GAMMA = 0.9


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
