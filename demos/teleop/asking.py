"""Requests of a policy to the person: it stops and asks where a failure is probable."""

from __future__ import annotations

from typing import Protocol

from demos.runtime.types import Memory, Observation


class FailurePredictor(Protocol):
    """Predictor of the failures of a policy while it acts."""

    threshold: float
    """Probability above which the policy asks."""

    def restart(self) -> None:
        """Discard earlier steps, when the policy begins with an empty memory."""

    def __call__(self, observation: Observation, memory: Memory) -> float:
        """Return the probability that the episode fails, from the steps since the last restart.

        Args:
            observation: Observation of the present step.
            memory: Memory of the policy before it; None at its first step.
        """


class Asking:
    """Requests of a policy that the person takes over.

    Args:
        predict: Failure predictor; None for a policy that never asks.

    Attributes:
        probability: Probability of a failure at the present step; None where it is not known.
    """

    def __init__(self, predict: FailurePredictor | None) -> None:
        self._predict = predict
        self.probability: float | None = None
        self._is_current = False
        self._is_dismissed = False

    @property
    def is_asking(self) -> bool:
        """True if the policy asks at the present step."""
        return (
            self._predict is not None
            and not self._is_dismissed
            and self.probability is not None
            and self.probability > self._predict.threshold
        )

    def restart(self) -> None:
        """Begin with a policy whose memory is empty."""
        self._is_dismissed = False
        self.step()
        if self._predict is not None:
            self._predict.restart()

    def step(self) -> None:
        """Start a step: discard the last prediction."""
        self.probability = None
        self._is_current = False

    def dismiss(self) -> None:
        """Let the policy go on until it begins again; only where it asks."""
        self._is_dismissed = self._is_dismissed or self.is_asking

    def check(self, observation: Observation, memory: Memory) -> bool:
        """Return True if the policy asks at the present step; the prediction is made once a step."""
        if self._predict is not None and not self._is_current:
            self.probability = self._predict(observation, memory)
            self._is_current = True
        return self.is_asking
