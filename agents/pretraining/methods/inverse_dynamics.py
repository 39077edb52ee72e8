"""Inverse dynamics (Agrawal et al. 2016; Brandfonbrener et al. 2023): infer the action between two frames."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field
from torch import nn

from agents.data.sequences import Steps
from agents.policies.normalizer import Standardizer
from agents.pretraining.frames import FrameBatch, Frames, Rows
from agents.pretraining.model import PretrainingModel, PretrainingSettings
from agents.training.settings import Units
from demos.datasets.statistics import array_statistics


class InverseDynamicsSettings(PretrainingSettings):
    """Settings of inverse dynamics."""

    hidden_size: Units = Field(256, description="Units of the layer that infers actions from two codes.")


class InverseDynamics(PretrainingModel):
    """Inverse dynamics: infer the executed action from two successive frames.

    **Idea.** The encoder has to represent what actions change, and may ignore the rest. Random play is enough:
    the method needs actions, but no task.

    **Equation.** The loss is the mean of (a_t - g(f(x_t), f(x_(t+1))))^2 over standardized actions; cross entropy for
    discrete actions.

    **Paper.** Brandfonbrener, Nachum and Bruna 2023, Inverse Dynamics Pretraining Learns Good Representations for
    Multitask Imitation; Agrawal et al. 2016, Learning to Poke by Poking.

    **Differences.** All cameras are seen at once. Where a demonstrator's label differs from the executed action, the
    executed action counts.
    """

    name = "inverse-dynamics"
    settings_class = InverseDynamicsSettings
    uses_actions = True
    later = 1
    settings: InverseDynamicsSettings

    def __init__(self, frames: Frames, settings: InverseDynamicsSettings) -> None:
        super().__init__(frames, settings)
        space = frames.action_space
        self.is_discrete = isinstance(space, spaces.Discrete)
        if isinstance(space, spaces.Discrete):
            size, self.first = int(space.n), int(space.start)
        else:
            size = int(np.prod(space.shape or ()))
        self.standardizer = Standardizer(size)
        if not self.is_discrete:
            self.standardizer.fit(array_statistics(frames.actions.flatten(1).numpy())["observation"])
        self.head = nn.Sequential(
            nn.ReLU(),
            nn.Linear(2 * len(self.cameras) * self.code_size, settings.hidden_size),
            nn.ReLU(),
            nn.Linear(settings.hidden_size, size),
        )

    def draw(self, steps: Steps) -> Rows:
        """Return each frame and the next one, shape (n, 2)."""
        rows: Rows = steps.rows[:, None] + np.arange(2)
        return rows

    def compute_loss(self, batch: FrameBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the error of the inferred actions, shape ()."""
        codes = [self.code(number, self.pixels(number, batch.images)) for number in range(len(self.cameras))]
        inferred: torch.Tensor = self.head(torch.cat(codes, dim=2).flatten(1))
        if self.is_discrete:
            loss = nn.functional.cross_entropy(inferred, batch.actions.long() - self.first)
        else:
            loss = (inferred - self.standardizer(batch.actions.flatten(1))).square().mean()
        return loss, {"error": loss}
