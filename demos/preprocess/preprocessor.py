"""What a step of preprocessing is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from demos.datasets.episode import Episode
from demos.preprocess.schema import DatasetSchema


class EpisodeTransform(ABC):
    """A step at work on the episodes of one dataset.

    Args:
        form: What the episodes are like that it makes.
    """

    def __init__(self, schema: DatasetSchema) -> None:
        self.schema = schema

    @abstractmethod
    def apply(self, episode: Episode) -> Episode | None:
        """Make of an episode another one; None leaves it out."""

    def notes(self) -> dict[str, Any]:
        """What is recorded beside the settings when all episodes are done."""
        return {}

    def close(self) -> None:  # noqa: B027  (a hook, not an obligation)
        """Free what it uses."""


class Preprocessor(ABC):
    """Makes of every episode another one, or none.

    A subclass is a frozen dataclass whose fields are its settings: numbers, texts, and tuples of such.
    """

    name: ClassVar[str]
    executes: ClassVar[bool] = False
    """Whether what it makes was executed in the environment: its actions, from the seed on, give the episode."""

    @abstractmethod
    def begin(self, schema: DatasetSchema) -> EpisodeTransform:
        """Get ready for the episodes of a dataset.

        Args:
            form: What they are like.

        Raises:
            ValueError: It cannot work on such.
        """
