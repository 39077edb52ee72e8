"""Monitor of an episode that is running: the probability of a failure at the newest step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np

from agents.explain.case import Case
from agents.explain.explaining import prepare
from agents.explain.failure.monitor import Monitor
from agents.explain.failure.origin import check_agent, check_demonstrations, check_environment
from agents.explain.methods.distance import distance_at
from agents.explain.methods.uncertainty import gap_of, uncertainty_at
from agents.explain.references import References
from agents.explain.trace import Trace, trace_episode
from agents.types import Env, Memory, Observation
from demos.collection.recording import Policy
from demos.datasets.tree import tree_map

TRIAL_STEPS = 129
"""Steps of the episode in which the policy function is checked before the first prediction: more than a chunk has."""


class LiveMonitor:
    """Monitor that predicts failures during an episode, with the same numbers as ``agents explain`` afterwards.

    Args:
        monitor: Fitted monitor.
        case: Agent, function of its policy, and demonstrations; its trace is not used.
        gap: Result of :func:`agents.explain.methods.uncertainty.gap_of` for the agent.

    Attributes:
        threshold: Probability above which the monitor warns.
    """

    def __init__(self, monitor: Monitor, case: Case, gap: int) -> None:
        self.threshold = monitor.threshold
        self._monitor, self._case, self._gap = monitor, case, gap
        self.restart()

    def restart(self) -> None:
        """Reset for a new episode."""
        self._curves: tuple[list[float], list[float]] = ([], [])
        self._case = replace(self._case, trace=_empty_trace())

    def __call__(self, observation: Observation, memory: Memory) -> float:
        """Return the probability that the episode fails.

        Args:
            observation: Observation of the newest step.
            memory: Memory of the agent before it; None at the first step.

        Raises:
            UnavailableError: See :func:`agents.explain.methods.failure.signals`.
        """
        trace, step = self._case.trace, len(self._curves[0])
        trace.observations.append(tree_map(lambda values: np.array(values, copy=True), observation))
        trace.memories.append(memory)
        uncertainty, distance = uncertainty_at(self._case, step, self._gap), distance_at(self._case, step)
        self._curves[0].append(uncertainty)
        self._curves[1].append(distance)
        return float(self._monitor.probabilities(self._curves)[-1])


def live_monitor(
    agent: Policy,
    env: Env,
    monitor: Monitor,
    demonstrations: minari.MinariDataset | Sequence[minari.MinariDataset],
    ensemble: Iterable[Policy] = (),
) -> LiveMonitor:
    """Return the monitor of an agent for episodes in an environment.

    A few steps are taken in the environment first, to check that the function of the policy gives its actions.

    Args:
        agent: Agent.
        env: Its environment; reset it afterwards.
        monitor: Fitted monitor.
        demonstrations: Demonstrations that the monitor was fitted with.
        ensemble: Agents that were trained alike with other seeds, as in the fit.

    Raises:
        UnavailableError: Uncertainty or distance of the agent cannot be measured while it acts.
        ValueError: The monitor was fitted to another agent, in another environment or with other demonstrations, or
            the demonstrations have other observations or actions or another task.
    """
    check_agent(monitor, agent)
    check_environment(monitor, env)
    references = References(demonstrations)
    references.check(env)
    check_demonstrations(monitor, references.data)
    trial: Trace = trace_episode(agent, gym.wrappers.TimeLimit(env, TRIAL_STEPS), seed=0)
    case = prepare(agent, env, trial, references, {}, ensemble)
    gap = gap_of(case.needs_function(), trial)
    live = LiveMonitor(monitor, case, gap)
    live(trial.observations[0], trial.memories[0])  # an agent that cannot be monitored is refused here
    live.restart()
    return live


def saved_monitor(folder: str | Path) -> Monitor:
    """Read the monitor in a folder.

    Raises:
        FileNotFoundError: There is none.
        ValueError: The file is damaged.
    """
    monitor = Monitor.load(folder)
    if monitor is None:
        raise FileNotFoundError(f"there is no monitor in {folder}: fit one with `python -m agents monitor`")
    return monitor


def _empty_trace() -> Trace:
    nothing: list[Any] = []
    return Trace(0, [], [], nothing, [], None, None, None, [], None)
