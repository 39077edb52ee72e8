"""Confidence intervals of measured rates."""

from __future__ import annotations

CONFIDENCE = 0.95


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95% score interval of a rate (Wilson 1927, J. Am. Stat. Assoc. 22, 209-212).

    Raises:
        ValueError: There are no trials, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f"{successes} successes of {trials} trials; expected at least 1 trial, and no more successes than trials"
        )
    # Import late: it is slow, and few commands need it.
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    rate = successes / trials
    # Rounding may put a bound on the wrong side of a rate of 0 or 1.
    return min(float(interval.low), rate), max(float(interval.high), rate)
