"""Networks that our agents share: policies of Stable-Baselines3 that standardise what they observe.

What was observed in the demonstrations has mean 0 and spread 1 inside of the network. The numbers that do this are
part of the weights: they are saved with them, and Stable-Baselines3's own algorithms go on with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from demos.datasets.statistics import Statistics

LEAST_SPREAD = 0.01
"""Observations have about unit range: what varied less than this in the demonstrations is not blown up."""
FARTHEST = 10.0
"""Standardised numbers are clipped here: what was never seen does not drive the network out of all bounds."""
PICTURE_FEATURES = 128
LEAST_LOG_STD = -40.0
"""Smallest logarithm of the noise. Where an action is always the same, cloning shrinks its noise with each update:
published trainings come to -33. At -40 losses and their gradients still fit in 32-bit numbers."""


class Standardizing(BaseFeaturesExtractor):
    """Standardises numbers, sees pictures through convolutions, and joins all of an observation in one row.

    Args:
        observation_space: A Box, or a Dict of such; uint8 of shape (height, width, channels) is a picture, or with
            the channels first, as Stable-Baselines3 has it.
    """

    def __init__(self, observation_space: gym.Space[Any]) -> None:
        self._parts = _parts(observation_space)
        sizes = [PICTURE_FEATURES if is_image(part) else math.prod(part.shape) for part in self._parts.values()]
        super().__init__(observation_space, sum(sizes))
        self._is_dict = isinstance(observation_space, spaces.Dict)
        self.pictures = nn.ModuleDict()
        for number, part in enumerate(self._parts.values()):
            if is_image(part):
                self.pictures[str(number)] = _convolutions(part.shape)
            else:
                self.register_buffer(f"mean_{number}", torch.zeros(math.prod(part.shape)))
                self.register_buffer(f"spread_{number}", torch.ones(math.prod(part.shape)))

    def fit(self, found: Mapping[str, Statistics], masked: Sequence[int] = ()) -> None:
        """Takes mean and spread of numbers from a dataset.

        Args:
            found: Of :func:`demos.statistics`.
            masked: Indices of numbers, in an observation that is one array, that become 0.
        """
        for number, (name, part) in enumerate(self._parts.items()):
            if is_image(part):
                continue
            known = found[f"observation/{name}" if name else "observation"]
            spread = np.where(known.std < LEAST_SPREAD, 1.0, known.std).ravel()
            spread[list(masked)] = np.inf
            self.get_buffer(f"mean_{number}").copy_(torch.as_tensor(known.mean.ravel()))
            self.get_buffer(f"spread_{number}").copy_(torch.as_tensor(spread))

    def forward(self, observations: Any) -> torch.Tensor:
        """Returns rows of shape (N, features)."""
        rows = []
        for number, name in enumerate(self._parts):
            values = observations[name] if self._is_dict else observations
            if str(number) in self.pictures:
                seen = values.float() / 255.0
                seen = seen if _has_channels_first(self._parts[name].shape) else seen.permute(0, 3, 1, 2).contiguous()
                rows.append(self.pictures[str(number)](seen))
            else:
                flat = values.float().flatten(1)
                standard = (flat - self.get_buffer(f"mean_{number}")) / self.get_buffer(f"spread_{number}")
                rows.append(standard.clamp(-FARTHEST, FARTHEST))
        return torch.cat(rows, dim=1)


def is_image(space: gym.Space[Any]) -> bool:
    """Whether a space holds pictures, with the channels last or first."""
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3


def _has_channels_first(shape: tuple[int, ...]) -> bool:
    """Whether the channels of a picture are its first dimension: there are fewest of them."""
    return shape[0] < min(shape[1:])


def _parts(space: gym.Space[Any]) -> dict[str, spaces.Box]:
    """The arrays of an observation by name; of a plain space the one name ``""``."""
    parts: dict[str, spaces.Box] = {}
    for name, part in (space.spaces if isinstance(space, spaces.Dict) else {"": space}).items():
        if not isinstance(part, spaces.Box):
            raise ValueError(f"observation {name!r} is a {type(part).__name__}; these networks see arrays of numbers")
        parts[name] = part
    return parts


def _convolutions(shape: tuple[int, ...]) -> nn.Module:
    """Three layers as of Mnih et al. 2015, smaller, for pictures of any size of at least 20."""
    channels, height, width = shape if _has_channels_first(shape) else (shape[2], *shape[:2])
    if min(height, width) < 20:
        raise ValueError(f"pictures are {height} x {width}; these networks see pictures of at least 20 x 20")
    return nn.Sequential(
        nn.Conv2d(channels, 16, kernel_size=8, stride=4, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, kernel_size=3, stride=1, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(5),
        nn.Flatten(),
        nn.Linear(32 * 25, PICTURE_FEATURES),
        nn.ReLU(),
    )


class _Squash(nn.Module):
    """Brings any numbers between the bounds of a space.

    Args:
        space: Of the actions.

    Raises:
        ValueError: It has no bounds.
    """

    def __init__(self, space: spaces.Box) -> None:
        super().__init__()
        if not space.is_bounded():
            raise ValueError(f"actions of {space} have no bounds to be squashed into: set squash=false")
        low, high = torch.as_tensor(space.low).flatten(), torch.as_tensor(space.high).flatten()
        self.register_buffer("middle", (high + low) / 2, persistent=False)
        self.register_buffer("reach", (high - low) / 2, persistent=False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Squashes numbers of shape (N, actions)."""
        return self.get_buffer("middle") + self.get_buffer("reach") * torch.tanh(values)


