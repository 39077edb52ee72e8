"""Features and images of demonstrated steps that can stay in the files of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from agents.data.demonstrations import MappedObservations
from agents.data.symmetry import Symmetry
from agents.imitation.lam.networks.cameras import Images


@dataclass(frozen=True)
class MappedFeatures:
    """Features of the T steps of a source in the files of a dataset.

    Attributes:
        observations: Observations of all steps of the dataset.
        rows: Number of each step of the source among these, shape (T,).
        key: Name of the features in an observation that is a dict.
        symmetry: Mirrors the features when they are read; None for features as they are.
    """

    observations: MappedObservations
    rows: torch.Tensor
    key: str
    symmetry: Symmetry | None = None

    def __getitem__(self, chosen: torch.Tensor) -> torch.Tensor:
        """Return the features of some steps, shape (n, numbers)."""
        read = self.observations[self.rows[chosen]]
        features: torch.Tensor = (read[self.key] if isinstance(read, dict) else read).float()
        return features if self.symmetry is None else self.symmetry.mirrored_observations(features)

    def mirrored(self, symmetry: Symmetry) -> MappedFeatures:
        """Return the mirror image of the features."""
        return replace(self, symmetry=symmetry)


@dataclass(frozen=True)
class Frames:
    """Images of the T steps of a source, in memory or in the files of a dataset.

    Attributes:
        cameras: Names of the cameras.
        observations: Observations of all steps of the dataset.
        rows: Number of each step of the source among these, shape (T,).
    """

    cameras: Sequence[str]
    observations: dict[str, torch.Tensor] | MappedObservations
    rows: torch.Tensor

    @property
    def in_memory_bytes(self) -> int:
        """Size of the images that are in memory."""
        if isinstance(self.observations, MappedObservations):
            return 0
        return sum(self.observations[camera].nbytes for camera in self.cameras)

    def __getitem__(self, chosen: torch.Tensor) -> Images:
        """Return the images of some steps."""
        held, rows = self.observations, self.rows[chosen]
        if isinstance(held, MappedObservations):
            read = held[rows]
            return {camera: read[camera] for camera in self.cameras}
        return {camera: held[camera][rows] for camera in self.cameras}
