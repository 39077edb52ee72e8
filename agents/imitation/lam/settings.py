"""Settings of the agent ``lam``."""

from __future__ import annotations

from pydantic import Field

from agents.imitation.lam.network import Sizes
from agents.imitation.sequence.settings import ChunkSettings, Depth, Width
from agents.training.settings import Count, Discount


class LamSettings(ChunkSettings):
    """Settings of the network and its training."""

    epochs: Count = Field(28, description="Epochs of the training.")
    batch_size: Count = Field(256, description="Steps in a minibatch.")
    batches: Count = Field(200, description="Minibatches of an epoch.")
    width: Width = Field(128, description="Size of a token (embedding).")
    layers: Depth = Field(2, description="Transformer layers.")
    step_decay: Discount = Field(0.9, description="Factor of the weights in the loss from step to step of a chunk.")
    use_instruction: bool = Field(True, description="Use the instruction; False for a baseline without language.")
    mirror: bool = Field(True, description="Also learn from mirrored demonstrations of control ee.")

    @property
    def sizes(self) -> Sizes:
        """Sizes of the network."""
        return Sizes(self.width, self.layers, self.action_horizon)
