"""Sequence policies: losses without padding, one memory per row, chunks, temporal ensembling."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from agents.data.sequences import SequenceBatch
from agents.imitation.sequence.act import ACTPolicy, kl_divergence
from agents.imitation.sequence.bc_rnn import RecurrentPolicy
from agents.policies.heads.mixture import Mixture
from agents.policies.sequence_policy import SequencePolicy
from agents.training.randomness import isolated_rng
from demos.datasets.statistics import Statistics, array_statistics

from .small import ACTIONS, DISCRETE, NAMES, batch, policy

CASES: list[tuple[str, dict[str, Any]]] = [
    ("bc-rnn", {}),
    ("bc-rnn", {"action_horizon": 3, "executed_actions": 2, "components": 1}),
    ("act", {}),
    ("act", {"obs_horizon": 3, "latent_size": 4}),
    ("act", {"ensembling": True}),
    ("diffusion", {}),
    ("diffusion", {"objective": "noise", "noise_scale": 1.0}),
]
cases = pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
kinds = pytest.mark.parametrize("action_space", [ACTIONS, DISCRETE], ids=["continuous", "discrete"])


def windows(made: SequencePolicy, **keywords: Any) -> SequenceBatch:
    past = made.horizons.observations - 1 if isinstance(made, RecurrentPolicy) else 0
    return batch(made, past=past, **keywords)


def loss_of(made: SequencePolicy, examples: SequenceBatch) -> torch.Tensor:
    with isolated_rng(1):
        loss, logs = made.compute_loss(examples)
    assert loss.shape == ()
    assert all(value.shape == () for value in logs.values())
    return loss


@kinds
@cases
def test_padding_has_no_part_in_the_loss(name: str, settings: dict[str, Any], action_space: Any) -> None:
    made = policy(name, action_space, **settings)
    examples = windows(made)
    loss = loss_of(made, examples)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [weights.grad.clone() for weights in made.parameters() if weights.grad is not None]
    changed = examples.actions.clone()
    changed[examples.action_is_pad] = 0 if made.codec.is_discrete else 123.0
    made.zero_grad()
    other = loss_of(made, replace(examples, actions=changed))
    other.backward()  # type: ignore[no-untyped-call]
    assert torch.equal(other, loss)
    again = [weights.grad for weights in made.parameters() if weights.grad is not None]
    assert all(torch.equal(one, two) for one, two in zip(gradients, again, strict=True))
    if made.horizons.actions > 1:
        unpadded = replace(examples, action_is_pad=torch.zeros_like(examples.action_is_pad))
        assert not torch.equal(loss_of(made, unpadded), loss)


@cases
def test_actions_that_are_padding_get_no_gradient(name: str, settings: dict[str, Any]) -> None:
    made = policy(name, **settings)
    examples = windows(made)
    actions = examples.actions.clone().requires_grad_()
    loss_of(made, replace(examples, actions=actions)).backward()  # type: ignore[no-untyped-call]
    assert actions.grad is not None
    assert float(actions.grad[examples.action_is_pad].abs().max()) == 0.0
    counted = ~examples.action_is_pad
    assert float(actions.grad[counted].abs().sum(dim=-1).min()) > 0.0


def test_the_loss_of_a_recurrent_policy_is_the_likelihood_of_each_observed_step() -> None:
    made = policy("bc-rnn", action_horizon=2, executed_actions=1)
    assert isinstance(made, RecurrentPolicy)
    examples = windows(made)
    total, count = 0.0, 0
    for row in range(len(examples)):
        first = int(examples.observation_is_pad[row].sum())
        seen = examples.observations[row : row + 1, first:]
        rows = torch.nn.functional.silu(made.encoder(seen).flatten(2))
        found = made.head(made.lstm(rows)[0])
        assert isinstance(found, Mixture)
        logits, means, stds = (part[0].detach().double().numpy() for part in vars(found).values())
        for step in range(seen.shape[1]):
            chunk = examples.actions[row, first + step : first + step + 2].double().numpy()
            counted = ~examples.action_is_pad[row, first + step : first + step + 2].numpy()
            if not counted.any():
                # The density of nothing is 1, its logarithm 0.
                count += 1
                continue
            errors = (chunk.ravel() - means[step]) / stds[step]
            densities = -0.5 * errors**2 - np.log(stds[step]) - 0.5 * np.log(2 * np.pi)
            densities = (densities.reshape(-1, 2, 2) * counted[:, None]).sum(axis=(1, 2))
            weights = np.exp(logits[step]) / np.exp(logits[step]).sum()
            total -= np.log((weights * np.exp(densities)).sum())
            count += 1
    assert float(loss_of(made, examples).detach()) == pytest.approx(total / count, rel=1e-5)


def test_the_divergence_of_a_latent_variable_is_that_of_numpy() -> None:
    rng = np.random.default_rng(0)
    mean, log_variance = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    expected = 0.5 * (np.exp(log_variance) + mean**2 - 1.0 - log_variance).sum(axis=1).mean()
    assert float(kl_divergence(torch.from_numpy(mean), torch.from_numpy(log_variance))) == pytest.approx(expected)


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32))


def scaled(made: SequencePolicy, examples: SequenceBatch) -> np.ndarray:
    """Fit the codec of a policy to actions from (-0.5, -0.2) to (0.9, 1.0); return the codes of a minibatch."""
    low, high = np.array([-0.5, -0.2]), np.array([0.9, 1.0])
    middle, reach = (low + high) / 2, (high - low) / 2
    made.codec.fit(Statistics(2, middle, reach, low, high))
    codes: np.ndarray = (examples.actions.double().numpy() - middle) / reach
    return codes


def test_the_loss_of_act_is_that_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    made = policy("act", obs_horizon=3, latent_size=4, kl_weight=0.5)
    assert isinstance(made, ACTPolicy)
    assert made.latent is not None
    examples = windows(made)
    codes, counted = scaled(made, examples), ~examples.action_is_pad.numpy()
    noise = np.random.default_rng(2).normal(size=(len(examples), 4))
    with torch.no_grad():
        context = made.context(examples)
        encoded = made.latent(context, tensor(codes), examples.action_is_pad)
        mean, log_variance = (values.double().numpy() for values in encoded)
        latent = mean + np.exp(log_variance / 2) * noise
        predicted = made(context, made.latent.token(tensor(latent))).double().numpy()
    error = np.abs(predicted - codes)[counted].mean()
    divergence = 0.5 * (np.exp(log_variance) + mean**2 - 1.0 - log_variance).sum(axis=1).mean()
    assert min(error, divergence) > 0.1
    monkeypatch.setattr(torch, "randn_like", lambda values: tensor(noise))
    loss, _ = made.compute_loss(examples)
    assert float(loss.detach()) == pytest.approx(error + 0.5 * divergence, abs=1e-5)


@pytest.mark.parametrize("objective", ["flow", "noise"])
def test_the_loss_of_diffusion_is_that_of_numpy(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = policy("diffusion", objective=objective)
    examples = windows(made)
    codes, counted = scaled(made, examples), ~examples.action_is_pad.numpy()
    rng = np.random.default_rng(2)
    noise, drawn = rng.normal(size=codes.shape), rng.random(len(codes))
    seen = np.where(counted[..., None], codes, 0.0)
    if objective == "flow":
        time = 0.9 * drawn
        part = time[:, None, None]
        noisy, target = (1.0 - part) * noise + part * seen, seen - noise
    else:
        time = 0.098 + (0.98 - 0.098) * drawn
        cos, sin = (of(np.pi / 2 * time)[:, None, None] for of in (np.cos, np.sin))
        noisy, target = cos * seen + sin * noise, noise
    with torch.no_grad():
        condition = made.condition(made.context(examples).tokens.flatten(1))
        estimate = made.network(tensor(noisy), tensor(time), condition).double().numpy()
    predicted = (estimate - noisy) / (1.0 - part) if objective == "flow" else (noisy - cos * estimate) / sin
    monkeypatch.setattr(torch, "randn_like", lambda values: tensor(noise))
    monkeypatch.setattr(torch, "rand", lambda *shape, **keywords: tensor(drawn))
    loss, _ = made.compute_loss(examples)
    assert float(loss.detach()) == pytest.approx(np.square(predicted - target)[counted].mean(), rel=1e-5)


def observations(steps: int, rows: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1.0, 1.0, (steps, rows, 3)).astype(np.float32)


@kinds
@cases
def test_rows_of_a_batch_remember_for_themselves(name: str, settings: dict[str, Any], action_space: Any) -> None:
    made = policy(name, action_space, **settings)
    seen, starts = observations(9, 3), np.zeros((9, 3), dtype=bool)
    # Rows start again at different steps, in the middle of a chunk.
    starts[[0, 0, 0, 3, 5], [0, 1, 2, 1, 2]] = True
    state: Any = None
    singles: list[Any] = [None] * 3
    for step in range(9):
        actions, state = made.predict(seen[step], state, starts[step], deterministic=True)
        for row in range(3):
            start = starts[step, row : row + 1]
            action, singles[row] = made.predict(seen[step, row], singles[row], start, deterministic=True)
            np.testing.assert_allclose(actions[row], action, atol=1e-5)
    assert actions.shape == (3, *action_space.shape)


@cases
def test_a_start_forgets_what_was_before(name: str, settings: dict[str, Any]) -> None:
    made = policy(name, **settings)
    seen = observations(6, 1)[:, 0]
    _, state = made.predict(seen[0], deterministic=True)
    _, state = made.predict(seen[1], state, np.array([False]), deterministic=True)
    again, _ = made.predict(seen[2], state, np.array([True]), deterministic=True)
    fresh, _ = made.predict(seen[2], deterministic=True)
    np.testing.assert_array_equal(again, fresh)


@cases
def test_a_call_does_not_change_the_memory_that_it_is_given(name: str, settings: dict[str, Any]) -> None:
    made = policy(name, **settings)
    seen = observations(2, 2)
    _, state = made.predict(seen[0], deterministic=True)
    before = {key: value.clone() for key, value in state.items()}
    for _ in range(2):
        made.predict(seen[1], state, np.array([True, False]), deterministic=True)
        assert all(torch.equal(value, before[key]) for key, value in state.items())


def test_a_memory_of_another_number_of_rows_is_refused() -> None:
    made = policy("act")
    seen = observations(1, 4)[0]
    _, state = made.predict(seen, deterministic=True)
    with pytest.raises(ValueError, match="the state has 4 rows for a batch of 2 observations; expected 2: pass"):
        made.predict(seen[:2], state, deterministic=True)
    for memory in (state, None):
        with pytest.raises(
            ValueError, match="episode_start has 3 values for a batch of 4 observations; expected 4, or"
        ):
            made.predict(seen, memory, np.array([True, False, False]), deterministic=True)


def test_arrays_that_a_tensor_cannot_share_are_seen_as_their_copies() -> None:
    made = policy("act")
    seen = observations(1, 4)[0]
    fixed = seen.copy()
    fixed.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (seen[::-1], seen[:, ::-1], fixed, np.broadcast_to(seen[0], seen.shape)):
            expected, _ = made.predict(given.copy(), deterministic=True)
            np.testing.assert_array_equal(made.predict(given, deterministic=True)[0], expected)


@pytest.mark.parametrize("executed", [1, 3, 8])
def test_the_executed_part_of_a_chunk_is_what_was_predicted(executed: int) -> None:
    made = policy("act", executed_actions=executed)
    seen, state = observations(9, 1)[:, 0], None
    for step in range(9):
        action, state = made.predict(seen[step], state, deterministic=True)
        planned = step - step % executed
        context, _ = made.encode(replace(batch(made, 1), observations=torch.from_numpy(seen[planned])[None, None]))
        chunk = made.codec.decode(made.predict_chunk(context, None, deterministic=True))
        np.testing.assert_allclose(action, chunk[0, step % executed].detach().clamp(-1, 1), atol=1e-5)


@pytest.mark.parametrize("decay", [0.0, 0.01, 1.0])
def test_temporal_ensembling_is_the_weighted_mean_of_all_predictions(decay: float) -> None:
    made = policy("act", ensembling=True, ensembling_decay=decay, action_horizon=4)
    seen, state = observations(9, 1)[:, 0], None
    alone = policy("act", executed_actions=1, action_horizon=4)
    chunks: list[np.ndarray] = []
    for step in range(9):
        action, state = made.predict(seen[step], state, deterministic=True)
        chunks.append(alone.predict(seen[step], deterministic=True)[1]["chunk"][0].numpy())
        # The memory is shifted by one: the executed action is gone.
        first = alone.predict(seen[step], deterministic=True)[0]
        chunks[-1] = np.concatenate([first[None], chunks[-1][:3]])
        of_step = [chunks[past][step - past] for past in range(max(0, step - 3), step + 1)]
        weights = np.exp(-decay * np.arange(len(of_step)))
        expected = (np.array(of_step) * weights[:, None]).sum(axis=0) / weights.sum()
        np.testing.assert_allclose(action, expected, atol=1e-5)


def test_a_recurrent_policy_sees_its_last_observations_and_no_others() -> None:
    made = policy("bc-rnn")  # sees four
    seen = observations(8, 2)
    seen[4:, 1] = seen[4:, 0]
    state: Any = None
    for step in range(8):
        actions, state = made.predict(seen[step], state, deterministic=True)
        same = bool(np.allclose(actions[0], actions[1], atol=1e-6))
        assert same == (step == 7), step


@pytest.mark.parametrize("name", NAMES)
def test_deterministic_actions_repeat_and_drawn_ones_do_not(name: str) -> None:
    made = policy(name, **({"latent_size": 4} if name == "act" else {}))
    seen = observations(1, 1)[0, 0]
    with isolated_rng(0):
        first, second = (made.predict(seen, deterministic=True)[0] for _ in range(2))
        drawn = [made.predict(seen, deterministic=False)[0] for _ in range(2)]
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(*drawn)


@pytest.mark.parametrize("name", ["act", "bc-rnn"])
def test_drawn_discrete_actions_have_the_probabilities_of_the_policy(name: str) -> None:
    made = policy(name, DISCRETE, action_horizon=1, executed_actions=1)
    seen = np.repeat(observations(1, 1)[0], 4000, axis=0)
    with isolated_rng(0):
        drawn, _ = made.predict(seen, deterministic=False)
    _, memory = made.predict(seen[:1], deterministic=True)
    probabilities = memory["chunk"][0, 0].numpy()
    assert float(probabilities.sum()) == pytest.approx(1.0)
    np.testing.assert_allclose(np.bincount(drawn, minlength=5) / len(drawn), probabilities, atol=0.04)


def test_attention_does_not_see_padded_observations() -> None:
    made = policy("act", obs_horizon=3, latent_size=4)
    assert isinstance(made, ACTPolicy)
    examples = batch(made, before=2)
    changed = examples.observations.clone()
    changed[:, :2] += 1.0
    assert torch.equal(loss_of(made, examples), loss_of(made, replace(examples, observations=changed)))


class ConstantDenoiser(torch.nn.Module):
    """Network that always estimates the same code."""

    def __init__(self, code: torch.Tensor) -> None:
        super().__init__()
        self.code = code

    def forward(self, noisy: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return self.code.expand_as(noisy)


@pytest.mark.parametrize(
    ("settings", "lowest"), [({}, 0.2), ({"mirror": True}, -0.5), ({"rotate": True}, -0.5)], ids=str
)
def test_noise_diffusion_leaves_the_range_of_the_demonstrations_only_with_mirror_or_rotate(
    settings: dict[str, Any], lowest: float
) -> None:
    made: Any = policy("diffusion", objective="noise", **settings)
    low, high = np.full(2, 0.2), np.full(2, 0.6)
    made.codec.fit(Statistics(2, (low + high) / 2, np.ones(2), low, high))
    made.network = ConstantDenoiser(made.codec.encode(torch.tensor([-0.5, 0.5])))
    action, _ = made.predict(observations(1, 1)[0, 0], deterministic=True)
    np.testing.assert_allclose(action, [lowest, 0.5], atol=1e-5)


def test_actions_are_scaled_by_their_range() -> None:
    made = policy("act")
    rng = np.random.default_rng(0)
    done = np.stack([rng.uniform(-0.2, 0.4, 100), np.full(100, 0.7)], axis=1).astype(np.float32)
    made.codec.fit(array_statistics(done)["observation"])
    codes = made.codec.encode(torch.from_numpy(done))
    assert float(codes[:, 0].min()) == pytest.approx(-1.0, abs=1e-5)
    assert float(codes[:, 0].max()) == pytest.approx(1.0, abs=1e-5)
    assert float(codes[:, 1].abs().max()) < 1e-4
    np.testing.assert_allclose(made.codec.decode(codes), done, atol=1e-6)
    discrete = policy("act", DISCRETE).codec
    chosen = torch.tensor([[0, 4], [2, 1]])
    assert torch.equal(discrete.decode(discrete.encode(chosen)), chosen)
