"""Named features that moved an action: integrated gradients (Sundararajan et al. 2017)."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces

from agents.explain.case import Case, Explanation, NamedNumbers, named_numbers
from agents.explain.functions import Inputs, PolicyFunction, UnavailableError
from agents.explain.references import by_part, vector_names
from agents.types import Tensors

INSTALL = "pip install 'lam-envs[explain]'"
POINTS = 32
"""Points of the integral over a part of the line."""
TOLERANCE = 0.005
"""Largest error of the sum on a part of the line, relative to the difference of the outputs on the whole line, or to
:data:`SMALLEST`. A part with a larger error is halved."""
SMALLEST = 0.002
"""Difference that errors are relative to where that of the outputs is smaller; a share of the largest output, or of 1
if that is larger. Where the outputs are nearly equal, most parts would otherwise be halved as often as possible."""
MAX_HALVINGS = 12
"""Largest number of times that a part is halved. Gradients change quickly near kinks of the network, such as
directions to near objects."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Attribution:
    """Contributions of the numbers of an observation to C outputs.

    Attributes:
        parts: Contributions by part of the observation, shape (C, numbers); those of earlier observations are added.
        difference: Outputs minus outputs at the baseline, shape (C,), which the contributions add up to.
        error: Sum of the contributions minus the difference, shape (C,).
        scale: Largest difference, or :data:`SMALLEST` of the outputs if that is larger.
    """

    parts: dict[str, Floats]
    difference: Floats
    error: Floats
    scale: float

    @property
    def relative_error(self) -> float:
        """Largest error, relative to the scale."""
        return float(np.abs(self.error).max()) / self.scale


def explain_features(case: Case) -> Explanation:
    """Return how much each named feature moved each number of the action."""
    function = case.needs_function()
    names = named_numbers(case.env)
    if not names:
        raise UnavailableError("the policy sees images alone, which have no named features")
    if importlib.util.find_spec("captum") is None:
        raise UnavailableError(f"contributions need captum, which is not installed: {INSTALL}")
    outputs = case.outputs
    baseline, where = _baseline(case)
    steps, errors = [], []
    for step in case.steps:
        inputs = case.trace.deciding_inputs(step, function.horizon)
        chosen = None
        if isinstance(function.action_space, spaces.Discrete):
            chosen = [int(case.trace.actions[step]) - int(function.action_space.start)]
        found = integrated_gradients(function, inputs, baseline, outputs=chosen)
        steps.append(np.round(by_feature(found, names), 5).tolist())
        errors.append(found.relative_error)
    return Explanation(
        "Features that moved the action",
        f"Contribution of each feature to the difference between the action and the action at {where} "
        "(integrated gradients). Positive contributions raise a number of the action, negative ones lower it.",
        "bars",
        steps,
        {
            "names": [feature.name for feature in names],
            "outputs": ["chosen action"] if function.is_discrete else outputs,
            "baseline": where,
            "largest_relative_error": round(max(errors), 5),
        },
    )


def _baseline(case: Case) -> tuple[dict[str, torch.Tensor], str]:
    """Return the baseline of each vector, and its name."""
    if case.references is not None:
        return case.references.baseline(), "the mean of the demonstrations"
    seen = [by_part(each) for each in case.trace.observations]
    means = {
        name: torch.as_tensor(np.mean([parts[name] for parts in seen], axis=0)).float()[None, None]
        for name in vector_names(case.env.observation_space)
    }
    return means, "the mean of this episode"


def by_feature(attribution: Attribution, names: Sequence[NamedNumbers]) -> Floats:
    """Return the contributions of features, shape (features, C)."""
    return np.stack([attribution.parts[each.part][:, each.slice].sum(axis=1) for each in names])


def integrated_gradients(
    function: PolicyFunction,
    inputs: Inputs,
    baseline: Mapping[str, torch.Tensor],
    *,
    outputs: Sequence[int] | None = None,
) -> Attribution:
    """Return contributions (x - x') times the mean gradient on the line from the baseline x' to the inputs x.

    Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks, equation 1. Images and the instruction stay as
    they are. The line is halved, and the parts again, until the contributions of each add up to the difference of
    the outputs at its ends.

    Args:
        function: Function of a policy.
        inputs: What it sees, one row.
        baseline: Baseline of each vector of the observation, which broadcasts to it.
        outputs: Numbers of the outputs to explain; by default all.

    Raises:
        ModuleNotFoundError: captum is not installed.
    """
    from captum.attr import IntegratedGradients  # late: an optional package

    parts = by_part(inputs.observations)
    names = list(baseline)

    def forward(*vectors: torch.Tensor) -> torch.Tensor:
        repeated = inputs.repeated(len(vectors[0]))
        return function(_with_vectors(repeated, dict(zip(names, vectors, strict=True))))

    present = tuple(parts[name].float() for name in names)
    start = tuple(baseline[name].expand_as(values).contiguous() for name, values in zip(names, present, strict=True))
    with torch.no_grad():
        first, last = forward(*start)[0], forward(*present)[0]
    difference = last - first
    chosen = list(range(len(difference))) if outputs is None else list(outputs)
    method = IntegratedGradients(forward)

    def between(low: float, high: float, halvings: int) -> dict[str, Floats]:
        """Return the contributions on the part of the line from fraction ``low`` to fraction ``high``."""
        ends = [
            tuple(one + fraction * (other - one) for one, other in zip(start, present, strict=True))
            for fraction in (low, high)
        ]
        rows = [method.attribute(ends[1], ends[0], target=number, n_steps=POINTS) for number in chosen]
        shares = {name: np.stack([_flat(row[number]) for row in rows]) for number, name in enumerate(names)}
        with torch.no_grad():
            own = (forward(*ends[1]) - forward(*ends[0]))[0][chosen].double().numpy()
        error = np.abs(np.sum([share.sum(axis=1) for share in shares.values()], axis=0) - own).max()
        if error <= TOLERANCE * scale or halvings >= MAX_HALVINGS:
            return shares
        middle = (low + high) / 2
        parts = between(low, middle, halvings + 1), between(middle, high, halvings + 1)
        return {name: parts[0][name] + parts[1][name] for name in names}

    expected = difference[chosen].double().numpy()
    largest = float(torch.stack([first, last])[:, chosen].abs().max())
    scale = max(float(np.abs(expected).max()), SMALLEST * max(1.0, largest))
    shares = between(0.0, 1.0, 0)
    total = np.sum([share.sum(axis=1) for share in shares.values()], axis=0)
    return Attribution(shares, expected, total - expected, scale)


def _with_vectors(inputs: Inputs, vectors: Mapping[str, torch.Tensor]) -> Inputs:
    observations: Tensors = vectors[""] if "" in vectors else {**by_part(inputs.observations), **vectors}
    return Inputs(observations, inputs.is_pad, inputs.memory, inputs.ahead)


def _flat(contributions: torch.Tensor) -> Floats:
    """Return contributions of shape (1, H, ...), added over the H observations, flat."""
    summed: Floats = contributions.detach()[0].sum(dim=0).reshape(-1).double().numpy()
    return summed
