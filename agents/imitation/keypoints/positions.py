"""Positions of objects from keypoints, with how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from agents.policies.torch_policy import TorchModel

UNITS = 32
LOG_STD = -4.5, 1.0
"""Range of the logarithm of a standard deviation, in standard deviations of the positions in the demonstrations."""
MIN_SPREAD = 0.02
"""Smallest standard deviation of positions in the demonstrations, in the units of a state."""
JITTER = 0.02
"""Standard deviation of the noise on inputs in the training, which are standardized."""


@dataclass(frozen=True)
class SeenPositions:
    """Keypoints of N steps, and where the objects were. Indexing gives a minibatch.

    Attributes:
        keypoints: Keypoints, shape (N, objects, numbers).
        tool: Position of the tool in the units of a state, shape (N, 3).
        positions: Positions of the objects in the units of a state, shape (N, objects, 3).
    """

    keypoints: torch.Tensor
    tool: torch.Tensor
    positions: torch.Tensor

    def __len__(self) -> int:
        """Return the number of steps, N."""
        return len(self.positions)

    def __getitem__(self, rows: object) -> SeenPositions:
        """Return some of the steps."""
        return SeenPositions(*(values[rows] for values in vars(self).values()))

    def to(self, device: torch.device) -> SeenPositions:
        """Return the steps, with the same shapes, on a device."""
        return SeenPositions(*(values.to(device) for values in vars(self).values()))


class PositionModel(TorchModel[SeenPositions]):
    """Network for each object: from its keypoints and the position of the tool to a Gaussian over its position.

    The camera on the hand moves with the tool, so its keypoints tell a position only together with that of the tool.

    Args:
        objects: Number of objects.
        numbers: Numbers in the keypoints of an object.
    """

    def __init__(self, objects: int, numbers: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(numbers + 3, UNITS), nn.Tanh(), nn.Linear(UNITS, UNITS), nn.Tanh(), nn.Linear(UNITS, 6)
            )
            for _ in range(objects)
        )
        for name, width in (("input", numbers + 3), ("position", 3)):
            self.register_buffer(f"{name}_mean", torch.zeros(objects, width))
            self.register_buffer(f"{name}_spread", torch.ones(objects, width))

    def fit_normalizer(self, steps: SeenPositions) -> None:
        """Set mean and standard deviation of inputs and positions."""
        for name, values, smallest in (
            ("input", _inputs(steps.keypoints, steps.tool), 1e-3),
            ("position", steps.positions, MIN_SPREAD),
        ):
            self.get_buffer(f"{name}_mean").copy_(values.mean(dim=0))
            self.get_buffer(f"{name}_spread").copy_(values.std(dim=0, correction=0).clamp(min=smallest))

    def forward(self, keypoints: torch.Tensor, tool: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means and precisions (inverse variances) of the positions, each of shape (N, objects, 3).

        Args:
            keypoints: Shape (N, objects, numbers).
            tool: Position of the tool in the units of a state, shape (N, 3).
        """
        mean, log_std = self._standardized(keypoints, tool)
        spread = self.get_buffer("position_spread")
        return mean * spread + self.get_buffer("position_mean"), (-2.0 * log_std).exp() / spread**2

    def compute_loss(self, batch: SeenPositions) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the mean negative log-likelihood of the positions, without its constant; shape ()."""
        mean, log_std = self._standardized(batch.keypoints, batch.tool)
        target = (batch.positions - self.get_buffer("position_mean")) / self.get_buffer("position_spread")
        loss = (0.5 * ((mean - target) * (-log_std).exp()) ** 2 + log_std).mean()
        return loss, {"negative log-likelihood": loss}

    def _standardized(self, keypoints: torch.Tensor, tool: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means and logarithms of standard deviations of standardized positions, shapes (N, objects, 3)."""
        seen = (_inputs(keypoints, tool) - self.get_buffer("input_mean")) / self.get_buffer("input_spread")
        if self.training:
            seen = seen + JITTER * torch.randn_like(seen)
        rows = torch.stack([network(seen[:, number]) for number, network in enumerate(self.networks)], dim=1)
        return rows[..., :3], rows[..., 3:].clamp(*LOG_STD)


def _inputs(keypoints: torch.Tensor, tool: torch.Tensor) -> torch.Tensor:
    """Return what each object's network sees, shape (N, objects, numbers + 3)."""
    return torch.cat([keypoints, tool[:, None].expand(-1, keypoints.shape[1], -1)], dim=2)
