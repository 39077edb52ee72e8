"""Generative heads: flow matching and diffusion. A network turns noise into a chunk of actions in a few steps."""

from __future__ import annotations

import math
from typing import Any, Literal, Protocol, TypeAlias

import torch
from torch import nn

from agents.policies.heads.chunks import masked_mean

Objective: TypeAlias = Literal["flow", "noise"]
Limits: TypeAlias = tuple[Any, Any]
"""Lowest and highest code of an action: numbers, or tensors of shape (C,)."""
UNIT_LIMITS = (-1.0, 1.0)
"""Limits of the codes of demonstrated actions."""
TIME_FEATURES = 32
"""Sines and cosines of the time."""
MAX_STEPS = 10
"""Largest number of steps that make a chunk: each is one pass through the network."""


class Denoise(Protocol):
    """Network of a generative head. It estimates the actions themselves: the velocity or the noise follows from them.

    A network that predicts a velocity or noise must learn to subtract its input; its errors become errors of actions.
    """

    def __call__(self, noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Return estimated chunks, shape (N, K, C), for noisy chunks of that shape and their times, shape (N,)."""
        ...


class FlowMatching:
    """Flow matching along straight lines (Lipman et al. 2023, Flow Matching for Generative Modeling, equation 23).

    Time runs from 0, noise, to 1, actions: x_t = (1 - t) e + t x. The target is the velocity x - e; an estimate of
    the actions gives (x - x_t) / (1 - t).
    """

    times = (0.0, 1.0 - 1.0 / MAX_STEPS)
    """First and last time at which the network is used."""

    def example(
        self, codes: torch.Tensor, noise: torch.Tensor, time: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return noisy chunks and their targets, each of shape (N, K, C).

        Args:
            codes: Demonstrated chunks, shape (N, K, C).
            noise: Standard normal numbers, shape (N, K, C).
            time: Within :attr:`times`, shape (N,).
        """
        part = time[:, None, None]
        return (1.0 - part) * noise + part * codes, codes - noise

    def prediction(self, estimate: torch.Tensor, noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Return the target that follows from estimated actions, shape (N, K, C).

        Args:
            estimate: Estimated chunks, shape (N, K, C).
            noisy: Noisy chunks, shape (N, K, C).
            time: Their times, shape (N,).
        """
        return (estimate - noisy) / (1.0 - time[:, None, None])

    def sample(self, network: Denoise, noise: torch.Tensor, steps: int, limits: Limits = UNIT_LIMITS) -> torch.Tensor:
        """Return chunks of shape (N, K, C): Euler steps from the noise of that shape. Limits are not used."""
        chunk = noise
        for step in range(steps):
            time = _full(chunk, step / steps)
            chunk = chunk + self.prediction(network(chunk, time), chunk, time) / steps
        return chunk


class Diffusion:
    """Diffusion (Ho et al. 2020; Chi et al. 2023, equation 5) in continuous time with a cosine schedule.

    Time runs from 0, actions, to 1, noise: x_t = cos(t pi / 2) x + sin(t pi / 2) e. The target is the noise e.
    Sampling is deterministic (Song et al. 2021, Denoising Diffusion Implicit Models, equation 12).
    """

    times = (0.98 / MAX_STEPS, 0.98)
    """First and last time at which the network is used; at 1 nothing is left to estimate the actions from."""

    def example(
        self, codes: torch.Tensor, noise: torch.Tensor, time: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return noisy chunks and their targets; see :meth:`FlowMatching.example`."""
        angle = 0.5 * math.pi * time[:, None, None]
        return angle.cos() * codes + angle.sin() * noise, noise

    def prediction(self, estimate: torch.Tensor, noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Return the target that follows from estimated actions; see :meth:`FlowMatching.prediction`."""
        angle = 0.5 * math.pi * time[:, None, None]
        return (noisy - angle.cos() * estimate) / angle.sin()

    def sample(self, network: Denoise, noise: torch.Tensor, steps: int, limits: Limits = UNIT_LIMITS) -> torch.Tensor:
        """Return chunks of shape (N, K, C) from noise of that shape; estimates are clipped to the limits."""
        chunk, last = noise, self.times[1]
        for step in range(steps):
            time, later = (_full(chunk, last * (1.0 - each / steps)) for each in (step, step + 1))
            estimate = network(chunk, time).clamp(*limits)
            chunk, _ = self.example(estimate, self.prediction(estimate, chunk, time), later)
        return chunk


PROCESSES: dict[Objective, FlowMatching | Diffusion] = {"flow": FlowMatching(), "noise": Diffusion()}
"""Generative processes by their target."""


def denoising_loss(
    process: FlowMatching | Diffusion,
    network: Denoise,
    codes: torch.Tensor,
    is_pad: torch.Tensor,
    noise: torch.Tensor,
    time: torch.Tensor,
) -> torch.Tensor:
    """Return the mean squared error of the predicted velocity or noise, shape ().

    Args:
        process: Generative process.
        network: Network to train.
        codes: Demonstrated chunks, shape (N, K, C).
        is_pad: Shape (N, K): True for padding. The network sees noise alone there.
        noise: Standard normal numbers, shape (N, K, C).
        time: Times of the process, shape (N,).
    """
    noisy, target = process.example(codes.masked_fill(is_pad[:, :, None], 0.0), noise, time)
    predicted = process.prediction(network(noisy, time), noisy, time)
    return masked_mean((predicted - target).square().mean(dim=2), is_pad)


class Denoiser(nn.Module):
    """Residual network over whole chunks, whose layers are scaled and shifted by condition and time.

    Peebles and Xie 2023, Scalable Diffusion Models with Transformers, adaptive layer normalization.

    Args:
        horizon: Actions K of a chunk.
        size: Numbers C of the code of an action.
        condition: Numbers in the condition.
        width: Units of a layer.
        depth: Number of residual blocks.
    """

    def __init__(self, horizon: int, size: int, condition: int, width: int, depth: int) -> None:
        super().__init__()
        self.shape = (horizon, size)
        self.register_buffer("frequencies", 2.0 ** torch.linspace(-1.0, 6.0, TIME_FEATURES // 2), persistent=False)
        self.condition = nn.Linear(condition, width)
        self.time = nn.Linear(TIME_FEATURES, width)
        self.first = nn.Linear(horizon * size, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.last = nn.Linear(width, horizon * size)

    def forward(self, noisy: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return estimated chunks of shape (N, K, C).

        Args:
            noisy: Noisy chunks, shape (N, K, C).
            time: From 0 to 1, shape (N,).
            condition: Shape (N, condition).
        """
        angles = time[:, None] * self.get_buffer("frequencies") * math.pi
        when = self.time(torch.cat([angles.sin(), angles.cos()], dim=1))
        context = nn.functional.silu(self.condition(condition) + when)
        hidden = self.first(noisy.flatten(1))
        for block in self.blocks:
            hidden = block(hidden, context)
        estimate: torch.Tensor = self.last(nn.functional.silu(hidden))
        return estimate.reshape(-1, *self.shape)


class _Block(nn.Module):
    """Residual block; it changes nothing at the start of a training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        nn.init.zeros_(self.layers[2].weight)  # type: ignore[arg-type]  # a Linear
        nn.init.zeros_(self.layers[2].bias)  # type: ignore[arg-type]

    def forward(self, hidden: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Return numbers of the shape (N, width) of both inputs."""
        scale, shift = self.modulation(context).chunk(2, dim=1)
        changed: torch.Tensor = self.layers(self.norm(hidden) * (1.0 + scale) + shift)
        return hidden + changed


def _full(chunk: torch.Tensor, value: float) -> torch.Tensor:
    return torch.full((len(chunk),), value, device=chunk.device)
