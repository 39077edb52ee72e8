"""Distance of the states of an episode from the demonstrations."""

from __future__ import annotations

from agents.data.spaces import is_image, parts_of
from agents.explain.case import Case, Explanation
from agents.explain.references import Rows, vector_names

SHARE = 0.95
"""Share of the demonstrations' own steps that are nearer to another demonstration than what counts as usual."""


def explain_distance(case: Case) -> Explanation:
    """Return the distance between each observation and the nearest step of the demonstrations."""
    references = case.needs_references()
    points = _points(case)
    what = "standardized observations" if _by_vectors(case) else "the policy's own features"
    facts = {}
    if len(references.data.episodes) > 1:
        facts["usual"] = round(references.usual_distance(points, SHARE), 5)
    return Explanation(
        "Distance from the demonstrations",
        f"Root mean square of the differences between {what} here and at the nearest step of the demonstrations. "
        f"The line marks where {100 * SHARE:.0f}% of the demonstrations' own steps are nearer to another one.",
        "curve",
        [distance_at(case, step) for step in case.steps],
        facts,
    )


def distance_at(case: Case, step: int) -> float:
    """Return the distance between the observation of a step and the nearest step of the demonstrations.

    Args:
        case: Agent in an episode that may still run. Its trace has observation and memory of the step.
        step: Number of the step.

    Raises:
        UnavailableError: There are no demonstrations, or the observations are images and the policy has no features.
    """
    references = case.needs_references()
    if _by_vectors(case):
        query = references.standardized(case.trace.observations[step])
    else:
        function = case.needs_function()
        query = references.features(function, case.trace.inputs(step, function.horizon))[0]
    return round(references.nearest(_points(case), query, 1)[0].distance, 5)


def _by_vectors(case: Case) -> bool:
    """Return True if distances are those of observations; with images, they are those of the policy's features."""
    space = case.needs_references().data.observation_space
    return bool(vector_names(space)) and not any(is_image(part) for part in parts_of(space).values())


def _points(case: Case) -> Rows:
    """Return the point of each step of the demonstrations, shape (M, F)."""
    references = case.needs_references()
    return references.vectors() if _by_vectors(case) else references.features(case.needs_function())
