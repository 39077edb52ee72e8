"""Settings of the agent ``lam``."""

from __future__ import annotations

from pydantic import Field, model_validator

from agents.imitation.lam.network import Sizes
from agents.imitation.sequence.settings import Depth, Horizon, Width
from agents.training.loop import LoopSettings
from agents.training.settings import AgentSettings, Count, Discount, NotNegative, Positive


class LamSettings(AgentSettings):
    """Settings of the network and its training."""

    epochs: Count = Field(28, description="Epochs of the training.")
    batches: Count = Field(200, description="Minibatches of an epoch.")
    batch_size: Count = Field(128, description="Steps in a minibatch.")
    learning_rate: Positive = Field(0.001, description="Initial learning rate; it decays to 0 on a cosine schedule.")
    weight_decay: NotNegative = Field(0.0001, description="Decoupled weight decay of AdamW.")
    max_grad_norm: NotNegative = Field(1.0, description="Largest norm of the gradient; 0 for no limit.")
    ema_decay: Discount = Field(0.0, description="Decay of the moving average of the weights that acts; 0 for none.")
    width: Width = Field(128, description="Size of a token (embedding).")
    layers: Depth = Field(2, description="Transformer layers.")
    action_horizon: Horizon = Field(8, description="Actions of a chunk.")
    executed_actions: Horizon = Field(4, description="Actions of a chunk that are executed before the next one.")
    step_decay: Discount = Field(0.9, description="Factor of the weights in the loss from step to step of a chunk.")
    mirror: bool = Field(True, description="Also learn from mirrored demonstrations of control ee.")

    @model_validator(mode="after")
    def _check_horizons(self) -> LamSettings:
        if self.executed_actions > self.action_horizon:
            raise ValueError(
                f"executed_actions is {self.executed_actions} and action_horizon {self.action_horizon}; "
                "expected at most as many executed actions as a chunk has"
            )
        return self

    @property
    def sizes(self) -> Sizes:
        """Sizes of the network."""
        return Sizes(self.width, self.layers, self.action_horizon)

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
