"""Distance of the states of an episode from the demonstrations."""

from __future__ import annotations

from agents.data.spaces import is_image, parts_of
from agents.explain.case import Case, Explanation
from agents.explain.references import vector_names

SHARE = 0.95
"""Share of the demonstrations' own steps that are nearer to another demonstration than what counts as usual."""


def explain_distance(case: Case) -> Explanation:
    """Return the distance between each observation and the nearest step of the demonstrations."""
    references = case.needs_references()
    space = references.data.observation_space
    has_images = any(is_image(part) for part in parts_of(space).values())
    if vector_names(space) and not has_images:
        points = references.vectors()
        queries = [references.standardized(case.trace.observations[step]) for step in case.steps]
        what = "standardized observations"
    else:
        function = case.needs_function()
        points = references.features(function)
        queries = [references.features(function, case.trace.inputs(step, function.horizon))[0] for step in case.steps]
        what = "the policy's own features"
    distances = [references.nearest(points, query, 1)[0].distance for query in queries]
    facts = {}
    if len(references.data.episodes) > 1:
        facts["usual"] = round(references.usual_distance(points, SHARE), 5)
    return Explanation(
        "Distance from the demonstrations",
        f"Root mean square of the differences between {what} here and at the nearest step of the demonstrations. "
        f"The line marks where {100 * SHARE:.0f}% of the demonstrations' own steps are nearer to another one.",
        "curve",
        [round(distance, 5) for distance in distances],
        facts,
    )
