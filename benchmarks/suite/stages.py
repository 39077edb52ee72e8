"""Stages of a suite before the training of an agent."""

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
