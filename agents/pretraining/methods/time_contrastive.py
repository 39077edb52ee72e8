"""Time-contrastive learning (Sermanet et al. 2018; Nair et al. 2022): frames close in time have close codes."""

from __future__ import annotations

import torch
from pydantic import Field

from agents.data.sequences import Steps
from agents.pretraining.frames import FrameBatch, Rows
from agents.pretraining.model import PretrainingModel, PretrainingSettings
from agents.training.settings import Count, Positive


class TimeContrastiveSettings(PretrainingSettings):
    """Settings of time-contrastive learning."""

    window: Count = Field(10, description="Largest number of steps between a frame and one that is close in time.")
    temperature: Positive = Field(1.0, description="Distance of codes that counts as one unit of the logits.")


class TimeContrastive(PretrainingModel):
    """Time-contrastive learning: a frame is nearer to the next frames than to later ones and to other episodes.

    **Idea.** Frames a moment apart show nearly the same state; frames further apart show another one. An encoder that
    must distinguish them has to represent what changes in an episode: the arm, the gripper and the object.

    **Equation.** For frames i < j < k of an episode, with j - i at most `window`, the loss is the mean of
    -log(exp(S(z_i, z_j)) / (exp(S(z_i, z_j)) + exp(S(z_i, z_k)) + sum over n of exp(S(z_i, z_n)))), where
    S(a, b) = -norm(a - b) / `temperature`, and z_n are the codes of the first frames of other episodes
    in the minibatch.

    **Paper.** Nair, Rajeswaran, Kumar, Finn and Gupta 2022, R3M: A Universal Visual Representation for Robot
    Manipulation, equation 1; Sermanet et al. 2018, Time-Contrastive Networks, section III.

    **Differences.** R3M also learns from language and penalizes large codes, and draws one frame of another video;
    here all other episodes of the minibatch count. TCN also compares the views of several cameras; here each camera
    has an encoder of its own, and its loss is separate.
    """

    name = "time-contrastive"
    settings_class = TimeContrastiveSettings
    later = 2
    settings: TimeContrastiveSettings

    def draw(self, steps: Steps) -> Rows:
        """Draw frames i < j < k of the same episode, shape (n, 3)."""
        left = torch.from_numpy(steps.ends - steps.rows - 1)
        near = _drawn(torch.minimum(left - 1, torch.tensor(self.settings.window)))
        far = near + _drawn(left - near)
        offsets = torch.stack([torch.zeros_like(near), near, far], dim=1).numpy()
        rows: Rows = steps.rows[:, None] + offsets
        return rows

    def compute_loss(self, batch: FrameBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the mean over the cameras of the contrastive loss, shape ()."""
        same = batch.episodes[:, None] == batch.episodes
        losses, correct = [], []
        for number in range(len(self.cameras)):
            codes = self.code(number, self.pixels(number, batch.images))
            first, near, far = codes.unbind(dim=1)
            others = torch.cdist(first, first).masked_fill(same, torch.inf)
            near, far = (torch.linalg.vector_norm(first - each, dim=1, keepdim=True) for each in (near, far))
            logits = -torch.cat([near, far, others], dim=1) / self.settings.temperature
            target = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
            losses.append(torch.nn.functional.cross_entropy(logits, target))
            correct.append((logits.argmax(dim=1) == 0).float().mean())
        return torch.stack(losses).mean(), {"accuracy": torch.stack(correct).mean()}


def _drawn(largest: torch.Tensor) -> torch.Tensor:
    """Draw whole numbers from 1 to each of the largest ones, shape (n,)."""
    return 1 + (torch.rand(len(largest)) * largest).long().clamp(max=largest - 1)
