"""Predicted failure: the probability that the episode fails, as the agent's monitor sees it at each step."""

from __future__ import annotations

from agents.explain.case import Case, Explanation
from agents.explain.failure.collecting import signals
from agents.explain.functions import UnavailableError


def explain_failure(case: Case) -> Explanation:
    """Return the probability of a failure at each step, from the steps up to it."""
    if case.monitor is None:
        raise UnavailableError("the agent has no monitor: fit one by agents monitor")
    probabilities = case.monitor.probabilities(signals(case))
    return Explanation(
        "Predicted failure",
        "Probability that the task is not solved at the end, from uncertainty and distance up to this step. The line "
        "marks the threshold of a warning.",
        "curve",
        [round(float(each), 5) for each in probabilities],
        {"usual": round(case.monitor.threshold, 5)},
    )
