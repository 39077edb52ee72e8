"""Losses of heads equal references in NumPy, and sampling inverts what the network predicts exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from agents.policies.heads.categorical import Categorical, CategoricalHead
from agents.policies.heads.chunks import absolute_error, cross_entropy, huber_loss
from agents.policies.heads.denoising import PROCESSES, Denoiser, Objective, denoising_loss
from agents.policies.heads.mixture import Mixture, MixtureHead
from agents.training.randomness import isolated_rng

N, K, C, M = 7, 5, 3, 4
RNG = np.random.default_rng(0)
CODES = RNG.uniform(-1.0, 1.0, (N, K, C))
IS_PAD = np.arange(K) >= RNG.integers(1, K + 1, N)[:, None]
PREDICTED = RNG.normal(size=(N, K, C))
CHOSEN = RNG.integers(0, C, (N, K))
ONE_HOT = np.where(CHOSEN[..., None] == np.arange(C), 1.0, -1.0)


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).to(torch.float32 if array.dtype.kind == "f" else torch.bool)


def mixture() -> tuple[Mixture, np.ndarray, np.ndarray, np.ndarray]:
    logits, means = RNG.normal(size=(N, M)), RNG.normal(size=(N, M, C))
    stds = RNG.uniform(0.1, 1.0, (N, M, C))
    return Mixture(tensor(logits), tensor(means), tensor(stds)), logits, means, stds


def test_the_likelihood_of_a_mixture_is_that_of_numpy() -> None:
    found, logits, means, stds = mixture()
    values, is_pad = CODES[:, 0], RNG.random((N, C)) < 0.3
    log_weights = logits - logsumexp(logits, axis=1, keepdims=True)
    densities = stats.norm.logpdf(values[:, None], means, stds)
    whole = logsumexp(log_weights + densities.sum(axis=2), axis=1)
    np.testing.assert_allclose(found.log_prob(tensor(values)), whole, rtol=1e-5, atol=1e-5)
    part = logsumexp(log_weights + (densities * ~is_pad[:, None]).sum(axis=2), axis=1)
    np.testing.assert_allclose(found.log_prob(tensor(values), tensor(is_pad)), part, rtol=1e-5, atol=1e-5)
    best = means[np.arange(N), logits.argmax(axis=1)]
    np.testing.assert_allclose(found.mode(), best, rtol=1e-6)


def test_draws_of_a_mixture_have_its_mean_and_spread() -> None:
    many = 20_000
    logits = torch.tensor([0.0, 1.0]).expand(many, -1)
    means = torch.tensor([[-1.0], [2.0]]).expand(many, -1, -1)
    with isolated_rng(0):
        drawn = Mixture(logits, means, torch.full((many, 2, 1), 0.5)).sample()
    weight = 1.0 / (1.0 + np.exp(-1.0))
    mean = -1.0 + 3.0 * weight
    assert float(drawn.mean()) == pytest.approx(mean, abs=0.05)
    assert float(drawn.var()) == pytest.approx(0.25 + 9.0 * weight * (1.0 - weight), abs=0.1)


def test_standard_deviations_have_a_smallest_value() -> None:
    head = MixtureHead(3, 2, 4, min_std=0.1)
    found = head(torch.full((5, 3), -1e4))
    assert float(found.stds.detach().min()) >= 0.1
    assert (found.logits.shape, found.means.shape) == ((5, 4), (5, 4, 2))


def test_losses_of_chunks_leave_padding_out() -> None:
    counted = ~IS_PAD
    expected = np.abs(PREDICTED - CODES)[counted].mean()
    loss = absolute_error(tensor(PREDICTED), tensor(CODES), tensor(IS_PAD))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    size = np.abs(PREDICTED - CODES)
    assert (size > 1.0).any(), "both parts of the Huber loss"
    expected = np.where(size <= 1.0, size**2 / 2.0, size - 0.5)[counted].mean()
    assert float(huber_loss(tensor(PREDICTED), tensor(CODES), tensor(IS_PAD))) == pytest.approx(expected, rel=1e-5)
    log_prob = PREDICTED - logsumexp(PREDICTED, axis=2, keepdims=True)
    of_chosen = np.take_along_axis(log_prob, CHOSEN[..., None], axis=2)[..., 0]
    entropy = cross_entropy(tensor(PREDICTED), tensor(ONE_HOT), tensor(IS_PAD))
    assert float(entropy) == pytest.approx(-of_chosen[counted].mean(), rel=1e-5)
    found = Categorical(tensor(PREDICTED)).log_prob(tensor(ONE_HOT), tensor(IS_PAD))
    np.testing.assert_allclose(found, (of_chosen * counted).sum(axis=1), rtol=1e-5, atol=1e-5)


def test_draws_of_a_categorical_head_have_its_probabilities() -> None:
    head = CategoricalHead(2, C, 2)
    with isolated_rng(0):
        found = head(torch.ones(4000, 2))
        drawn = (found.sample() > 0).float().mean(dim=0)
    np.testing.assert_allclose(drawn.numpy(), found.mode()[0].detach().numpy(), atol=0.05)


@pytest.mark.parametrize("objective", PROCESSES)
def test_targets_of_generative_heads_are_those_of_numpy(objective: Objective) -> None:
    noise, time = RNG.normal(size=(N, K, C)), RNG.uniform(0.1, 0.9, N)
    part, codes = time[:, None, None], CODES * ~IS_PAD[..., None]
    if objective == "flow":
        noisy, target = (1.0 - part) * noise + part * codes, codes - noise
        predicted = (PREDICTED - noisy) / (1.0 - part)
    else:
        noisy, target = np.cos(np.pi / 2 * part) * codes + np.sin(np.pi / 2 * part) * noise, noise
        predicted = (noisy - np.cos(np.pi / 2 * part) * PREDICTED) / np.sin(np.pi / 2 * part)
    seen: list[torch.Tensor] = []

    def network(values: torch.Tensor, when: torch.Tensor) -> torch.Tensor:
        seen.extend([values, when])
        return tensor(PREDICTED)

    loss = denoising_loss(PROCESSES[objective], network, tensor(CODES), tensor(IS_PAD), tensor(noise), tensor(time))
    assert float(loss) == pytest.approx(np.square(predicted - target)[~IS_PAD].mean(), rel=1e-5)
    np.testing.assert_allclose(seen[0], noisy, atol=1e-5)
    np.testing.assert_allclose(seen[1], time, atol=1e-6)


@pytest.mark.parametrize("objective", PROCESSES)
@pytest.mark.parametrize("steps", [1, 10])
def test_sampling_with_the_exact_network_gives_the_actions(objective: Objective, steps: int) -> None:
    codes, noise = tensor(CODES), tensor(RNG.normal(size=(N, K, C)))
    process = PROCESSES[objective]
    times: list[float] = []

    def network(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        times.extend(time.tolist())
        if objective == "flow":
            np.testing.assert_allclose(process.example(codes, noise, time)[0], noisy, atol=1e-4)
        return codes

    np.testing.assert_allclose(process.sample(network, noise, steps), codes, atol=1e-4)
    assert len(times) == steps * N
    assert process.times[0] - 1e-6 <= min(times)
    assert max(times) <= process.times[1] + 1e-6


def test_a_denoiser_depends_on_chunk_time_and_condition() -> None:
    with isolated_rng(0):
        network = Denoiser(K, C, 6, 16, 2)
        noisy, time, condition = torch.randn(N, K, C), torch.rand(N), torch.randn(N, 6)
        torch.nn.init.normal_(network.blocks[0].layers[2].weight)  # type: ignore[union-attr, index, arg-type]
        before = network(noisy, time, condition)
        assert before.shape == (N, K, C)
        for other in ((noisy + 1, time, condition), (noisy, 1 - time, condition), (noisy, time, condition + 1)):
            assert not torch.allclose(network(*other), before)
