"""Encoder of observations: each part has an encoder of its kind, and gives tokens of the same width."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import nn

from agents.data.features import FeatureIndices
from agents.data.spaces import has_channels_first, is_depth_image, is_image, parts_of, refuse_stacked_images
from agents.policies.encoders.cameras import cameras_of, channels_shape, whole_image
from agents.policies.encoders.images import ImageEncoder, Readout, draw_shifts, shifted
from agents.policies.encoders.instructions import InstructionEncoder
from agents.policies.encoders.vectors import FeatureEncoder, VectorEncoder
from agents.policies.normalizer import Standardizer
from agents.policies.task_frame import TaskFrame, TaskFrameSettings
from agents.types import Space, Tensors
from demos.datasets.statistics import Statistics
from lam_envs.observation.instructions import INSTRUCTION_KEY


@dataclass(frozen=True)
class EncoderSettings:
    """Settings of the encoder of observations.

    Attributes:
        width: Numbers W in a token.
        features: Numbers in each named feature, by part; such a part has a token for each feature.
        image_readout: Readout of images.
        share_image_encoder: Use one encoder for all cameras with images of one shape.
        image_shift: Largest random shift of images in a training, pixels.
        frame: Task frame in which vectors are encoded; None for the frame of the robot's base.
        near_zero: See :class:`agents.policies.encoders.vectors.VectorEncoder`.
    """

    width: int
    features: Mapping[str, Sequence[int]] = field(default_factory=dict)
    image_readout: Readout = "spatial_softmax"
    share_image_encoder: bool = False
    image_shift: int = 3
    frame: TaskFrameSettings | None = None
    near_zero: bool = False


class ObservationTokens(nn.Module):
    """Encoder of observations as tokens.

    Vectors, images, and the instruction have encoders of their kind. A depth image is a fourth channel of its camera.

    Args:
        space: A Box, or a Dict of such.
        settings: Settings of the encoder.

    Attributes:
        tokens: Tokens P of one observation.
        width: Numbers W in a token.

    Raises:
        ValueError: The observations have depth without an image, or stacked images.
    """

    def __init__(self, space: Space, settings: EncoderSettings) -> None:
        super().__init__()
        refuse_stacked_images(space)
        self.settings = settings
        self.frame = None if settings.frame is None else TaskFrame(settings.frame)
        self.width = settings.width
        parts = parts_of(space)
        self._vectors: list[str] = []
        self._cameras = cameras_of(parts)
        self._has_channels_first = {name: has_channels_first(p.shape) for name, p in parts.items() if is_image(p)}
        self.vectors, self.cameras = nn.ModuleList(), nn.ModuleList()
        self.depths = nn.ModuleDict()
        self.instruction: InstructionEncoder | None = None
        shared: dict[tuple[int, int, int], ImageEncoder] = {}
        self.tokens = 0
        for name, part in parts.items():
            if name in self._cameras:
                shape = channels_shape([parts[key] for key in self._cameras[name]])
                encoder = shared.get(shape) or ImageEncoder(*shape, settings.image_readout, settings.width)
                if settings.share_image_encoder:
                    shared[shape] = encoder
                self.cameras.append(encoder)
                self.tokens += encoder.tokens
            elif is_depth_image(part):
                self.depths[name] = Standardizer(1)
            elif name == INSTRUCTION_KEY:
                self.instruction = InstructionEncoder(settings.width)
                self.tokens += 1
            else:
                sizes = settings.features.get(name)
                vector: FeatureEncoder | VectorEncoder = (
                    VectorEncoder(math.prod(part.shape), settings.width, near_zero=settings.near_zero)
                    if sizes is None
                    else FeatureEncoder(sizes, settings.width)
                )
                self._vectors.append(name)
                self.vectors.append(vector)
                self.tokens += vector.tokens
        # Distinguishes cameras that share an encoder.
        self.camera_names = nn.ParameterList(0.02 * torch.randn(settings.width) for _ in self._cameras)

    def fit(self, statistics: Mapping[str, Statistics], masked: FeatureIndices | None = None) -> None:
        """Set the normalizers.

        Args:
            statistics: Statistics of demonstrations, by the names of :func:`demos.statistics`.
            masked: Indices of the numbers that are not used; None for none.

        Raises:
            ValueError: One of x and y of a vector that the task frame rotates is masked without the other.
        """
        if self.frame is not None:
            self.frame.check_masked(masked or {})
        for name, encoder in zip(self._vectors, self.vectors, strict=True):
            known = statistics[f"observation/{name}" if name else "observation"]
            cast(VectorEncoder, encoder).fit(known, (masked or {}).get(name, ()))
        for name, standardizer in self.depths.items():
            cast(Standardizer, standardizer).fit(whole_image(statistics[f"observation/{name}"]))

    def fit_words(self, instructions: Iterable[str]) -> None:
        """Know the words of instructions, if observations have an instruction."""
        if self.instruction is not None:
            self.instruction.vocabulary.fit(instructions)

    def image_encoders(self) -> list[tuple[str, ImageEncoder]]:
        """Return name and encoder of each camera; cameras may share an encoder."""
        return [
            (name, cast(ImageEncoder, encoder)) for name, encoder in zip(self._cameras, self.cameras, strict=True)
        ]

    def forward(self, observations: Tensors) -> torch.Tensor:
        """Return tokens of shape (N, H, P, W) for observations of shape (N, H, ...), or a dict of such."""
        if self.frame is not None:
            observations = self.frame.rotated(observations, self.frame.heading(observations))
        parts = observations if isinstance(observations, dict) else {"": observations}
        tokens = [encoder(parts[name]) for name, encoder in zip(self._vectors, self.vectors, strict=True)]
        if self.instruction is not None:
            tokens.append(self.instruction(parts[INSTRUCTION_KEY]))
        for number, (keys, encoder) in enumerate(zip(self._cameras.values(), self.cameras, strict=True)):
            count, frames = parts[keys[0]].shape[:2]
            channels = [self._channels_last(key, parts[key]) for key in keys]
            if self.training and self.settings.image_shift:
                # Pixels are moved as bytes, which is faster than as floating-point numbers.
                shifts = draw_shifts(count, self.settings.image_shift, channels[0].device)
                channels = [shifted(each, shifts) for each in channels]
            images = torch.cat([self._scaled(key, each) for key, each in zip(keys, channels, strict=True)], dim=-1)
            seen: torch.Tensor = encoder(images.flatten(0, 1).permute(0, 3, 1, 2))
            tokens.append(seen.reshape(count, frames, *seen.shape[1:]) + self.camera_names[number])
        return torch.cat(tokens, dim=2)

    def _channels_last(self, name: str, images: torch.Tensor) -> torch.Tensor:
        """Return images of shape (N, H, height, width, channels)."""
        return images.movedim(2, -1) if self._has_channels_first.get(name) else images

    def _scaled(self, name: str, images: torch.Tensor) -> torch.Tensor:
        """Return images of about [-1, 1], with the same shape (N, H, height, width, channels)."""
        if name in self.depths:
            depths: torch.Tensor = self.depths[name](images)
            return depths
        return images.float() / 127.5 - 1.0
