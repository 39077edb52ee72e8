"""Heads of the networks of agent ``lam``: a chunk of actions from the last hidden layer."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import nn

from agents.imitation.lam.networks.batch import LamBatch, WeightedErrors, absolute_errors, label_weights
from agents.policies.heads.denoising import MAX_STEPS, Denoiser, FlowMatching

HeadName: TypeAlias = Literal["l1", "flow"]
BLOCKS = 3
"""Residual blocks of the flow."""


class RegressionHead(nn.Linear):
    """Head that predicts the chunk itself, trained by the mean absolute error.

    Args:
        hidden: Size H of the last hidden layer.
        actions: Actions K of a chunk.
        size: Numbers A of an action.
    """

    def __init__(self, hidden: int, actions: int, size: int) -> None:
        super().__init__(hidden, actions * size)
        self.shape = (actions, size)

    def chunk(
        self, hidden: torch.Tensor, motion: torch.Tensor, is_used: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        """Return chunks of actions, shape (N, K, A).

        Args:
            hidden: Output of the last hidden layer, shape (N, H).
            motion: Added to the predicted actions, shape (N, K, A) or ().
            is_used: True for the numbers of an action that the robot has, shape (N, A); not used.
            noise: Not used.
        """
        predicted: torch.Tensor = self(hidden).reshape(-1, *self.shape)
        return predicted + motion

    def errors(self, hidden: torch.Tensor, motion: torch.Tensor, batch: LamBatch, decay: float) -> WeightedErrors:
        """Return the errors of chunks (:func:`agents.imitation.lam.networks.batch.absolute_errors`)."""
        return absolute_errors(self.chunk(hidden, motion, batch.is_used, None), batch, decay)


class FlowHead(nn.Module):
    """Head that turns noise into a chunk by flow matching (Lipman et al. 2023), as agent ``diffusion`` does.

    It learns the distribution of the demonstrated chunks where several continuations are good. Numbers that a
    robot does not have, and steps after the end of an episode, stay noise.

    Args:
        hidden: Size H of the last hidden layer.
        actions: Actions K of a chunk.
        size: Numbers A of an action.
        width: Units of a layer.
    """

    def __init__(self, hidden: int, actions: int, size: int, width: int) -> None:
        super().__init__()
        self.shape = (actions, size)
        self.process = FlowMatching()
        self.denoiser = Denoiser(actions, size, hidden, width, BLOCKS)

    def draw(self, count: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return noise of shape (N, K, A) and times of shape (N,) for the examples of a training."""
        first, last = self.process.times
        noise = torch.randn(count, *self.shape, device=device)
        return noise, first + (last - first) * torch.rand(count, device=device)

    def chunk(
        self, hidden: torch.Tensor, motion: torch.Tensor, is_used: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the chunks that noise becomes, shape (N, K, A).

        Args:
            hidden: Output of the last hidden layer, shape (N, H).
            motion: Added to the estimated actions, shape (N, K, A) or ().
            is_used: True for the numbers of an action that the robot has, shape (N, A).
            noise: Shape (N, K, A); None for zeros, the most likely noise.
        """
        start = torch.zeros(len(hidden), *self.shape, device=hidden.device) if noise is None else noise

        def estimate(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            seen = torch.where(is_used[:, None], noisy, start)
            estimated: torch.Tensor = self.denoiser(seen, time, hidden) + motion
            return estimated

        return self.process.sample(estimate, start, MAX_STEPS)

    def errors(self, hidden: torch.Tensor, motion: torch.Tensor, batch: LamBatch, decay: float) -> WeightedErrors:
        """Return the squared errors of the velocity, weighted as by :func:`label_weights`.

        Args:
            hidden: Output of the last hidden layer, shape (N, H).
            motion: Added to the estimated actions, shape (N, K, A) or ().
            batch: Minibatch with the demonstrated actions, noise and times.
            decay: Factor of the weights from step to step.

        Raises:
            RuntimeError: The minibatch has no noise.
        """
        if batch.noise is None or batch.time is None:
            raise RuntimeError("the minibatch has no noise yet: call the policy's augment first")
        noise, time = batch.noise, batch.time
        weights = label_weights(batch, decay)
        noisy, target = self.process.example(batch.actions, noise, time)
        noisy = torch.where(weights > 0.0, noisy, noise)
        estimate = self.denoiser(noisy, time, hidden) + motion
        errors = (self.process.prediction(estimate, noisy, time) - target).square()
        return WeightedErrors(errors * weights, weights)


Head: TypeAlias = RegressionHead | FlowHead


def make_head(name: HeadName, hidden: int, actions: int, size: int, width: int) -> Head:
    """Return a head.

    Args:
        name: ``l1`` or ``flow``.
        hidden: Size of the last hidden layer.
        actions: Actions of a chunk.
        size: Numbers of an action.
        width: Units of a layer of the flow.
    """
    return RegressionHead(hidden, actions, size) if name == "l1" else FlowHead(hidden, actions, size, width)
