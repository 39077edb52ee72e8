"""Training of estimators of positions: their networks learn one after the other."""

from __future__ import annotations

import torch
from pydantic import Field

from agents.data.demonstrations import Transitions
from agents.estimation.detector import LabeledImages
from agents.estimation.positions import PositionEstimator
from agents.estimation.scenes import Scenes
from agents.estimation.triangulation import LabeledKeypoints
from agents.training.loop import LoopSettings
from agents.training.settings import AgentSettings, Count, Positive
from agents.training.staged import StagedTraining
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
        keypoints: Keypoints of N steps, shape (N, objects, cameras, 5).
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
    """Return the keypoints of all N steps, and the features of the robot in them.

    Args:
        estimator: Estimator whose detector is trained.
        steps: Steps with images.

    Returns:
        Shapes (N, objects, cameras, 5) and (N, features).
    """
    estimator.eval()
    keypoints, robot = [], []
    for start in range(0, len(steps), INFERENCE_BATCH_SIZE):
        observations = steps[start : start + INFERENCE_BATCH_SIZE].observations
        keypoints.append(estimator.detector(observations))
        robot.append(observations[ROBOT_KEY])
    return torch.cat(keypoints), torch.cat(robot)
