"""Generative heads: flow matching and diffusion. A network turns noise into a chunk of actions in a few steps."""

from __future__ import annotations

import math
from typing import Literal, Protocol, TypeAlias

import torch
from torch import nn

from agents.policies.heads.chunks import masked_mean

Objective: TypeAlias = Literal["flow", "noise"]
TIME_FEATURES = 32
"""Sines and cosines of the time."""
FIRST_TIME = 0.98
"""Time at which sampling by diffusion begins; at 1 nothing of the actions is left to estimate them from."""


class Denoise(Protocol):
    """Network of a generative head."""

    def __call__(self, noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Return the prediction, shape (N, K, C), for noisy chunks of that shape and their times, shape (N,)."""
        ...


class FlowMatching:
    """Flow matching along straight lines (Lipman et al. 2023, Flow Matching for Generative Modeling, equation 23).

    Time runs from 0, noise, to 1, actions: x_t = (1 - t) noise + t x. The network predicts the velocity x - noise.
    """

    def example(
        self, codes: torch.Tensor, noise: torch.Tensor, time: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return noisy chunks and the targets of the network, each of shape (N, K, C).

        Args:
            codes: Demonstrated chunks, shape (N, K, C).
            noise: Standard normal numbers, shape (N, K, C).
            time: From 0 to 1, shape (N,).
        """
        part = time[:, None, None]
        return (1.0 - part) * noise + part * codes, codes - noise

    def sample(self, network: Denoise, noise: torch.Tensor, steps: int) -> torch.Tensor:
        """Return chunks of shape (N, K, C): Euler steps from the noise of that shape."""
        chunk = noise
        for step in range(steps):
            chunk = chunk + network(chunk, _full(chunk, step / steps)) / steps
        return chunk


class Diffusion:
    """Diffusion (Ho et al. 2020; Chi et al. 2023, equation 5) in continuous time with a cosine schedule.

    Time runs from 0, actions, to 1, noise: x_t = cos(t pi / 2) x + sin(t pi / 2) noise. The network predicts the
    noise. Sampling is deterministic (Song et al. 2021, Denoising Diffusion Implicit Models, equation 12).
    """

    def example(
        self, codes: torch.Tensor, noise: torch.Tensor, time: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return noisy chunks and the targets of the network; see :meth:`FlowMatching.example`."""
        angle = 0.5 * math.pi * time[:, None, None]
        return angle.cos() * codes + angle.sin() * noise, noise

    def sample(self, network: Denoise, noise: torch.Tensor, steps: int) -> torch.Tensor:
        """Return chunks of shape (N, K, C) from noise of that shape; estimates are clipped to [-1, 1]."""
        chunk = noise
        for step in range(steps):
            now, later = (0.5 * math.pi * FIRST_TIME * (1.0 - each / steps) for each in (step, step + 1))
            predicted = network(chunk, _full(chunk, now / (0.5 * math.pi)))
            codes = ((chunk - math.sin(now) * predicted) / math.cos(now)).clamp(-1.0, 1.0)
            # The noise that belongs to the clipped estimate.
            predicted = (chunk - math.cos(now) * codes) / math.sin(now)
            chunk = math.cos(later) * codes + math.sin(later) * predicted
        return chunk


PROCESSES: dict[Objective, FlowMatching | Diffusion] = {"flow": FlowMatching(), "noise": Diffusion()}
"""Generative processes by the target of the network."""


def denoising_loss(
    process: FlowMatching | Diffusion,
    network: Denoise,
    codes: torch.Tensor,
    is_pad: torch.Tensor,
    noise: torch.Tensor,
    time: torch.Tensor,
) -> torch.Tensor:
    """Return the mean squared error of the network's prediction, shape ().

    Args:
        process: Generative process.
        network: Network to train.
        codes: Demonstrated chunks, shape (N, K, C).
        is_pad: Shape (N, K): True for padding. The network sees noise alone there.
        noise: Standard normal numbers, shape (N, K, C).
        time: From 0 to 1, shape (N,).
    """
    noisy, target = process.example(codes.masked_fill(is_pad[:, :, None], 0.0), noise, time)
    return masked_mean((network(noisy, time) - target).square().mean(dim=2), is_pad)


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
        """Return predictions of shape (N, K, C).

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
        predicted: torch.Tensor = self.last(nn.functional.silu(hidden))
        return predicted.reshape(-1, *self.shape)


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
