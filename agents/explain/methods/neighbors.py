"""Steps of the demonstrations that are nearest in the policy's own features."""

from __future__ import annotations

from agents.explain.case import Case, Explanation
from agents.explain.frames import demonstration_images

NEAREST = 3
"""Steps that are shown."""


def explain_neighbors(case: Case) -> Explanation:
    """Return the steps of demonstrations that the policy sees most alike, with their images."""
    references, function = case.needs_references(), case.needs_function()
    points = references.features(function)
    found = [
        references.nearest(
            points, references.features(function, case.trace.inputs(step, function.horizon))[0], NEAREST
        )
        for step in case.steps
    ]
    shown = sorted({(each.episode, each.step) for neighbors in found for each in neighbors})
    numbers = {pair: number for number, pair in enumerate(shown)}
    return Explanation(
        "Nearest demonstrations",
        "Steps of the demonstrations that are nearest in the policy's own features: the inputs of its last layer.",
        "neighbors",
        [
            [
                {
                    "episode": each.episode,
                    "step": each.step,
                    "distance": round(each.distance, 5),
                    "image": numbers[each.episode, each.step],
                }
                for each in neighbors
            ]
            for neighbors in found
        ],
        {"images": demonstration_images(references, shown)},
    )
