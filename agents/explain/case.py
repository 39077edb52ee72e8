"""Input and result of a method of explanation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from gymnasium import spaces

from agents.data.spaces import parts_of
from agents.explain.failure.monitor import Monitor
from agents.explain.functions import Inputs, PolicyFunction, UnavailableError
from agents.explain.references import References, by_part, vector_names
from agents.explain.trace import Trace
from agents.types import Array, Env, JsonObject, Observation
from demos.collection.recording import Policy
from demos.report.action_histograms import action_names

Kind: TypeAlias = Literal["curve", "bars", "words", "maps", "neighbors"]
"""Form in which the page shows an explanation: a number at each step, a number for each name, a number for each word,
a grid over each image, or steps of demonstrations with their images."""


@dataclass(frozen=True)
class Explanation:
    """Result of a method.

    Attributes:
        title: Heading on the page.
        text: Meaning, in a sentence or two.
        kind: How the page shows it.
        steps: Value of each step that is explained, JSON: a number or None (``curve``); numbers of shape (names,
            outputs) (``bars``); pairs of a word and a number (``words``); grids by name of the image (``maps``);
            dicts with ``episode``, ``step``, ``distance`` and the number of an image (``neighbors``).
        facts: Further facts, JSON; ``names`` and ``outputs`` of bars, ``images`` of neighbors, ``usual`` of a curve.
    """

    title: str
    text: str
    kind: Kind
    steps: list[Any]
    facts: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """Agent in an episode.

    Attributes:
        agent: Agent.
        env: Its environment.
        trace: Record of the episode.
        steps: Numbers of the steps to explain.
        function: Function of the agent's policy; None for an agent without gradients.
        references: Demonstrations; None without them.
        missing: Reasons why ``function`` or ``references`` is None.
        ensemble: Functions of policies that were trained alike, with other seeds; the agent's own is the first.
        monitor: Monitor that predicts failures; None without one.
    """

    agent: Policy
    env: Env
    trace: Trace
    steps: Sequence[int]
    function: PolicyFunction | None
    references: References | None
    missing: dict[str, str] = field(default_factory=dict)
    ensemble: Sequence[PolicyFunction] = ()
    monitor: Monitor | None = None

    def needs_function(self) -> PolicyFunction:
        """Return the function of the policy.

        Raises:
            UnavailableError: There is none.
        """
        if self.function is None:
            raise UnavailableError(self.missing["function"])
        return self.function

    def needs_references(self) -> References:
        """Return the demonstrations.

        Raises:
            UnavailableError: There are none.
        """
        if self.references is None:
            raise UnavailableError(self.missing["references"])
        return self.references

    def actions(self, step: int, variants: Sequence[Observation]) -> Array:
        """Return the numbers that decide the action of a step for other observations, shape (N, C).

        Without the function of a policy, ``predict`` is called with what the agent remembered.

        Args:
            step: Number of the step.
            variants: N observations in place of the newest one at which the action was decided on.

        Raises:
            UnavailableError: The agent does not act by its observations.
        """
        if self.function is not None:
            inputs = self.trace.deciding_inputs(step, self.function.horizon).repeated(len(variants))
            changed = _with_newest(inputs, variants)
            with torch.no_grad():
                outputs: Array = self.function(changed).numpy()
            return outputs
        if "observation" in self.missing:
            raise UnavailableError(self.missing["observation"])
        planned = self.trace.planned(step)
        return np.stack([self._predicted(planned, step - planned, each) for each in variants])

    def _predicted(self, planned: int, ahead: int, observation: Observation) -> Array:
        memory, start = self.trace.memories[planned], planned == 0
        for _ in range(ahead + 1):
            action, memory = self.agent.predict(
                observation, state=memory, episode_start=np.array([start]), deterministic=True
            )
            start = False
        if self.env.action_space.shape == ():
            count = int(getattr(self.env.action_space, "n", 2))
            row: Array = np.eye(count)[int(action) - self.first_action]
            return row
        return np.asarray(action, dtype=np.float64).reshape(-1)

    @property
    def first_action(self) -> int:
        """Smallest discrete action, which the first of the outputs belongs to; 0 for other actions."""
        space = self.env.action_space
        return int(space.start) if isinstance(space, spaces.Discrete) else 0

    @property
    def outputs(self) -> list[str]:
        """Names of the C numbers that decide an action."""
        space = self.env.action_space
        count = int(getattr(space, "n", np.prod(space.shape or (1,))))
        names = action_names(self.env)
        if names is None or len(names) != count:
            return [f"action {self.first_action + number}" for number in range(count)]
        return [name.partition(" (")[0] for name in names]


def _with_newest(inputs: Inputs, variants: Sequence[Observation]) -> Inputs:
    """Return inputs of N rows with other newest observations."""
    is_newest = torch.zeros_like(inputs.is_pad)
    is_newest[:, -1] = True
    if bool(inputs.is_pad[:, :-1].all()):
        # The first observation of an episode also stands for those before it.
        is_newest[:] = True

    def replaced(values: torch.Tensor, new: Sequence[Any]) -> torch.Tensor:
        rows = torch.from_numpy(np.stack(new))[:, None].expand_as(values)
        return torch.where(is_newest.reshape(*is_newest.shape, *[1] * (values.ndim - 2)), rows, values)

    if isinstance(inputs.observations, dict):
        observations: Any = {
            name: replaced(values, [by_part(each)[name] for each in variants])
            for name, values in inputs.observations.items()
        }
    else:
        observations = replaced(inputs.observations, variants)
    return Inputs(observations, inputs.is_pad, inputs.memory, inputs.ahead)


@dataclass(frozen=True)
class NamedNumbers:
    """Numbers of an observation with a name.

    Attributes:
        name: Name of the feature.
        part: Part of the observation; ``""`` for a plain array.
        slice: Their position in the part, which is flat.
    """

    name: str
    part: str
    slice: slice


def named_numbers(env: Env) -> list[NamedNumbers]:
    """Return the features of an environment's observations; a part without names is one feature for each number.

    Args:
        env: Environment.
    """
    layout: Any = getattr(env.unwrapped, "layout", None)
    total = 0 if layout is None else sum(part.slice.stop - part.slice.start for part in layout.values())
    parts = parts_of(env.observation_space)
    found: list[NamedNumbers] = []
    for name in vector_names(env.observation_space):
        size = int(np.prod(parts[name].shape))
        if layout is not None and size == total:
            found += [NamedNumbers(feature, name, each.slice) for feature, each in layout.items()]
        elif layout is not None:
            found.append(NamedNumbers(name, name, slice(0, size)))
        else:
            found += [NamedNumbers(f"{name}[{number}]", name, slice(number, number + 1)) for number in range(size)]
    return found


Method: TypeAlias = Callable[[Case], Explanation]
"""Method of explanation. It raises :class:`UnavailableError` with the reason where it cannot explain an agent."""
