"""Settings that agents which predict chunks of actions share."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from agents.data.features import NamedFeatures
from agents.data.symmetry import Symmetry, symmetry_of
from agents.policies.encoders.images import Readout
from agents.policies.encoders.observations import EncoderSettings
from agents.policies.task_frame import task_frame_settings
from agents.pretraining.settings import ENCODER_SETTINGS, PretrainedEncoderSettings
from agents.training.loop import LoopSettings
from agents.training.settings import AgentSettings, Count, CountOrZero, Discount, NotNegative, Positive
from agents.types import Env

Width = Annotated[int, Field(ge=8, le=1024, multiple_of=8)]
"""Numbers in a token or units of a layer."""
Horizon = Annotated[int, Field(ge=1, le=128)]
"""Number of steps."""
Depth = Annotated[int, Field(ge=1, le=8)]
"""Number of layers."""


class ChunkSettings(AgentSettings):
    """Settings of the training loop and of chunks of actions."""

    acting: ClassVar[frozenset[str]] = frozenset({"executed_actions"})

    batch_size: Count = Field(128, description="Windows in a minibatch.")
    learning_rate: Positive = Field(0.001, description="Initial learning rate; it decays to 0 on a cosine schedule.")
    weight_decay: NotNegative = Field(0.0001, description="Decoupled weight decay of AdamW.")
    max_grad_norm: NotNegative = Field(1.0, description="Largest norm of the gradient; 0 for no limit.")
    ema_decay: Discount = Field(0.0, description="Decay of the moving average of the weights that acts; 0 for none.")
    action_horizon: Horizon = Field(8, description="Actions of a chunk.")
    executed_actions: Horizon = Field(4, description="Actions of a chunk that are executed before the next one.")

    @model_validator(mode="after")
    def _check_horizons(self) -> ChunkSettings:
        if self.executed_actions > self.action_horizon:
            raise ValueError(
                f"executed_actions is {self.executed_actions} and action_horizon {self.action_horizon}; "
                "expected at most as many executed actions as a chunk has"
            )
        return self

    def loop(self, epochs: int) -> LoopSettings:
        """Return the settings of the training loop."""
        return LoopSettings(
            epochs,
            self.batch_size,
            self.learning_rate,
            weight_decay=self.weight_decay,
            ema_decay=self.ema_decay,
            max_grad_norm=self.max_grad_norm,
        )


class SequenceSettings(ChunkSettings, PretrainedEncoderSettings):
    """Settings of the training, the horizons, and the encoder of observations."""

    later: ClassVar[frozenset[str]] = ENCODER_SETTINGS | {"idle_steps", "task_frame", "near_zero"}

    epochs: Count = Field(100, description="Passes over the demonstrations.")
    obs_horizon: Horizon = Field(1, description="Observations that the policy sees.")
    width: Width = Field(128, description="Numbers in the token of an encoded part of an observation.")
    feature_tokens: bool = Field(
        False, description="Encode each named feature as a token of its own, instead of all features as one."
    )
    masked_features: tuple[str, ...] = Field(
        (), description="Features that the policy does not use, such as object/rotation or tool/position/x."
    )
    mirror: bool = Field(False, description="Also learn from mirrored demonstrations.")
    rotate: bool = Field(False, description="Also learn from demonstrations that are rotated about the vertical.")
    task_frame: str | None = Field(
        None,
        description="Vector feature, such as goal/relative. Observed vectors and actions are rotated about the "
        "vertical so that it points along x; None for no rotation.",
    )
    near_zero: bool = Field(
        False,
        description="Also encode asinh(x / 0.2) of each number x, which has a higher resolution near 0, such as for "
        "millimeters between objects.",
    )
    idle_steps: CountOrZero | None = Field(
        None, description="Steps after success to learn from; None for all. With few, training takes less time."
    )
    image_readout: Readout = Field("spatial_softmax", description="Readout of the convolutions of an image.")
    share_image_encoder: bool = Field(False, description="Use one encoder for the images of all cameras.")
    image_shift: CountOrZero = Field(3, le=64, description="Largest random shift of images in training, pixels.")

    @model_validator(mode="after")
    def _check_encoding(self) -> SequenceSettings:
        if self.near_zero and self.feature_tokens:
            raise ValueError(
                "near_zero and feature_tokens are both true; expected at most one of them: set near_zero=false or "
                "feature_tokens=false"
            )
        return self

    def encoder_settings(self, features: NamedFeatures) -> EncoderSettings:
        """Return the settings of the encoder of observations.

        Args:
            features: Named features of the environment.

        Raises:
            ValueError: The environment has no such task frame.
        """
        return EncoderSettings(
            self.width,
            features.sizes if self.feature_tokens else {},
            self.image_readout,
            self.share_image_encoder,
            self.image_shift,
            None if self.task_frame is None else task_frame_settings(self.task_frame, features),
            self.near_zero,
        )

    def symmetry(self, env: Env) -> Symmetry | None:
        """Return the augmentation of minibatches in an environment; None without one."""
        return symmetry_of(env, mirror=self.mirror, rotate=self.rotate)
