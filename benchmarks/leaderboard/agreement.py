"""Agreement of submitted episodes with a re-run of the same episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agents.evaluation.episode import EpisodeResult

SIGNIFICANCE = 0.005
"""Significance level of the combined p-value, and of the smallest p-value with Bonferroni's correction. With two such
tests, an honest submission disagrees in at most 1% of verifications."""
Test = Literal["exact", "binomial", "proportions"]


@dataclass(frozen=True)
class Agreement:
    """Agreement of one cell.

    Attributes:
        test: ``exact``: every episode is equal, or should be; ``binomial``: :func:`odd_one_out`; ``proportions``:
            :func:`two_proportions`.
        differing: Number of episodes whose submitted outcome differs from the first measurement.
        p_value: Probability of a difference at least this large if the submission is right; 1 or 0 for ``exact``.
    """

    test: Test
    differing: int
    p_value: float


def agreement(
    submitted: Sequence[EpisodeResult],
    first: Sequence[EpisodeResult],
    second: Sequence[EpisodeResult] | None,
    *,
    same_machine: bool,
) -> Agreement:
    """Compare submitted episodes with one or two measurements of the same episodes.

    Equal episodes agree. Otherwise a second measurement shows whether the agent is deterministic. If it differs from
    the first, the agent is stochastic. If it equals the first, the agent is deterministic, and its episodes must be
    equal on an equal machine. On another machine, rounding may change an episode, and success rates are compared.

    Args:
        submitted: Submitted episodes.
        first: The same episodes, measured again.
        second: The same episodes, measured once more; None if ``first`` equals the submission.
        same_machine: True if processor and versions of libraries are those of the submission.
    """
    differing = sum(one != other for one, other in zip(submitted, first, strict=True))
    if second is None or not differing:
        return Agreement("exact", differing, 0.0 if differing else 1.0)
    successes = [[episode.success for episode in episodes] for episodes in (submitted, first, second)]
    if list(first) != list(second):
        return Agreement("binomial", differing, odd_one_out(*successes))
    if same_machine:
        return Agreement("exact", differing, 0.0)
    return Agreement("proportions", differing, two_proportions(successes[0], successes[1]))


def odd_one_out(submitted: Sequence[bool], first: Sequence[bool], second: Sequence[bool]) -> float:
    """Return the p-value of submitted outcomes of a stochastic agent, given two measurements of the same episodes.

    If the submission is right, the three outcomes of an episode are draws of one distribution. Where they are not all
    equal, one differs from the two others, and it is each of the three with probability 1/3, whatever the
    distribution is. So the number of episodes in which the submitted outcome differs is binomial. It is large if
    outcomes were changed, in either direction. The test is exact and one-sided.

    Args:
        submitted: Submitted success of each episode.
        first: Success of the same episodes, measured again.
        second: Success of the same episodes, measured once more.
    """
    from scipy.stats import binomtest

    mixed = [each for each in zip(submitted, first, second, strict=True) if len(set(each)) > 1]
    odd = sum(one != other and other == another for one, other, another in mixed)
    return float(binomtest(odd, len(mixed), 1.0 / 3.0, alternative="greater").pvalue) if mixed else 1.0


def two_proportions(submitted: Sequence[bool], measured: Sequence[bool]) -> float:
    """Return the p-value of the difference of two success rates: Fisher's exact test, two-sided.

    Args:
        submitted: Submitted success of each episode.
        measured: Success of the same episodes, measured again.
    """
    from scipy.stats import fisher_exact

    table = [[sum(outcomes), len(outcomes) - sum(outcomes)] for outcomes in (submitted, measured)]
    return float(fisher_exact(table).pvalue)


def combined(p_values: Sequence[float]) -> float:
    """Return the p-value of several independent tests: Fisher's method (Fisher 1932), conservative for counts.

    Args:
        p_values: P-value of each test; the result is 1 if there are none.
    """
    from scipy.stats import combine_pvalues

    if not p_values or 0.0 in p_values:
        return 0.0 if p_values else 1.0
    return float(combine_pvalues(p_values, method="fisher").pvalue)
