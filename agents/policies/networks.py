"""Networks of our agents: policies of Stable-Baselines3 with an encoder that standardizes observations.

Means and standard deviations are part of the weights, so they are saved with them. All networks have the same layers:
the weights of a BC policy initialize the policy of PPO, or the actor of SAC.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from torch import nn

from agents.data.features import FeatureIndices
from agents.data.spaces import has_channels_first, is_image, parts_of, refuse_stacked_images
from agents.policies.encoders.cameras import cameras_of, channels_shape, whole_image
from agents.policies.encoders.images import ImageEncoder, Readout, tokens_of
from agents.policies.encoders.instructions import refuse_instruction
from agents.policies.normalizer import MAX_STANDARDIZED, spread_of
from agents.types import Keywords, Space, Tensors
from demos.datasets.statistics import Statistics

IMAGE_FEATURES = 128
MIN_LOG_STD = -40.0
"""Smallest logarithm of the noise. Where an action is always the same, behavior cloning shrinks its noise with each
update: published training runs reach -33. At -40, losses and their gradients still fit in 32-bit numbers."""


class ObservationEncoder(BaseFeaturesExtractor):
    """Encoder of observations: it standardizes numbers, applies convolutions to images, and concatenates all.

    With a readout, a depth image is a fourth channel of its camera. Without one, its pixels are plain numbers.

    Args:
        observation_space: A Box, or a Dict of such; uint8 of shape (height, width, channels) is an image, or with
            the channels first, as in Stable-Baselines3.
        readout: Readout of images by :class:`agents.policies.encoders.images.ImageEncoder`, which can be pre-trained;
            None for a small version of the network of Mnih et al. 2015.
        share_images: Use one network for all cameras with images of one shape.

    Raises:
        ValueError: The observations have an instruction, depth without an image, stacked images, or images that are
            too small.
    """

    def __init__(
        self, observation_space: Space, readout: Readout | None = None, *, share_images: bool = False
    ) -> None:
        self._parts = parts_of(observation_space)
        refuse_instruction(observation_space)
        refuse_stacked_images(observation_space)
        images = [name for name, part in self._parts.items() if is_image(part)]
        self._cameras: dict[str, tuple[str, ...]] = {name: (name,) for name in images}
        if readout is not None:
            self._cameras = cameras_of(self._parts)
        self._depths = {name for names in self._cameras.values() for name in names[1:]}
        seen = IMAGE_FEATURES * (1 if readout is None else tokens_of(readout))
        flat = [part for name, part in self._parts.items() if name not in {*self._cameras, *self._depths}]
        super().__init__(observation_space, len(images) * seen + sum(math.prod(part.shape) for part in flat))
        self.images = nn.ModuleDict()
        shared: dict[tuple[int, int, int], nn.Module] = {}
        for number, (name, part) in enumerate(self._parts.items()):
            if name in self._cameras:
                shape = channels_shape([self._parts[each] for each in self._cameras[name]])
                network = shared.get(shape) or (
                    _convolutions(*shape) if readout is None else ImageEncoder(*shape, readout, IMAGE_FEATURES)
                )
                if share_images:
                    shared[shape] = network
                self.images[str(number)] = network
            else:
                size = 1 if name in self._depths else math.prod(part.shape)
                self.register_buffer(f"mean_{number}", torch.zeros(size))
                self.register_buffer(f"spread_{number}", torch.ones(size))

    def image_encoders(self) -> list[tuple[str, ImageEncoder]]:
        """Return name and encoder of each camera that has an :class:`ImageEncoder`; cameras may share an encoder."""
        names = list(self._parts)
        return [
            (names[int(number)], encoder)
            for number, encoder in self.images.items()
            if isinstance(encoder, ImageEncoder)
        ]

    def fit(self, statistics: Mapping[str, Statistics], masked: FeatureIndices | None = None) -> None:
        """Set mean and standard deviation of the dimensions, and those of all pixels of a depth image together.

        Args:
            statistics: Statistics of a dataset (:func:`demos.statistics`).
            masked: Indices of the numbers that are set to 0; None for none.
        """
        for number, name in enumerate(self._parts):
            if name in self._cameras:
                continue
            known = statistics[f"observation/{name}" if name else "observation"]
            known = whole_image(known) if name in self._depths else known
            spread = spread_of(known, (masked or {}).get(name, ()))
            self.get_buffer(f"mean_{number}").copy_(torch.as_tensor(known.mean.ravel()))
            self.get_buffer(f"spread_{number}").copy_(torch.as_tensor(spread))

    def forward(self, observations: Tensors) -> torch.Tensor:
        """Return rows of shape (N, features) for observations of shape (N, ...), or a dict of such."""
        parts = observations if isinstance(observations, dict) else {"": observations}
        rows = []
        for number, name in enumerate(self._parts):
            if name in self._cameras:
                rows.append(self._encoded(number, name, parts))
            elif name not in self._depths:
                rows.append(self._standardized(number, parts[name].float()[..., None].flatten(1)))
        return torch.cat(rows, dim=1)

    def _encoded(self, number: int, name: str, parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the features of a camera, shape (N, features)."""
        network, pixels = self.images[str(number)], parts[name].float() / 255.0
        if not has_channels_first(self._parts[name].shape):
            pixels = pixels.permute(0, 3, 1, 2).contiguous()
        if not isinstance(network, ImageEncoder):
            features: torch.Tensor = network(pixels)
            return features
        channels = [2.0 * pixels - 1.0]
        for depth in self._cameras[name][1:]:
            standard = self._standardized(list(self._parts).index(depth), parts[depth].float())
            channels.append(standard.permute(0, 3, 1, 2))
        tokens: torch.Tensor = network(torch.cat(channels, dim=1))
        return tokens.flatten(1)

    def _standardized(self, number: int, values: torch.Tensor) -> torch.Tensor:
        """Return standardized numbers of a part, or depths, of the same shape."""
        standard = (values - self.get_buffer(f"mean_{number}")) / self.get_buffer(f"spread_{number}")
        return standard.clamp(-MAX_STANDARDIZED, MAX_STANDARDIZED)


