"""Regions of images that mattered: the action without each of them (Zeiler and Fergus 2014)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agents.data.spaces import has_channels_first, is_image, parts_of
from agents.explain.case import Case, Explanation
from agents.explain.functions import UnavailableError
from agents.explain.references import by_part
from agents.types import Array, Observation

CELLS = 8
"""Rows and columns of the grid of regions."""


def explain_pixels(case: Case) -> Explanation:
    """Return how much the action changes without each region of each image."""
    cameras = [name for name, part in parts_of(case.env.observation_space).items() if is_image(part)]
    if not cameras:
        raise UnavailableError("the policy sees no images")
    steps = [
        {
            camera or "image": np.round(
                occlusion(case, step, case.trace.observations[case.trace.planned(step)], camera), 5
            ).tolist()
            for camera in cameras
        }
        for step in case.steps
    ]
    return Explanation(
        "Regions of the images that mattered",
        f"Change of the action when one of {CELLS} x {CELLS} regions has the mean color of the image (root mean "
        "square over the numbers of the action).",
        "maps",
        steps,
    )


def occlusion(case: Case, step: int, observation: Observation, camera: str) -> npt.NDArray[np.float64]:
    """Return the change of the action without each region, shape (cells, cells)."""
    parts = by_part(observation)
    image = np.asarray(parts[camera])
    variants: list[Observation] = [observation]
    for row in range(CELLS):
        for column in range(CELLS):
            hidden = _without(image, row, column)
            variants.append({**parts, camera: hidden} if camera else hidden)
    outputs = case.actions(step, variants)
    changes: npt.NDArray[np.float64] = np.sqrt(np.mean((outputs[1:] - outputs[0]) ** 2, axis=1))
    return changes.reshape(CELLS, CELLS)


def _without(image: Array, row: int, column: int) -> Array:
    """Return an image with the mean color in one cell, of the image's shape."""
    first = has_channels_first(image.shape)
    moved = np.moveaxis(image, 0, -1) if first else image
    hidden = moved.copy()
    rows, columns = (np.linspace(0, size, CELLS + 1).round().astype(int) for size in moved.shape[:2])
    mean = moved.mean(axis=(0, 1)).astype(np.uint8)
    hidden[rows[row] : rows[row + 1], columns[column] : columns[column + 1]] = mean
    return np.moveaxis(hidden, -1, 0) if first else hidden
