"""Training of estimators of positions: their networks learn one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pydantic import Field

from agents.data.demonstrations import Transitions
from agents.estimation.detector import LabeledImages
from agents.estimation.positions import PositionEstimator
from agents.estimation.scenes import Scenes
from agents.estimation.triangulation import LabeledKeypoints
from agents.policies.torch_policy import TorchModel
from agents.training.loop import Examples, LoopSettings, TrainingLoop
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import AgentSettings, Count, Positive
from agents.types import State
from lam_envs.observation.features import ROBOT_KEY

INFERENCE_BATCH_SIZE = 256
"""Observations in one forward pass."""


class EstimatorSettings(AgentSettings):
    """Settings of the training of an estimator of positions."""

    detector_epochs: Count = Field(6, description="Epochs of the detector of keypoints.")
    detector_batch_size: Count = Field(32, description="Steps in a minibatch of the detector.")
    detector_learning_rate: Positive = Field(0.003, description="Initial learning rate of the detector.")
    uncertainty_epochs: Count = Field(
        20, description="Epochs of the network that predicts the uncertainty of keypoints."
    )
    uncertainty_batch_size: Count = Field(256, description="Steps in a minibatch of the uncertainty of keypoints.")
    uncertainty_learning_rate: Positive = Field(
        0.01, description="Initial learning rate of the uncertainty of keypoints."
    )


class StagedTraining:
    """Training of several networks, one after the other, which can resume in each of them.

    Args:
        name: Name of the agent, for messages.
        run: Checkpoints and log.
        seed: Seed of the training.
        state: Checkpoint to resume from: weights of the finished networks, and the state of the next one's loop.
            None for a training from the beginning.
    """

    def __init__(self, name: str, run: Run, seed: int, state: State | None) -> None:
        self._name, self._run, self._seed = name, run, seed
        state = state or {"finished": [], "loop": None}
        self._finished: list[dict[str, torch.Tensor]] = list(state["finished"])
        self._loop: State | None = state["loop"]
        self._number = 0
        self._epochs = 0

    def train(
        self,
        part: str,
        model: TorchModel[Any],
        examples: Examples,
        settings: LoopSettings,
        *,
        symmetry: Any = None,
        after_epoch: Callable[[int], None] | None = None,
    ) -> None:
        """Train the next network, or set its weights if it was trained before.

        Args:
            part: Name of the network.
            model: Network.
            examples: Examples to learn from.
            settings: Settings of the training.
            symmetry: Augmentation of minibatches; None for none.
            after_epoch: Called with the number of epochs so far, with the weights that would act.

        Raises:
            ValueError: The training diverged.
        """
        number, self._number = self._number, self._number + 1
        before, self._epochs = self._epochs, self._epochs + settings.epochs
        if number < len(self._finished):
            model.load_state_dict(self._finished[number])
            return
        own_seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        with isolated_rng(own_seed):
            loop = TrainingLoop(model, examples, settings, seed=own_seed, symmetry=symmetry, device=self._run.device)
            if self._loop is not None:
                loop.restore(self._loop)
                self._loop = None
            while not loop.is_done:
                loop.epoch()
                loop.check_finite(f"{self._name} ({part})")
                self._run.log(
                    before + loop.epochs_done, **{f"{part} {name}": values for name, values in loop.logs.items()}
                )
                if after_epoch is not None:
                    with loop.averaged():
                        after_epoch(before + loop.epochs_done)
                self._run.checkpoint(lambda: {"finished": self._finished, "loop": loop.state()})
            self._finished.append(loop.result().state_dict())


def train_detector(
    estimator: PositionEstimator, images: LabeledImages, settings: EstimatorSettings, training: StagedTraining
) -> None:
    """Train the detector of keypoints on images in which the positions of objects are known."""
    size = min(settings.detector_batch_size, len(images))
    training.train(
        "detector",
        estimator.detector,
        images,
        LoopSettings(settings.detector_epochs, size, settings.detector_learning_rate),
    )


def train_uncertainty(
    estimator: PositionEstimator,
    keypoints: torch.Tensor,
    scenes: Scenes,
    tool: torch.Tensor,
    settings: EstimatorSettings,
    training: StagedTraining,
) -> None:
    """Train the uncertainty of keypoints on how far they are from where each camera would see each object.

    Args:
        estimator: Estimator whose detector is trained and whose cameras are fitted.
        keypoints: Keypoints of N steps, shape (N, objects, cameras, numbers).
        scenes: Positions of the objects in these steps.
        tool: Observed positions of the tool, meters, shape (N, 3).
        settings: Settings.
        training: Training that this is a part of.
    """
    pixels = estimator.triangulation.pixels(torch.from_numpy(scenes.positions), tool)
    size = min(settings.uncertainty_batch_size, len(pixels))
    training.train(
        "uncertainty",
        estimator.triangulation,
        LabeledKeypoints(keypoints, pixels),
        LoopSettings(settings.uncertainty_epochs, size, settings.uncertainty_learning_rate),
    )


@torch.no_grad()
def detected(estimator: PositionEstimator, steps: Transitions) -> tuple[torch.Tensor, torch.Tensor]:
    """Return keypoints and features of the robot of all N steps.

    Args:
        estimator: Estimator whose detector is trained.
        steps: Steps with images.

    Returns:
        Shapes (N, objects, cameras, numbers) and (N, features).
    """
    estimator.eval()
    keypoints, robot = [], []
    for start in range(0, len(steps), INFERENCE_BATCH_SIZE):
        observations = steps[start : start + INFERENCE_BATCH_SIZE].observations
        keypoints.append(estimator.detector(observations))
        robot.append(observations[ROBOT_KEY])
    return torch.cat(keypoints), torch.cat(robot)
