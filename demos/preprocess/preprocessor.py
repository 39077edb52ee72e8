"""Interface of preprocessing steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from demos.datasets.episode import Episode
from demos.preprocess.schema import DatasetSchema
from demos.runtime.types import JsonObject


class EpisodeTransform(ABC):
    """Preprocessing step applied to the episodes of one dataset.

    Args:
        schema: Schema of the transformed episodes.
    """

    def __init__(self, schema: DatasetSchema) -> None:
        self.schema = schema

    @abstractmethod
    def apply(self, episode: Episode) -> Episode | None:
        """Return the transformed episode; None leaves it out."""

    def notes(self) -> JsonObject:
        """Return additional entries for the history, after all episodes."""
        return {}

    def close(self) -> None:  # noqa: B027  (an optional hook)
        """Release resources."""


class Preprocessor(ABC):
    """Preprocessing step that transforms or leaves out episodes.

    A subclass is a frozen dataclass whose fields are its settings: numbers, texts, and tuples of such.
    """

    name: ClassVar[str]
    executes: ClassVar[bool] = False
    """True if the step executes episodes in the environment, so that their actions replay them."""

    @abstractmethod
    def make_transform(self, schema: DatasetSchema) -> EpisodeTransform:
        """Return the transform for the episodes of a dataset.

        Args:
            schema: Schema of the episodes.

        Raises:
            ValueError: The step cannot process such episodes.
        """
