"""Load pre-trained encoders, and initialize the image encoders of policies from them."""

from __future__ import annotations

from typing import Any

from agents.policies.torch_policy import TorchPolicy
from agents.pretraining.encoder import PretrainedEncoder
from agents.pretraining.settings import ENCODER, PretrainedEncoderSettings
from agents.types import JsonObject


def load_encoder(settings: PretrainedEncoderSettings) -> PretrainedEncoder | None:
    """Return the encoder that settings name; None without one.

    Raises:
        FileNotFoundError: There is no such encoder.
        ValueError: It is damaged.
    """
    return PretrainedEncoder.load(settings.encoder) if settings.encoder else None


def record_encoder(training: JsonObject | None, encoder: PretrainedEncoder | None) -> None:
    """Add an encoder to the record of a training. So a resumed training needs the same encoder."""
    if training is not None and encoder is not None:
        training[ENCODER] = encoder.summary()


def initialize(policy: TorchPolicy[Any], encoder: PretrainedEncoder | None, *, freeze: bool) -> None:
    """Set the weights of a policy's image encoders.

    Args:
        policy: Untrained policy.
        encoder: Pre-trained encoder; None changes nothing.
        freeze: Exclude the image encoders from the training.

    Raises:
        ValueError: The policy sees no images, or images that the encoder was not pre-trained on.
    """
    if encoder is None:
        return
    targets = policy.image_encoders()
    if not targets:
        raise ValueError(
            "encoder is set, but observations have no images: use an environment such as LamGraspPixels-v0, or "
            "remove encoder"
        )
    shared = len({id(target) for _, target in targets}) < len({camera for camera, _ in targets})
    if shared and len({camera.encoder for camera in encoder.cameras}) > 1:
        raise ValueError(
            "the encoder was pre-trained for each camera, and the agent shares one: set share_image_encoder=false"
        )
    for camera, target in targets:
        encoder.initialize(camera, target)
        target.requires_grad_(not freeze)
