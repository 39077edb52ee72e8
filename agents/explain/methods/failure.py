"""Predicted failure: the probability that the episode fails, as the agent's monitor predicts it at each step."""

from __future__ import annotations

from dataclasses import replace

from agents.explain.case import Case, Explanation
from agents.explain.functions import UnavailableError
from agents.explain.methods.distance import explain_distance
from agents.explain.methods.uncertainty import RELATIVE_ENTROPY, explain_uncertainty


def explain_failure(case: Case) -> Explanation:
    """Return the probability of a failure at each explained step, from all steps up to it."""
    if case.monitor is None:
        raise UnavailableError("the agent has no monitor: fit one with `python -m agents monitor`")
    probabilities = case.monitor.probabilities(signals(case))
    return Explanation(
        "Predicted failure",
        "Probability that the task is not solved at the end, from uncertainty and distance up to this step. The line "
        "marks the threshold of a warning.",
        "curve",
        [round(float(probabilities[step]), 5) for step in case.steps],
        {"usual": round(case.monitor.threshold, 5)},
    )


def signals(case: Case) -> tuple[list[float], list[float]]:
    """Return uncertainty and distance at each step of an episode, explained or not.

    A monitor counts steps, and while an episode runs it sees all of them.

    Raises:
        UnavailableError: One of them cannot be measured, or only after the end of the episode.
    """
    function = case.needs_function()
    if function.is_discrete and max(len(case.ensemble), len(function.members)) < 2:
        raise UnavailableError(RELATIVE_ENTROPY)
    whole = replace(case, steps=range(len(case.trace)))
    return explain_uncertainty(whole).steps, explain_distance(whole).steps
