"""Measures of explanations: do the features ranked first matter, and do attributions follow the policy?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr

from agents.explain.case import NamedNumbers
from agents.explain.functions import Inputs, MemoryFunction, PolicyFunction, SequenceFunction, function_of
from agents.explain.methods.features import Attribution, by_feature, integrated_gradients
from agents.explain.references import by_part
from agents.explain.trace import trace_episode
from agents.training.randomness import isolated_rng

DELETED = 3
"""Features that are deleted together."""
RANDOM_CHOICES = 20
Baseline = dict[str, torch.Tensor]


def states_of(agent: Any, env: gym.Env[Any, Any], count: int, episodes: int) -> list[Inputs]:
    """Return the observations of an agent at some steps of its own episodes."""
    function = known(agent)
    traces = [trace_episode(agent, env, 1000 + number) for number in range(episodes)]
    each = [np.linspace(0, len(trace) - 1, count // episodes).astype(int) for trace in traces]
    return [
        trace.inputs(int(step), function.horizon) for trace, steps in zip(traces, each, strict=True) for step in steps
    ]


def known(agent: Any) -> PolicyFunction:
    function = function_of(agent)
    assert function is not None
    return function


def attributions(function: PolicyFunction, states: Sequence[Inputs], baseline: Baseline) -> list[Attribution]:
    return [integrated_gradients(function, state, baseline) for state in states]


def deletions_won(
    function: PolicyFunction,
    states: Sequence[Inputs],
    found: Sequence[Attribution],
    names: Sequence[NamedNumbers],
    baseline: Baseline,
) -> dict[str, float]:
    """Share of the states in which deleting the features ranked first changes the action more than random ones do.

    One at a time (``alone``, the mean of their changes), or all at once (``together``). Features can repeat each
    other: the position of an object relative to the tool follows from two others. Deleting such features together can
    change the action less than deleting one of them, whatever the ranking is.
    """
    rng = np.random.default_rng(0)
    won: dict[str, list[bool]] = {"alone": [], "together": []}
    for state, attribution in zip(states, found, strict=True):
        scores = np.abs(by_feature(attribution, names)).sum(axis=1)
        first = np.argsort(-scores, kind="stable")[:DELETED]
        chosen = [first, *(rng.choice(len(names), DELETED, replace=False) for _ in range(RANDOM_CHOICES))]
        alone = _changes(function, state, [[name] for name in names], baseline)
        together = _changes(function, state, [[names[row] for row in rows] for rows in chosen], baseline)
        each = np.array([alone[rows].mean() for rows in chosen])
        for kind, changes in (("alone", each), ("together", together)):
            won[kind].append(bool(changes[0] > changes[1:].mean()))
    return {kind: float(np.mean(each)) for kind, each in won.items()}


def _changes(
    function: PolicyFunction, state: Inputs, deleted: Sequence[Sequence[NamedNumbers]], baseline: Baseline
) -> npt.NDArray[np.float64]:
    with torch.no_grad():
        after = torch.cat([function(_without(state, features, baseline)) for features in deleted])
        changes: npt.NDArray[np.float64] = (after - function(state)).double().norm(dim=1).numpy()
    return changes


def _without(state: Inputs, features: Sequence[NamedNumbers], baseline: Baseline) -> Inputs:
    parts = {name: values.clone() for name, values in by_part(state.observations).items()}
    for feature in features:
        parts[feature.part][..., feature.slice] = baseline[feature.part][..., feature.slice]
    observations = parts.get("", parts)
    return Inputs(observations, state.is_pad, state.memory, state.ahead)


def rank_correlations(
    function: PolicyFunction,
    states: Sequence[Inputs],
    found: Sequence[Attribution],
    baseline: Baseline,
    networks: int,
) -> npt.NDArray[np.float64]:
    """Mean rank correlation of the attributions with those of the same network with shuffled weights, by network."""
    means = []
    for seed in range(networks):
        with weights_restored(function):
            shuffle(function, seed)
            others = attributions(function, states, baseline)
        correlations = [
            spearmanr(flat(attribution), flat(other)).statistic
            for attribution, other in zip(found, others, strict=True)
        ]
        means.append(float(np.mean(correlations)))
    return np.array(means)


@contextmanager
def weights_restored(function: PolicyFunction) -> Iterator[None]:
    """Gives a policy its weights back, whatever happens to them inside."""
    before = {name: values.clone() for name, values in function.module.state_dict().items()}
    try:
        yield
    finally:
        function.module.load_state_dict(before)


def shuffle(function: PolicyFunction, seed: int) -> None:
    """Puts the numbers of each weight into another order; the normalizer stays."""
    with isolated_rng(seed), torch.no_grad():
        for weights in function.module.parameters():
            weights.copy_(weights.flatten()[torch.randperm(weights.numel())].reshape(weights.shape))


def flat(attribution: Attribution) -> npt.NDArray[np.float64]:
    return np.concatenate([part.ravel() for part in attribution.parts.values()])


@contextmanager
def planted(function: PolicyFunction, feature: NamedNumbers, baseline: Baseline) -> Iterator[None]:
    """Lets a policy use one feature alone; the reader of ``lam`` gets the means of the others."""
    if not isinstance(function, MemoryFunction):
        with weights_restored(function):
            plant(function, feature)
            yield
        return
    means = baseline[feature.part][0]
    is_used = torch.zeros(means.shape[1], dtype=torch.bool)
    is_used[feature.slice] = True
    policy: Any = function.policy
    handle = policy.reader.register_forward_pre_hook(
        lambda reader, given: (torch.where(is_used, given[0], means.to(given[0].dtype)),)
    )
    try:
        yield
    finally:
        handle.remove()


def plant(function: PolicyFunction, feature: NamedNumbers) -> None:
    """Let the policy use one feature alone: the weights of all other numbers are 0."""
    if isinstance(function, SequenceFunction):
        first: Any = function.policy.encoder.vectors[0].layer
    else:
        network: Any = function.module
        first = network.mlp_extractor.policy_net[0]
    mask = torch.zeros(first.weight.shape[1])
    mask[feature.slice] = 1.0
    with torch.no_grad():
        first.weight *= mask


def share_ranked_first(
    function: PolicyFunction,
    states: Sequence[Inputs],
    names: Sequence[NamedNumbers],
    feature: NamedNumbers,
    baseline: Baseline,
) -> float:
    """Share of the states in which a feature has the largest contribution."""
    first = [
        names[int(np.abs(by_feature(each, names)).sum(axis=1).argmax())].name
        for each in attributions(function, states, baseline)
    ]
    return float(np.mean([name == feature.name for name in first]))
