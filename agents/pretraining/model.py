"""Base of the methods of pre-training: image encoders with a loss on frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from agents.data.sequences import Steps
from agents.policies.encoders.images import ImageEncoder, Readout, draw_shifts, shifted
from agents.policies.torch_policy import TorchModel
from agents.pretraining.encoder import CameraShape
from agents.pretraining.frames import FrameBatch, Frames, Rows
from agents.training.settings import AgentSettings, Count, CountOrZero, NotNegative, Positive


class PretrainingSettings(AgentSettings):
    """Settings that all methods share."""

    epochs: Count = Field(10, description="Passes over the frames.")
    batch_size: int = Field(64, ge=2, description="Examples in a minibatch.")
    learning_rate: Positive = Field(0.001, description="Initial learning rate; it decays to 0 on a cosine schedule.")
    weight_decay: NotNegative = Field(0.0001, description="Decoupled weight decay of AdamW.")
    width: int = Field(
        128, ge=8, le=1024, multiple_of=8, description="Numbers in the token of an image, as in the agents."
    )
    image_readout: Readout = Field("spatial_softmax", description="Readout of the convolutions, as in the agents.")
    share_image_encoder: bool = Field(False, description="Use one encoder for the images of all cameras.")
    image_shift: CountOrZero = Field(3, le=64, description="Largest random shift of images, pixels.")


class PretrainingModel(TorchModel[FrameBatch]):
    """Image encoders with a loss on frames.

    Args:
        frames: Frames that give cameras and actions.
        settings: Settings of the method.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Increase it when the same training gives another encoder: results of agents that start from it are outdated."""
    settings_class: ClassVar[type[PretrainingSettings]] = PretrainingSettings
    uses_actions: ClassVar[bool] = False
    """True if it reads the executed actions."""
    later: ClassVar[int] = 0
    """Frames of the episode that must follow the first frame of an example."""

    def __init__(self, frames: Frames, settings: PretrainingSettings) -> None:
        super().__init__()
        self.settings = settings
        self.encoders = nn.ModuleList()
        self.cameras: list[CameraShape] = []
        shared: dict[tuple[int, int, int], int] = {}
        for name, shape in frames.cameras.items():
            number = shared.get(shape, len(self.encoders))
            if number == len(self.encoders):
                self.encoders.append(ImageEncoder(*shape, settings.image_readout, settings.width))
            if settings.share_image_encoder:
                shared[shape] = number
            channels, height, width = shape
            self.cameras.append(CameraShape(name=name, channels=channels, height=height, width=width, encoder=number))

    @abstractmethod
    def draw(self, steps: Steps) -> Rows:
        """Draw the frames of examples.

        Random numbers come from PyTorch's global generator, whose state checkpoints hold.

        Args:
            steps: Position of the first frame of each of n examples.

        Returns:
            Numbers of frames, shape (n, F).
        """

    @property
    def code_size(self) -> int:
        """Numbers D of the code of an image."""
        first = self.encoders[0]
        assert isinstance(first, ImageEncoder)  # noqa: S101  (for the type checker)
        return first.tokens * first.token_width

    def code(self, number: int, pixels: torch.Tensor) -> torch.Tensor:
        """Return the codes of images of one camera, shape (N, F, D).

        Args:
            number: Number of the camera.
            pixels: Images of :meth:`pixels`, shape (N, F, channels, height, width).
        """
        encoder = self.encoders[self.cameras[number].encoder]
        tokens: torch.Tensor = encoder(pixels.flatten(0, 1))
        return tokens.flatten(1).reshape(*pixels.shape[:2], -1)

    def pixels(self, number: int, images: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return images of one camera, with values from -1 to 1.

        In training, they are shifted at random; all frames of an example have the same shift.

        Args:
            number: Number of the camera.
            images: Images of a minibatch.

        Returns:
            Shape (N, F, channels, height, width).
        """
        values = images[self.cameras[number].name]
        if self.training and self.settings.image_shift:
            values = shifted(values, draw_shifts(len(values), self.settings.image_shift, values.device))
        return values.movedim(-1, 2).float() / 127.5 - 1.0
