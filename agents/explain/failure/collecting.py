"""Run an agent for episodes, and measure what its monitor sees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from rich.progress import track

from agents.explain.failure.fitting import MonitoredEpisode
from agents.explain.functions import UnavailableError
from agents.explain.methods.distance import explain_distance
from agents.explain.methods.uncertainty import explain_uncertainty

if TYPE_CHECKING:
    from agents.explain.case import Case


def signals(case: Case) -> tuple[list[float], list[float]]:
    """Return uncertainty and distance at each explained step of an episode.

    Raises:
        UnavailableError: One of them cannot be measured, or not before the end of the episode.
    """
    function = case.needs_function()
    if function.is_discrete and max(len(case.ensemble), len(function.members)) < 2:
        raise UnavailableError(
            "the entropy of a single policy of discrete actions is relative to the whole episode: give an ensemble"
        )
    return explain_uncertainty(case).steps, explain_distance(case).steps


def monitored(
    case_of: Callable[[int], Case], seeds: Iterable[int] | Sequence[int], *, progress: bool = False
) -> list[MonitoredEpisode]:
    """Run an episode for each seed.

    Args:
        case_of: Runs the agent with a seed.
        seeds: Seeds of the resets.
        progress: Show a progress bar.

    Raises:
        UnavailableError: See :func:`signals`.
        ValueError: The environment does not report success.
    """
    episodes = []
    for seed in track(list(seeds), "running", disable=not progress, transient=True):
        case = case_of(seed)
        if case.trace.success is None:
            raise ValueError("the environment does not report success, which a monitor predicts")
        episodes.append(MonitoredEpisode(seed, signals(case), not case.trace.success))
    return episodes
