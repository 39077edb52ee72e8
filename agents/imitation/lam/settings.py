"""Settings of the agent ``lam``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import ClassVar, Literal, TypeAlias

from pydantic import Field

from agents.estimation.training import EstimatorSettings
from agents.imitation.lam.networks.base import ChunkNetwork, Sizes
from agents.imitation.lam.networks.heads import HeadName
from agents.imitation.lam.networks.mlp import MlpNetwork
from agents.imitation.lam.networks.transformer import LamNetwork
from agents.imitation.sequence.settings import ChunkSettings, Depth, Width
from agents.policies.encoders.images import Readout
from agents.policies.encoders.instructions import UNKNOWN_SHARE
from agents.pretraining.settings import ENCODER_SETTINGS, PretrainedEncoderSettings
from agents.training.loop import LoopSettings, Precision
from agents.training.settings import Count, CountOrZero, Discount, Positive

NetworkName: TypeAlias = Literal["transformer", "mlp"]
NETWORKS: dict[NetworkName, type[ChunkNetwork]] = {"transformer": LamNetwork, "mlp": MlpNetwork}
"""Networks by the setting ``network``."""
IDLE_STEPS = 3
"""Steps after success that are learned from by default; the rest of an episode shows little that is new."""
STRUCTURE = (
    "network",
    "head",
    "width",
    "layers",
    "action_horizon",
    "image_readout",
    "match_sentences",
    "masked_features",
    "find_objects",
)
"""Settings that decide which weights a network has."""


class LamSettings(ChunkSettings, PretrainedEncoderSettings, EstimatorSettings):
    """Settings of the network and its training."""

    later: ClassVar[frozenset[str]] = ENCODER_SETTINGS | {
        "network", "precision", "head", "image_readout", "image_shift", "idle_steps", "match_sentences",
        "masked_features", "shares", "word_dropout", "find_objects", *EstimatorSettings.model_fields,
    }  # fmt: skip
    epochs: Count = Field(28, description="Epochs of the training.")
    batch_size: Count = Field(256, description="Steps in a minibatch.")
    batches: Count = Field(200, description="Minibatches of an epoch.")
    width: Width = Field(128, description="Size of a token (embedding).")
    layers: Depth = Field(2, description="Transformer layers; not used by the network mlp.")
    network: NetworkName = Field(
        "transformer", description="Network: a transformer of entities, or the baseline mlp over all features."
    )
    step_decay: Discount = Field(0.9, description="Factor of the weights in the loss from step to step of a chunk.")
    use_instruction: bool = Field(True, description="Use the instruction; False for a baseline without language.")
    match_sentences: bool = Field(
        False,
        description="Replace each instruction that is not in the demonstrations of its task by the most similar one "
        "that is. The frozen sentence encoder all-MiniLM-L6-v2 compares them (extra language).",
    )
    word_dropout: float = Field(
        UNKNOWN_SHARE,
        ge=0.0,
        lt=1.0,
        description="Share of the words of instructions that are replaced by the unknown word in training (word "
        "dropout, Iyyer et al. 2015). With more, the policy relies less on single words.",
    )
    idle_steps: CountOrZero = Field(
        IDLE_STEPS,
        description="Steps after success to learn from. With more, the policy learns to stay where a task is done.",
    )
    shares: dict[str, Positive] | None = Field(
        None,
        description='Relative sampling weight of each task, robot and control, such as {"push panda ee": 2}; those '
        "that are not named have weight 1, so {} samples all equally often. By default their numbers of steps.",
    )
    masked_features: tuple[str, ...] = Field(
        (), description="Features that the policy does not use, such as tool/velocity. Each must be a whole feature."
    )
    mirror: bool = Field(True, description="Also learn from mirrored demonstrations of control ee.")

    head: HeadName = Field(
        "l1", description="Head: l1 predicts a chunk, flow makes it from noise by flow matching, as diffusion does."
    )
    precision: Precision = Field(
        "float32", description="Type of the numbers in matrix products of the training; bfloat16 is faster on GPUs."
    )

    image_readout: Readout = Field(
        "spatial_softmax", description="Readout of the convolutions of an image: one token, or one for each patch."
    )
    find_objects: bool = Field(
        False,
        description="Also estimate the positions of objects from images, as inputs of the network. The estimator "
        "learns from the simulator states in the demonstrations.",
    )
    image_shift: CountOrZero = Field(3, le=64, description="Largest random shift of images in training, pixels.")

    @property
    def network_class(self) -> type[ChunkNetwork]:
        """Class of the network."""
        return NETWORKS[self.network]

    def loop(self, epochs: int) -> LoopSettings:
        """Return the settings of the training loop."""
        return replace(super().loop(epochs), precision=self.precision)

    @property
    def sizes(self) -> Sizes:
        """Sizes of the network."""
        return Sizes(
            self.width, self.layers, self.action_horizon, self.head, self.image_readout, self.match_sentences
        )

    def group_shares(self, groups: Collection[str]) -> dict[str, float] | None:
        """Return the sampling weight of each group of demonstrations; None for their numbers of steps.

        Args:
            groups: Groups (:attr:`agents.imitation.lam.sources.Source.group`).

        Raises:
            ValueError: A share is of an unknown group.
        """
        if self.shares is None:
            return None
        unknown = sorted(set(self.shares) - set(groups))
        if unknown:
            raise ValueError(
                f"shares has {', '.join(map(repr, unknown))}; expected some of {', '.join(sorted(groups))}"
            )
        return {group: self.shares.get(group, 1.0) for group in groups}

    def check_structure(self, model: LamSettings) -> None:
        """Check that the settings have the structure of a saved model.

        Args:
            model: Settings of the saved model.

        Raises:
            ValueError: A setting would change the structure.
        """
        for name in STRUCTURE:
            before, now = getattr(model, name), getattr(self, name)
            if before != now:
                raise ValueError(
                    f"the model has {name}={before}; settings cannot change it to {now}: train from scratch instead"
                )
