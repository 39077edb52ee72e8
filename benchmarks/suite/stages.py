"""Stages of a suite before and after the training of an agent."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.types import Keywords
from benchmarks.suite.demonstrations import Demonstrations


@dataclass(frozen=True)
class Pretraining:
    """Pre-training of the encoder of images that an agent starts from.

    Attributes:
        method: Name of the method, see :data:`agents.pretraining.methods.METHODS`.
        datasets: Datasets, of any task, robot and quality.
        settings: Settings that differ from those of the method.
        freeze: The agent keeps the weights of the encoder.
    """

    method: str
    datasets: tuple[Demonstrations, ...]
    settings: Keywords = field(default_factory=dict)
    freeze: bool = False


@dataclass(frozen=True)
class Adaptation:
    """Adaptation of a trained agent to a condition, with the seed of its training.

    Attributes:
        method: Name of the method, see :data:`agents.deployment.adaptation.methods.METHODS`.
        condition: Name of the condition.
        env: Keywords that the condition changes.
        budget: Amount of data in the unit of the method; None for the method's own.
        settings: Settings that differ from those of the method.
    """

    method: str
    condition: str
    env: Keywords
    budget: int | None = None
    settings: Keywords = field(default_factory=dict)
