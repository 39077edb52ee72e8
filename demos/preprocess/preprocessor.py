"""What a step of preprocessing is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from demos.episode import Episode
from demos.preprocess.form import Form


class Preprocessor(ABC):
    """Makes of every episode another one, or none.

    A subclass is a frozen dataclass whose fields are its settings: numbers, texts, and tuples of such.
    """

    name: ClassVar[str]
    executes: ClassVar[bool] = False
    """Whether what it makes was executed in the environment: its actions, from the seed on, give the episode."""

    @abstractmethod
    def begin(self, form: Form) -> Form:
        """Gets ready for the episodes of a dataset.

        Args:
            form: What they are like.

        Returns:
            What those are like that it makes.

        Raises:
            ValueError: It cannot work on such.
        """

    @abstractmethod
    def apply(self, episode: Episode) -> Episode | None:
        """Makes of an episode another one; None leaves it out."""

    def end(self) -> dict[str, Any]:
        """Frees what it used; what it returns is recorded beside its settings."""
        return {}
