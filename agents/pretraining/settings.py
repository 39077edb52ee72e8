"""Settings of agents whose image encoders may be pre-trained. This module imports no PyTorch."""

from __future__ import annotations

from pydantic import Field, model_validator

from agents.training.settings import AgentSettings

ENCODER = "encoder"
"""Setting that names the folder of an encoder."""
ENCODER_SETTINGS = frozenset({ENCODER, "freeze_encoder"})
"""Names of the settings below."""


class PretrainedEncoderSettings(AgentSettings):
    """Settings of agents whose image encoders may be pre-trained."""

    encoder: str = Field(
        "", description="Folder of a pre-trained encoder of images (``agents pretrain``); empty for random weights."
    )
    freeze_encoder: bool = Field(
        False, description="Keep the weights of the pre-trained encoder, instead of training them with the policy."
    )

    @model_validator(mode="after")
    def _check_frozen(self) -> PretrainedEncoderSettings:
        if self.freeze_encoder and not self.encoder:
            raise ValueError("freeze_encoder is true, and there is no encoder: set encoder to a pre-trained one")
        return self