class BoundedPolicy(ActorCriticPolicy):
    """An actor-critic policy whose mean action is squashed into the action space by tanh.

    So what it does without noise is what SAC's actor of the same weights does. The logarithm of its noise is at least
    :data:`LEAST_LOG_STD`, so that no demonstrated action is so unlikely that a loss or its gradient overflows.

    Args:
        args: Of Stable-Baselines3's ``ActorCriticPolicy``.
        squash: Whether to squash; never done to discrete actions.
        kwargs: Of Stable-Baselines3's ``ActorCriticPolicy``.
    """

    def __init__(self, *args: Any, squash: bool = True, **kwargs: Any) -> None:
        self.squash = squash
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        if self.squash and isinstance(self.action_space, spaces.Box):
            # No new weights: the optimizer knows all of them.
            self.action_net = nn.Sequential(self.action_net, _Squash(self.action_space))

    def _get_action_dist_from_latent(self, latent_pi: torch.Tensor) -> Distribution:
        if isinstance(self.action_dist, DiagGaussianDistribution):
            with torch.no_grad():
                self.log_std.clamp_(min=LEAST_LOG_STD)
        return super()._get_action_dist_from_latent(latent_pi)


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Returns a network's weights, what has several names under the first of them."""
    state = network.state_dict()
    return {name: state[name] for name, first in _first_names(state).items() if name == first}


def set_weights(network: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Gives a network the weights of :func:`weights_of`.

    Raises:
        ValueError: They are of another network.
    """
    first_names = _first_names(network.state_dict())
    missing = sorted(set(first_names.values()) - weights.keys())
    unknown = sorted(weights.keys() - set(first_names.values()))
    if missing or unknown:
        raise ValueError(f"missing weights {', '.join(missing) or 'none'}; unknown {', '.join(unknown) or 'none'}")
    try:
        network.load_state_dict({name: weights[first] for name, first in first_names.items()})
    except RuntimeError as error:
        raise ValueError(str(error)) from error


def _first_names(state: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """For each name the first that the same numbers have."""
    seen: dict[tuple[int, torch.Size], str] = {}
    return {name: seen.setdefault((value.data_ptr(), value.shape), name) for name, value in state.items()}


def policy_keywords(hidden_sizes: tuple[int, ...]) -> dict[str, Any]:
    """Returns what policies of Stable-Baselines3 are made with, so that one takes the weights of another."""
    return {
        "net_arch": list(hidden_sizes),
        "activation_fn": nn.ReLU,
        "features_extractor_class": Standardizing,
        "normalize_images": False,
    }
