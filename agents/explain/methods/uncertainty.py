"""Uncertainty of a policy: disagreement of an ensemble, entropy, spread of sampled actions, or change of its plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from agents.explain.case import Case, Explanation
from agents.explain.functions import PolicyFunction, SequenceFunction, UnavailableError
from agents.explain.trace import Trace
from agents.training.randomness import isolated_rng

DRAWS = 32
DETERMINISTIC = (
    "this policy is deterministic: its actions have no spread. Give agents trained with other seeds by --ensemble, "
    "or train bc with ensemble_size=5"
)
DECIMALS = 5
"""Decimals of an uncertainty."""
RELATIVE_ENTROPY = (
    "the entropy of a single policy of discrete actions is relative to the whole episode: give an ensemble"
)


def explain_uncertainty(case: Case) -> Explanation:
    """Return the spread of the policy's actions at each step."""
    function = case.needs_function()
    members = case.ensemble if len(case.ensemble) > 1 else function.members
    if len(members) > 1:
        values = [disagreement(members, case.trace, step) for step in case.steps]
        text = (
            f"Disagreement of {len(members)} policies: the standard deviation of their actions, averaged over the "
            "numbers of an action (Lakshminarayanan et al. 2017)."
        )
        if function.is_discrete:
            text = f"Share of the {len(members)} policies that do not choose the action of the majority."
    elif function.is_discrete:
        values = entropies(function, case.trace, case.steps)
        text = (
            "Entropy of a softmax over the logits or Q-values of the actions (for diffusion, over the code that it "
            "generates), relative to its largest value: 1 means undecided. The temperature is the mean standard "
            "deviation of these numbers in the episode."
        )
    elif (drawn := _draws(function, case.trace, case.steps)) is not None:
        values = drawn
        text = f"Standard deviation of {DRAWS} sampled actions, averaged over the numbers of an action."
        if np.ptp(values) < 1e-3:
            text += " This policy's noise is the same in each state: use an ensemble instead (--ensemble)."
    elif gap := gap_of(function, case.trace):
        values = [inconsistency(function, case.trace, step, gap) for step in case.steps]
        text = (
            f"Difference between the action that is planned now and the one planned {gap} steps before for this step "
            "(root mean square; after Agia et al. 2024, statistical temporal action consistency)."
        )
    else:
        raise UnavailableError(DETERMINISTIC)
    return Explanation("How unsure the policy is", text, "curve", [round(float(value), DECIMALS) for value in values])


def uncertainty_at(case: Case, step: int, gap: int) -> float:
    """Return the value of :func:`explain_uncertainty` at one step, from the steps up to it.

    Args:
        case: Agent in an episode that may still run. Its trace has observation and memory of the step.
        step: Number of the step.
        gap: Result of :func:`gap_of` for a whole episode.

    Raises:
        UnavailableError: The policy has no uncertainty that is known before the end of the episode.
    """
    function = case.needs_function()
    members = case.ensemble if len(case.ensemble) > 1 else function.members
    if len(members) > 1:
        value = disagreement(members, case.trace, step)
    elif function.is_discrete:
        raise UnavailableError(RELATIVE_ENTROPY)
    elif (drawn := _draws(function, case.trace, [step])) is not None:
        value = drawn[0]
    elif gap:
        value = inconsistency(function, case.trace, step, gap)
    else:
        raise UnavailableError(DETERMINISTIC)
    return round(float(value), DECIMALS)


def disagreement(members: Sequence[PolicyFunction], trace: Trace, step: int) -> float:
    """Return the standard deviation of the members' actions; for discrete ones the share that is outvoted."""
    with torch.no_grad():
        outputs = torch.stack([member(trace.inputs(step, member.horizon))[0] for member in members]).double()
    if members[0].is_discrete:
        votes = outputs.argmax(dim=1)
        return float(1.0 - votes.bincount().max() / len(votes))
    return float(outputs.std(dim=0, correction=0).mean())


def entropies(function: PolicyFunction, trace: Trace, steps: Sequence[int]) -> list[float]:
    """Return the normalized entropy of the softmax at each step."""
    with torch.no_grad():
        values = torch.cat([function(trace.inputs(step, function.horizon)) for step in steps]).double()
    temperature = values.std(dim=1).mean().clamp(min=1e-9)
    log_probabilities = (values / temperature).log_softmax(dim=1)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=1)
    return (entropy / math.log(max(values.shape[1], 2))).tolist()


def _draws(function: PolicyFunction, trace: Trace, steps: Sequence[int]) -> list[float] | None:
    """Return the standard deviation of sampled actions at each step, with the same noise; None without noise."""
    spreads = []
    for step in steps:
        with isolated_rng(0):
            drawn = function.draws(trace.inputs(step, function.horizon), DRAWS)
        if drawn is None:
            return None
        spreads.append(float(drawn[:, 0].double().std(dim=0).mean()))
    return spreads


def gap_of(function: PolicyFunction, trace: Trace) -> int:
    """Return how many steps ahead the policy plans at most before it plans again; 0 for a policy without chunks."""
    gap = max(step - trace.planned(step) for step in range(len(trace)))
    if gap == 0 and isinstance(function, SequenceFunction):
        return min(1, function.policy.horizons.actions - 1)
    return gap


def inconsistency(function: PolicyFunction, trace: Trace, step: int, gap: int) -> float:
    """Return the difference between the action that is planned at a step, and the one planned some steps before.

    Args:
        function: Function of a policy that plans chunks.
        trace: Episode.
        step: Number of the step.
        gap: Number of steps between both plans.
    """
    before = max(step - gap, 0)
    now = replace(trace.inputs(step, function.horizon), memory=None)
    then = replace(trace.inputs(before, function.horizon, ahead=step - before), memory=None)
    with torch.no_grad():
        return float((function(now) - function(then)).square().mean().sqrt())
