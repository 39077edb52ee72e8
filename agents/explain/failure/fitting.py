"""Fit a monitor to episodes of an agent, and evaluate it on other episodes: AUROC, calibration, and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.explain.failure.monitor import Monitor, Rows, inputs_of, sigmoid
from agents.types import JsonObject

L2_WEIGHT = 1.0
"""Coefficient of half the sum of squared weights; the inputs are standardized."""
ITERATIONS = 50
"""Newton steps: the regression converges in about ten."""
FALSE_ALARMS = 0.1
"""Fraction of the successful episodes in which the monitor may warn, by default."""
BINS = 10
"""Bins of the reliability table."""
FRACTIONS = (0.25, 0.5, 0.75, 1.0)
"""Fractions of an episode after which the AUROC is measured."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MonitoredEpisode:
    """Episode of T steps.

    Attributes:
        seed: Seed of the reset.
        curves: Uncertainty and distance at each step, shape (2, T).
        failed: True if the task is not solved at the last step.
    """

    seed: int
    curves: tuple[list[float], list[float]]
    failed: bool


def fit(episodes: Sequence[MonitoredEpisode], horizon: int, *, false_alarms: float = FALSE_ALARMS) -> Monitor:
    """Fit a monitor by maximum likelihood. Each step is an example, with the outcome of its episode.

    Args:
        episodes: Episodes, with both outcomes.
        horizon: Steps of a whole episode.
        false_alarms: Fraction of the successful episodes in which the monitor may warn.

    Raises:
        ValueError: All episodes have the same outcome, or ``false_alarms`` is not between 0 and 1.
    """
    if not 0.0 < false_alarms < 1.0:
        raise ValueError(f"false_alarms is {false_alarms}; expected above 0 and below 1")
    failures = sum(episode.failed for episode in episodes)
    if failures in (0, len(episodes)):
        raise ValueError(
            f"{failures} of {len(episodes)} episodes failed; a monitor needs both outcomes: run more episodes, or "
            "make the environment harder or easier by --env-kwargs"
        )
    rows = np.concatenate([inputs_of(episode.curves, horizon) for episode in episodes])
    outcomes = np.concatenate([np.full(len(episode.curves[0]), episode.failed) for episode in episodes])
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    std = np.where(std < 1e-9, 1.0, std)
    weights, bias = logistic_regression((rows - mean) / std, outcomes)
    monitor = Monitor(mean.tolist(), std.tolist(), weights.tolist(), bias, 1.0, horizon)
    highest = [monitor.probabilities(episode.curves).max() for episode in episodes if not episode.failed]
    threshold = float(np.quantile(highest, 1.0 - false_alarms, method="higher"))
    return Monitor(mean.tolist(), std.tolist(), weights.tolist(), bias, threshold, horizon)


def logistic_regression(rows: Rows, outcomes: Flags) -> tuple[Rows, float]:
    """Return weights and bias of the L2-regularized maximum-likelihood fit, by Newton's method.

    Args:
        rows: Standardized inputs, shape (N, D).
        outcomes: Shape (N,).
    """
    extended = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    penalty = L2_WEIGHT * np.diag([*[1.0] * rows.shape[1], 0.0])
    weights = np.zeros(extended.shape[1])
    for _ in range(ITERATIONS):
        probabilities = sigmoid(extended @ weights)
        gradient = extended.T @ (probabilities - outcomes) + penalty @ weights
        curvature = np.maximum(probabilities * (1.0 - probabilities), 1e-9)
        weights -= np.linalg.solve(extended.T @ (extended * curvature[:, None]) + penalty, gradient)
    return weights[:-1], float(weights[-1])


def auroc(scores: Rows, outcomes: Flags) -> float:
    """Return the probability that a failure has a higher score than a success; ties count half.

    Args:
        scores: Shape (N,).
        outcomes: True for failures, shape (N,); both occur.
    """
    gaps = scores[outcomes][:, None] - scores[~outcomes][None]
    return float(((gaps > 0) + 0.5 * (gaps == 0)).mean())


def reliability(probabilities: Rows, outcomes: Flags) -> list[JsonObject]:
    """Return the reliability table: steps, mean predicted and observed fraction of failures, of each bin with steps.

    Args:
        probabilities: Shape (N,).
        outcomes: Shape (N,).
    """
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    return [
        {
            "from": number / BINS,
            "to": (number + 1) / BINS,
            "steps": int((bins == number).sum()),
            "predicted": round(float(probabilities[bins == number].mean()), 4),
            "observed": round(float(outcomes[bins == number].mean()), 4),
        }
        for number in range(BINS)
        if (bins == number).any()
    ]


def measure(monitor: Monitor, episodes: Sequence[MonitoredEpisode]) -> JsonObject:
    """Evaluate a monitor on episodes that it was not fitted to.

    Args:
        monitor: Fitted monitor.
        episodes: Episodes of other seeds.

    Returns:
        Numbers of episodes and failures; AUROC after fractions of the episode, and of the highest probability (None
        if all episodes have the same outcome); the reliability table over all steps and its expected calibration
        error (Guo et al. 2017, equation 5); the fractions of failures and of successes in which it warns, and the
        median step of the first warning in failures.
    """
    outcomes = np.array([episode.failed for episode in episodes])
    predictions = [monitor.probabilities(episode.curves) for episode in episodes]
    table = reliability(np.concatenate(predictions), np.repeat(outcomes, [len(each) for each in predictions]))
    has_both = outcomes.any() and not outcomes.all()
    scores = {
        f"after {fraction:.0%}": np.array([each[max(round(fraction * len(each)), 1) - 1] for each in predictions])
        for fraction in FRACTIONS
    }
    scores["highest so far"] = np.array([prediction.max() for prediction in predictions])
    warned = np.array([bool((prediction > monitor.threshold).any()) for prediction in predictions])
    first = [
        int(np.argmax(prediction > monitor.threshold))
        for prediction, failed in zip(predictions, outcomes & warned, strict=True)
        if failed
    ]
    total = sum(row["steps"] for row in table)
    return {
        "episodes": len(episodes),
        "failures": int(outcomes.sum()),
        "auroc": {name: round(auroc(each, outcomes), 4) if has_both else None for name, each in scores.items()},
        "reliability": table,
        "expected_calibration_error": round(
            sum(row["steps"] * abs(row["predicted"] - row["observed"]) for row in table) / total, 4
        ),
        "warned_failures": round(float(warned[outcomes].mean()), 4) if outcomes.any() else None,
        "false_alarms": round(float(warned[~outcomes].mean()), 4) if not outcomes.all() else None,
        "median_first_warning": float(np.median(first)) if first else None,
    }