def _convolutions(channels: int, height: int, width: int) -> nn.Module:
    """Return a small version of the three layers of Mnih et al. 2015, for images of at least 20 x 20."""
    if min(height, width) < 20:
        raise ValueError(f"images are {height} x {width}; expected at least 20 x 20")
    return nn.Sequential(
        nn.Conv2d(channels, 16, kernel_size=8, stride=4, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, kernel_size=3, stride=1, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(5),
        nn.Flatten(),
        nn.Linear(32 * 25, IMAGE_FEATURES),
        nn.ReLU(),
    )


class _Squash(nn.Module):
    """Layer that squashes numbers into the bounds of a space by tanh.

    Args:
        space: Action space.

    Raises:
        ValueError: The space has no bounds.
    """

    def __init__(self, space: spaces.Box) -> None:
        super().__init__()
        if not space.is_bounded():
            raise ValueError(f"action space {space} has no bounds to squash actions into: set squash=false")
        low, high = torch.as_tensor(space.low).flatten(), torch.as_tensor(space.high).flatten()
        self.register_buffer("middle", (high + low) / 2, persistent=False)
        self.register_buffer("reach", (high - low) / 2, persistent=False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Squash numbers of shape (N, actions), which keep it."""
        return self.get_buffer("middle") + self.get_buffer("reach") * torch.tanh(values)


class BoundedPolicy(ActorCriticPolicy):
    """Actor-critic policy whose mean action is squashed into the action space by tanh.

    Without noise it acts like SAC's actor with the same weights. The logarithm of its noise is at least
    :data:`MIN_LOG_STD`, so that no demonstrated action is so unlikely that a loss or its gradient overflows.

    Args:
        args: Arguments of Stable-Baselines3's ``ActorCriticPolicy``.
        squash: Squash continuous actions.
        kwargs: Keyword arguments of Stable-Baselines3's ``ActorCriticPolicy``.
    """

    def __init__(self, *args: Any, squash: bool = True, **kwargs: Any) -> None:
        self.squash = squash
        if "optimizer_class" not in kwargs:
            # Stable-Baselines3's Adam; one call for all weights gives the same bits in less time.
            kwargs = {"optimizer_kwargs": {"eps": 1e-5, "foreach": True}, **kwargs}
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        if self.squash and isinstance(self.action_space, spaces.Box):
            # This adds no weights, so the optimizer has all of them.
            self.action_net = nn.Sequential(self.action_net, _Squash(self.action_space))

    def _get_action_dist_from_latent(self, latent_pi: torch.Tensor) -> Distribution:
        # latent_pi has the shape (N, units of the last layer).
        if isinstance(self.action_dist, DiagGaussianDistribution):
            with torch.no_grad():
                self.log_std.clamp_(min=MIN_LOG_STD)
        return super()._get_action_dist_from_latent(latent_pi)


def output_of(policy: nn.Module, observation: Tensors) -> torch.Tensor:
    """Return the numbers that the most likely action of a policy of Stable-Baselines3 follows from, shape (N, C).

    They are the action itself, flat; for discrete actions the logits or the values Q(s, a), whose largest counts. The
    policy's own ``predict`` creates distributions and clamps weights: that has no gradient and cannot be traced.

    Args:
        policy: Policy of PPO or A2C, DQN, or SAC.
        observation: Tensor of shape (N, ...), or a dict of such.

    Raises:
        ValueError: The policy is of another class.
    """
    network: Any = policy
    if isinstance(policy, ActorCriticPolicy):
        features = network.extract_features(observation, network.pi_features_extractor)
        output: torch.Tensor = network.action_net(network.mlp_extractor.forward_actor(features))
    elif isinstance(policy, DQNPolicy):
        output = network.q_net(observation)
    elif isinstance(policy, SACPolicy):
        mean, _, _ = network.actor.get_action_dist_params(observation)
        space = network.action_space
        low, high = (torch.as_tensor(bound).ravel() for bound in (space.low, space.high))
        output = low + 0.5 * (torch.tanh(mean) + 1.0) * (high - low)
    else:
        raise ValueError(f"the outputs of a {type(policy).__name__} are not known; expected a policy of our agents")
    return output


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights of a network; weights with several names under the first of them."""
    state = network.state_dict()
    return {name: state[name] for name, first in _first_names(state).items() if name == first}


def set_weights(network: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Set the weights of :func:`weights_of`.

    Raises:
        ValueError: The weights belong to another network.
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
    """Return the first name of the same tensor for each name."""
    seen: dict[tuple[int, torch.Size], str] = {}
    return {name: seen.setdefault((value.data_ptr(), value.shape), name) for name, value in state.items()}


def policy_keywords(
    hidden_sizes: tuple[int, ...], readout: Readout | None = None, *, share_images: bool = False
) -> Keywords:
    """Return keyword arguments for policies of Stable-Baselines3 that can share weights.

    Args:
        hidden_sizes: Units of the layers.
        readout: Readout of images, see :class:`ObservationEncoder`.
        share_images: Use one network for all cameras, see :class:`ObservationEncoder`.
    """
    extractor = {
        **({} if readout is None else {"readout": readout}),
        **({"share_images": True} if share_images else {}),
    }
    return {
        "net_arch": list(hidden_sizes),
        "activation_fn": nn.ReLU,
        "features_extractor_class": ObservationEncoder,
        "normalize_images": False,
        **({"features_extractor_kwargs": extractor} if extractor else {}),
    }
