"""Pre-trained encoders of images: save and read them as JSON and safetensors, and load them into policies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import lam_envs
from agents.policies.encoders.images import ImageEncoder, Readout
from agents.training.saving.storage import check_links, read_tensors, write_folder
from agents.types import JsonObject

DESCRIPTION = "encoder.json"
"""Name of the JSON file of an encoder."""

Pixels = Annotated[int, Field(ge=1, le=4096)]


class CameraShape(BaseModel):
    """Camera whose images an encoder takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    channels: Pixels
    height: Pixels
    width: Pixels
    encoder: int = Field(ge=0, description="Number of its encoder; cameras may share one.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of its images."""
        return self.channels, self.height, self.width


class _Description(BaseModel):
    """Content of the JSON file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    method: str
    lam_envs: str
    readout: Readout
    width: int = Field(ge=1, le=1024)
    cameras: list[CameraShape] = Field(min_length=1)
    settings: JsonObject
    training: JsonObject
    checksum: str


@dataclass(frozen=True)
class PretrainedEncoder:
    """Encoders of the images of one or several cameras.

    Attributes:
        method: Name of the method of pre-training.
        readout: Readout of the convolutions, see :class:`agents.policies.encoders.images.ImageEncoder`.
        width: Numbers in a token.
        cameras: Cameras.
        weights: Weights of the encoders; the name of each begins with the number of its encoder.
        settings: Settings of the method.
        training: Record of the training: datasets, seed, versions.
    """

    method: str
    readout: Readout
    width: int
    cameras: tuple[CameraShape, ...]
    weights: Mapping[str, torch.Tensor]
    settings: JsonObject
    training: JsonObject

    @property
    def checksum(self) -> str:
        """SHA-256 of names, types, shapes and values of the weights."""
        digest = hashlib.sha256()
        for name, value in sorted(self.weights.items()):
            values = value.detach().cpu().contiguous()
            digest.update(f"{name} {values.dtype} {tuple(values.shape)}\0".encode())
            digest.update(values.numpy().tobytes())
        return digest.hexdigest()

    def save(self, directory: str | Path) -> Path:
        """Write ``encoder.json`` and ``weights.safetensors``; return the folder.

        Raises:
            FileExistsError: The folder holds other files than an encoder.
            ValueError: A weight is NaN.
        """
        description = {
            "method": self.method,
            "lam_envs": lam_envs.__version__,
            "readout": self.readout,
            "width": self.width,
            "cameras": [camera.model_dump() for camera in self.cameras],
            "settings": self.settings,
            "training": self.training,
            "checksum": self.checksum,
        }
        return write_folder(directory, DESCRIPTION, description, self.weights)

    @classmethod
    def load(cls, directory: str | Path) -> PretrainedEncoder:
        """Read what :meth:`save` wrote. No code of the files is run.

        Raises:
            FileNotFoundError: There is no encoder.
            ValueError: The files are damaged, or a file is a link out of the folder.
        """
        path = Path(directory) / DESCRIPTION
        if not path.is_file():
            raise FileNotFoundError(
                f"no pre-trained encoder in {directory}: there is no {DESCRIPTION}. Make one by: python -m agents "
                f"pretrain time-contrastive --data DATASET --out {directory}"
            )
        check_links(directory, DESCRIPTION)
        try:
            description = _Description.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise ValueError(f"{path} is damaged: {where}: {first['msg']}") from None
        content = {
            name: getattr(description, name) for name in ("method", "readout", "width", "settings", "training")
        }
        encoder = cls(cameras=tuple(description.cameras), weights=read_tensors(directory), **content)
        if encoder.checksum != description.checksum:
            raise ValueError(
                f"{directory} is damaged: its weights have the checksum {encoder.checksum}; {DESCRIPTION} records "
                f"{description.checksum}. Pre-train the encoder again"
            )
        return encoder

    def initialize(self, camera: str, target: ImageEncoder) -> None:
        """Copy weights to the encoder of a camera.

        Args:
            camera: Name of the camera.
            target: Encoder that gets the weights.

        Raises:
            ValueError: There is no such camera, or the encoder has another shape, readout or width.
        """
        known = {each.name: each for each in self.cameras}
        if camera not in known:
            raise ValueError(
                f"the encoder was pre-trained on images of {', '.join(known)}; the agent also sees {camera!r}"
            )
        if target.readout != self.readout:
            raise ValueError(
                f"the encoder was pre-trained with image_readout={self.readout} and the agent has "
                f"{target.readout}: set image_readout={self.readout}"
            )
        if target.token_width != self.width:
            raise ValueError(
                f"the encoder was pre-trained with width {self.width} and the agent has {target.token_width}: use "
                "equal widths"
            )
        own = known[camera]
        if target.shape != own.shape:
            raise ValueError(
                f"the encoder was pre-trained on images of {own.channels} x {own.height} x {own.width} of {camera} "
                f"(channels, height, width); the agent sees {' x '.join(map(str, target.shape))}"
            )
        prefix = f"{own.encoder}."
        weights = {name.removeprefix(prefix): w for name, w in self.weights.items() if name.startswith(prefix)}
        try:
            target.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"the pre-trained weights do not fit their description: {error}") from error

    def summary(self) -> JsonObject:
        """Return the entry of the encoder in the record of an agent's training."""
        return {
            "method": self.method,
            "checksum": self.checksum,
            "settings": self.settings,
            "training": self.training,
        }
